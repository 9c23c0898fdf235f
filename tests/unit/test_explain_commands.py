"""`netsold explain` and `netsold find` against a real HTTP reader with a filled store and index."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from operations.aligned import aligned
from schemas.explanations import OrderExplanation
from serving.api import make_app
from tests.flow import binary
from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse
from tests.unit.test_reader_commands import Done, run, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["run"]

EVENTS = next(
    parse("""== of the tests
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1299 currency=JPY
    2026-07-02T08:00Z  received  o-1
    2026-07-05T08:00Z  refunded  o-1  r-1 quality  1:1:1299
    2026-07-08T08:00Z  placed    [b]o  1:p-3:1x1000
    """)
).events


OVERRULED = next(
    parse("""== an order whose second placing does not hold, in front of another one of that shop
    2026-06-01T08:00Z  placed    o-5  1:p-8:1x100 shop=s-5
    2026-06-02T08:00Z  placed    o-5  1:p-8:1x100 shop=s-6
    2026-06-03T08:00Z  placed    o-6  1:p-8:1x100 shop=s-6
    """)
).events


@pytest.fixture(autouse=True)
def _reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader of a story with a duplicate and a parked record."""
    logs = Changelogs(settings_in(tmp_path))
    logs.take([*EVENTS, EVENTS[1], *OVERRULED])
    logs.send("orders", b"o-1", b"{", binary(EVENTS[2])[2])
    logs.take([])
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    with served(make_app(reader), monkeypatch):
        yield
    reader.close()


def test_an_order_is_one_line_an_event_and_a_sentence(run: Callable[..., Done]) -> None:
    """Aligned; what was not applied is in capitals; the sentence is last."""
    done = run("explain", "order", "o-1")
    assert done.code == 0, done
    head, columns, *events, _, sentence = done.out.splitlines()
    assert head == "o-1, b-9 from s-7, JPY"
    assert columns.split() == [
        *("position", "happened", "written", "event", "verdict", "rules", "units", "money"),
        *("so", "far"),
    ]
    assert [re.sub(r"orders-\d@\d+|dead-letters-\d@\d+", "@", line).split() for line in events] == [
        [
            *("@", "2026-07-01T08:00:00.000Z", "1970-01-01T00:00:00.000Z", "order_placed"),
            *("applied", "S1", "nothing", "line", "1:", "2", "x", "p-3", "at", "1,299"),
        ],
        [
            *("@", "2026-07-02T08:00:00.000Z", "1970-01-01T00:00:00.000Z", "receipt_confirmed"),
            *("applied", "S1", "S2", "S3", "+2", "JPY", "+2,598", "2", "units,", "JPY", "2,598"),
            "by=logistics",
        ],
        [
            *("@", "2026-07-05T08:00:00.000Z", "1970-01-01T00:00:00.000Z", "refund_succeeded"),
            *("applied", "S6", "-1", "JPY", "-1,299", "1", "unit,", "JPY", "1,299"),
            *("refund_id=r-1", "reason=quality", "line", "1:", "1", "unit,", "1,299"),
        ],
        [
            *("@", "2026-07-02T08:00:00.000Z", "1970-01-01T00:00:00.000Z", "receipt_confirmed"),
            *("DUPLICATE", "S11", "1", "unit,", "JPY", "1,299", "by=logistics"),
        ],
        [
            *("@", "unknown", "1970-01-01T00:00:00.000Z", "not", "readable", "PARKED"),
            *("1", "unit,", "JPY", "1,299", "not_json", "at", "@:"),
            *events[-1].partition("dead-letters-")[2].split()[1:],
        ],
    ]
    parked = events[-1].split()[0]
    assert sentence == (
        "o-1: counts 1 of 2 units, JPY 1,299, in the cycle from 2026-06-06T00:00:00Z, because"
        " line 1 was received (S2) and a refund took 1 unit and JPY 1,299 off (S6);"
        f" {parked} is parked (not_json): `netsold dead-letters show {parked}`"
    )


def test_json_is_the_answer(run: Callable[..., Done]) -> None:
    """Unchanged, on stdout alone."""
    done = run("explain", "order", "o-1", "--json", "--limit", "2")
    found = OrderExplanation.model_validate_json(done.out)
    assert (len(found.events), found.earlier and found.earlier.left_out) == (2, 3)
    assert done.err == ""


def test_orders_of_a_product_that_do_not_count_are_named(run: Callable[..., Done]) -> None:
    """Below what makes up its number, with why."""
    done = run("explain", "product", "p-3", "--cycle", "2026-07-06T00:00:00Z")
    assert "of 1 order placed in the cycle, 1 count nothing of p-3" in done.out
    line = "[b]o, placed 2026-07-08T08:00:00.000Z: line 1 was not received (S1)"
    assert line in done.out


def test_what_is_left_out_is_counted(run: Callable[..., Done]) -> None:
    """In a line above the events."""
    done = run("explain", "order", "o-1", "--limit", "2")
    assert "earlier records: 3 left out; 2 facts come from them, so far " in done.out
    done = run("explain", "order", "o-1", "--limit", "3")
    assert "1 fact comes from them" in done.out


def test_an_unknown_order_is_exit_code_4(run: Callable[..., Done]) -> None:
    """With a sentence on stderr."""
    done = run("explain", "order", "o-7")
    assert (done.code, done.out) == (4, "")
    assert "'o-7'" in done.err


def test_found_orders_are_listed(run: Callable[..., Done]) -> None:
    """In columns, with what counts of each now."""
    done = run("find", "--refund", "r-1")
    assert done.code == 0, done
    assert [line.split() for line in done.out.splitlines()[:2]] == [
        ["order", "placed", "shop", "buyer", "units", "of", "the", "order", "money"],
        [
            *("o-1", "2026-07-01T08:00:00.000Z", "s-7", "b-9", "1", "JPY", "1,299"),
            *("the", "refund", "took", "1", "unit", "and", "JPY", "1,299"),
            *("off", "line", "1", "(S6)"),
        ],
    ]
    done = run("find", "--product", "p-3", "--limit", "1", "--from", "2026-07-01T08:00:00Z")
    assert "and more: raise --limit" in done.out
    assert "units of p-3" in done.out
    done = run("find", "--product", "p-3", "--not-counted")
    assert "because line 1 was not received (S1)" in done.out
    assert "o-1" not in done.out
    done = run("find", "--shop", "s-7", "--json")
    assert [item["order_id"] for item in json.loads(done.out)["items"]] == ["o-1", "[b]o"]
    assert "[b]o" in run("find", "--from", "2026-07-08T08:00:00Z").out
    done = run("find", "--shop", "s-6", "--limit", "1", "--json")
    assert [item["order_id"] for item in json.loads(done.out)["items"]] == ["o-6"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--shop", "s-9"], 4, "no order is found by shop s-9"),
        (["--refund", "r-1", "--not-counted"], 4, "no order of which nothing counts is found"),
        (["--shop", "s-7", "--to", "2026-07-01T08:00:00Z"], 4, "shop s-7, to 2026-07-01T08:00"),
        ([], 2, "give --refund, --shop, --product, --from or --to"),
        (["--shop", ""], 2, "at least one character"),
        (["--shop", "a", "--refund", "b"], 2, "can't be given beside refund"),
        (["--from", "2026-07-01"], 2, "has no time of day and no zone: write it as"),
    ],
)
def test_what_finds_nothing_is_a_sentence(
    run: Callable[..., Done], arguments: list[str], code: int, sentence: str
) -> None:
    """On stderr, with the exit code of the reference."""
    done = run("find", *arguments)
    assert (done.code, done.out) == (code, "")
    assert sentence in " ".join(done.err.replace("│", " ").split())


def test_columns_are_aligned_by_what_is_seen() -> None:
    """Wide characters take two places; empty columns are left out."""
    assert aligned([["店", "", "1"], ["s-7", "", "10"]], right=(2,)) == ["店    1", "s-7  10"]
