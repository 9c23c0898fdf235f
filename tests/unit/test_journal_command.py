"""`netsold journal` without a broker: wrong arguments, and how rows and sums are shown."""

from __future__ import annotations

import json

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from operations.commands import journal_view
from operations.commands.journal import command
from operations.commands.journal_view import Span
from schemas.journal import Entry, Service
from schemas.positions import Position
from tables.journal_changes import JournalSums, WrittenRow

CYCLE = "2026-07-06T00:00:00Z"
ENTRY = Entry(
    product_id="[p]", currency="JPY", cycle=CYCLE, restates=True, id="orders-0@5#0",
    shop_id="s-1", buyer_id="b-1", order_id="o-1", line_id="1", sold_at="2026-07-08T08:00:00.000Z",
    event_type="refund_succeeded", event_id="e-1", event_source="/shop",
    occurred_at="2026-07-09T08:00:00.000Z", rules=7, refund_id="r-1",
    refunded_at="2026-07-09T08:00:00.000Z",
    units_gross=0, units_reversed=1, units_booked=0, amount_gross=0, amount_reversed=1500,
    amount_booked=0, orders=-1,
)  # fmt: skip
SERVICE = Service(
    id="orders-0@6#s0", event_type="review_posted", event_id="e-2", event_source="/shop",
    occurred_at="2026-07-09T08:00:00.000Z", shop_id="s-1", product_id="p-2", rules=7, cycle=CYCLE,
    columns={"reviews": 1, "reviews.good": -1}, restates=False,
)  # fmt: skip
SPAN = Span("netsold", "sales", 0, 1000, {0: 3, 1: 0}, {0: 5, 1: 9}, cut=[0])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--since", "2026-07-01T08:00:00"], "has no zone: write it as 2026-07-01T08:00:00Z"),
        (["--since", "yesterday"], "'yesterday' is not an RFC 3339 time with zone"),
        (
            ["--since", "2026-07-01T08:00:00Z", "--until", "2026-07-01T10:00:00+02:00"],
            "it is not after --since",
        ),
        (["--since", "2026-07-01T08:00:00Z", "--by", "product,price"], "'price' is none of"),
        (["--since", "2026-07-01T08:00:00Z", "--by", "day", "--each"], "--each sums nothing"),
        (["--since", "2199-07-01T08:00:00Z"], "lies in the future"),
        ([], "Missing option '--since'"),
    ],
)
def test_a_wrong_argument_is_refused_before_any_request(options: list[str], sentence: str) -> None:
    """The exit code is 2, and the sentence says what is wrong."""
    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    done = CliRunner().invoke(app, options, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert sentence in done.output


def test_a_row_is_a_line_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    """What it changes, where it stands, and who wrote it; an unknown build is null."""
    entry, service = (
        WrittenRow(ENTRY, Position("sales", 0, 7), 0, "1.0"),
        WrittenRow(SERVICE, Position("sales", 0, 8), 5),
    )
    journal_view.print_row(entry)
    journal_view.print_row(service)
    assert capsys.readouterr().out.splitlines() == [
        (
            "1970-01-01T00:00:00.000Z  sales-0@7  order o-1  product [p]"
            "  cycle 2026-07-06T00:00:00Z  reversed +1 JPY +1,500  orders -1"
            "  refund_succeeded orders-0@5#0  restates  build 1.0 rules 7"
        ),
        (
            "1970-01-01T00:00:00.005Z  sales-0@8  service  product p-2  cycle 2026-07-06T00:00:00Z"
            "  reviews +1 reviews.good -1  review_posted orders-0@6#s0  build unknown rules 7"
        ),
    ]
    journal_view.print_row_json(service)
    assert json.loads(capsys.readouterr().out) == {
        "position": "sales-0@8",
        "written_at": "1970-01-01T00:00:00.005Z",
        "build": None,
        **msgspec.to_builtins(SERVICE),
    }


def sums(*by: str) -> JournalSums:
    """The sums of both rows."""
    found = JournalSums(by)
    found.add(WrittenRow(ENTRY, Position("sales", 0, 7), 0, "1.0"))
    found.add(WrittenRow(SERVICE, Position("sales", 0, 8), 5))
    return found


def test_sums_are_shown_to_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The totals, each build, and the largest groups with signs; a narrow screen cuts nothing."""
    monkeypatch.setenv("COLUMNS", "40")
    journal_view.print_sums(
        SPAN, ["product", "order", "build"], sums("product", "order", "build"), 9
    )
    first, *writers, _, one, two = capsys.readouterr().out.splitlines()
    assert first == (
        "1970-01-01T00:00:00Z until 1970-01-01T00:00:01Z: 1 sales entry, 1 service row;"
        " 1 restates an ended cycle"
    )
    assert writers == [
        "by build 1.0, rules 7: 1 row, 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:00.000Z",
        "by build unknown, rules 7: 1 row, 1970-01-01T00:00:00.005Z to 1970-01-01T00:00:00.005Z",
    ]
    assert one.split() == ["[p]", "o-1", "1.0", "1", "1", "0", "-1", "JPY", "-1,500"]
    assert two.split() == ["p-2", "unknown", "unknown", "1", "0", "0", "0"]
    journal_view.print_sums(SPAN, ["product"], sums("product"), 1)
    assert capsys.readouterr().out.endswith("and 1 more: --limit, or --by\n")
    journal_view.print_sums(SPAN, ["product"], JournalSums(["product"]), 1)
    assert capsys.readouterr().out.endswith("Z: nothing changed\n")


def test_sums_are_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown values are null; what the log no longer has makes it incomplete."""
    journal_view.print_sums_json(SPAN, ["build", "order"], sums("build", "order"), 1)
    found = json.loads(capsys.readouterr().out)
    assert found["positions"] == {"sales-0": {"from": 3, "to": 5}, "sales-1": {"from": 0, "to": 9}}
    assert (found["complete"], found["by"], found["groups_left_out"]) == (
        False,
        ["build", "order"],
        1,
    )
    assert [one["build"] for one in found["writers"]] == ["1.0", None]
    ((group),) = found["groups"]
    assert (group["build"], group["order"], group["entries"]) == ("1.0", "o-1", 1)
    assert group["revenue"]["JPY"]["net"] == -1500
    assert found["total"]["service"] == {"reviews": 1, "reviews.good": -1}
    journal_view.print_sums_json(SPAN, ["build"], JournalSums(["build"]), 1)
    assert json.loads(capsys.readouterr().out)["total"]["first_written"] is None
