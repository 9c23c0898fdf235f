"""`netsold get`, `top`, `status` and `tables --from reader` against a real HTTP reader.

The test fills the reader's store.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import typer
import uvicorn

from operations import cli
from operations.commands.explain_subject import of_subject
from operations.commands.get import _sums
from operations.in_words import freshness_line
from operations.oracle.recount import recount
from operations.reader_client import NoReader, get
from operations.waiting import GaveUp
from operations.writing.applied import until_applied
from schemas.columns import RULES
from serving.api import make_app
from serving.reader import Reader
from streams.build import this_build
from streams.parked import Parked
from streams.settings import Settings
from tables import catalogue
from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastapi import FastAPI

TICK_MS = 1_783_728_000_000
EVENTS = next(
    parse("""== of the tests
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100 3:..:1x7
    2026-07-08T08:00Z  received  o-1
    2026-07-09T08:00Z  refunded  o-1  r-1 short_weight  1:0:5000
    2026-07-09T08:00Z  placed    [b]o  1:p-5:1x1
    """)
).events


class Done(NamedTuple):
    """The result of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Done]:
    """Runs `netsold` with these arguments, in a wide terminal and without any .env."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["netsold", *arguments])
        monkeypatch.setattr(cli, "app", type(cli.app)(pretty_exceptions_enable=False))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run


@contextmanager
def served(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An app at its own port, which the settings name."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        monkeypatch.setenv("NETSOLD_READER_PORT", str(listener.getsockname()[1]))
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def _reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader that answers half a second after the last event."""
    monkeypatch.setattr("serving.reader.now_ms", lambda: TICK_MS + 500)
    logs = Changelogs(settings_in(tmp_path))
    logs.take(EVENTS)
    logs.tick(TICK_MS)
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    with served(make_app(reader), monkeypatch):
        yield
    reader.close()


@pytest.mark.usefixtures("_reader")
def test_a_product_is_shown_to_people(run: Callable[..., Done]) -> None:
    """Units and money are in columns, with the two numbers of a shop page.

    The freshness is shown, too.
    """
    done = run("get", "product", "p-3")
    assert done.code == 0, done
    assert [line.split() for line in done.out.splitlines()] == [
        ["p-3,", "cycle", "2026-07-06T00:00:00Z", "until", "2026-08-05T00:00:00Z"],
        ["gross", "reversed", "net", "reversals", "booked"],
        ["units", "2", "0", "2", "0"],
        ["CNY", "20.00", "20.00", "0.00", "20.00"],
        ["2", "sold", "monthly", "·", "2", "successfully", "traded"],
        [
            "reviews",
            "none",
            "good",
            "of",
            "0;",
            "differences",
            "made",
            "up",
            "1,",
            "CNY",
            "20.00",
            "(short_weight",
            "1);",
            "refused",
            "0",
        ],
        ["live;", "complete", "through", "2026-07-11T00:00:00.000Z,", "0.5", "s", "behind"],
    ]


@pytest.mark.usefixtures("_reader")
def test_a_shop_and_a_former_cycle(run: Callable[..., Done]) -> None:
    """Any instant with a zone names the cycle, also with a plus sign."""
    assert "8 sold monthly · 8 successfully traded" in run("get", "shop", "s-7").out
    done = run("get", "shop", "s-7", "--cycle", "2026-07-01T00:00:00+08:00", "--json")
    assert json.loads(done.out)["sold_monthly"] == 0
    assert json.loads(done.out)["cycle"]["start"] == "2026-06-06T00:00:00Z"


@pytest.mark.usefixtures("_reader")
def test_an_order_is_shown(run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    """It has facts, sales and anomalies; brackets in ids are not read as markup."""
    lines = run("get", "order", "o-1").out.splitlines()
    assert lines[0] == "o-1, b-9 from s-7, CNY"
    assert any(
        line.split()[:2] == ["2026-07-08T08:00:00.000Z", "receipt_confirmed"] for line in lines
    )
    assert (
        "line 1: 2 of 2 units of p-3, CNY 0.00 of 20.00,"
        " in cycle 2026-07-06T00:00:00Z until 2026-08-05T00:00:00Z" in lines
    )
    assert "anomaly: refund_exceeds_sale, line 1" in lines
    text = "\n".join(lines)
    assert "line 1: 2 x p-3 at 10.00, line 2: 5 x p-4 at 1.00" in text
    assert "line 1: 0 units, 50.00" in text
    monkeypatch.setenv("COLUMNS", "60")
    narrow = run("get", "order", "o-1").out
    assert "…" not in narrow
    assert all(
        word in narrow for word in ("2026-07-08T08:00:00.000Z", "10.00,", "receipt_confirmed")
    )
    monkeypatch.delenv("COLUMNS")
    lines = run("get", "order", "[b]o").out.splitlines()
    assert lines[0] == "[b]o, b-9 from s-7, CNY"
    assert "no sale" in lines


@pytest.mark.usefixtures("_reader")
def test_a_product_is_explained(run: Callable[..., Done]) -> None:
    """Orders with their entries and signs, parts, movement; the number is in the last sentence."""
    done = run("explain", "product", "p-3")
    assert done.code == 0, done
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[:2] == [
        "p-3, cycle 2026-07-06T00:00:00Z until 2026-08-05T00:00:00Z",
        "as known now",
    ]
    assert "o-1 s-7 2 CNY 0.00" in lines
    entries = [line for line in lines if line.startswith("orders-")]
    assert [line.split(" ", 1)[1] for line in entries] == [
        "2026-07-08T08:00:00.000Z +2 CNY +20.00",
        "2026-07-09T08:00:00.000Z +0 CNY -20.00",
    ]
    assert "1 order in 2 journal entries" in lines
    assert "reversals, whenever they happened: 0 units, CNY -20.00 in 1 entry" in lines
    assert f"2026-07-08 {'█' * 30} +2 CNY +20.00 2" in lines
    assert lines[-2] == "in all: 2 units, CNY 0.00; 2 sold monthly · 2 successfully traded"
    assert lines[-1].startswith("live; complete through")
    answer = json.loads(run("explain", "shop", "s-7", "--limit", "1", "--json").out)
    assert (answer["shop_id"], answer["units"]["net"]) == ("s-7", 8)
    shown = run("explain", "shop", "s-7", "--limit", "1").out
    (first,) = answer["orders"]
    for entry in first["entries"]:
        assert f"{entry['at']}  {entry['product_id']}" in shown
    assert run("explain", "product", "p-9").code == 4


@pytest.mark.usefixtures("_reader")
def test_orders_that_are_not_listed_have_their_sum(
    run: Callable[..., Done], capsys: pytest.CaptureFixture[str]
) -> None:
    """Below the list, with their number."""
    answer = json.loads(run("explain", "shop", "s-7", "--json").out)
    rest = {"entries": 9, "units": 7000, "amounts": {"CNY": 12345}}
    of_subject("s-7", answer | {"orders_left_out": 5455, "sums_left_out": rest})
    assert "and 5,455 smaller orders: 7,000 units, CNY 123.45" in capsys.readouterr().out


@pytest.mark.usefixtures("_reader")
def test_an_earlier_moment_is_shown(run: Callable[..., Done]) -> None:
    """By event time: before the refund, sales alone, and the moment is named."""
    then = "2026-07-08T12:00:00+08:00"
    lines = run("get", "product", "p-3", "--as-of", then).out.splitlines()
    assert [line.split() for line in lines[2:4]] == [
        ["units", "0", "0", "0", "0"],
        ["0", "sold", "monthly", "·", "0", "successfully", "traded"],
    ]
    assert lines[-2] == "what had happened by 2026-07-08T04:00:00.000Z"
    then = "2026-07-08T12:00:00Z"
    lines = run("get", "product", "p-3", "--as-of", then).out.splitlines()
    assert lines[3].split() == ["CNY", "20.00", "0.00", "20.00", "0.00"]
    assert "no sale" in run("get", "order", "o-1", "--as-of", "2026-07-01T09:00:00Z").out
    top = run("top", "shops", "--as-of", then).out.splitlines()
    assert [line.split() for line in top[1:3]] == [
        ["shop", "sold", "monthly", "successfully", "traded", "net", "revenue"],
        ["s-7", "8", "8", "CNY", "25.07"],
    ]
    done = run("explain", "product", "p-3", "--as-of", then)
    assert "in all: 2 units, CNY 20.00; 2 sold monthly · 2 successfully traded" in done.out
    done = run("get", "product", "p-3", "--as-of", "2026-07-08")
    assert (done.code, "has no time of day and no zone" in done.err) == (2, True)


def test_every_set_of_sums_in_an_answer_is_a_row() -> None:
    """Whatever the name of its field; money by currency, and no other field."""
    sums = {"gross": 3000, "reversed": 1, "net": 2999, "reversals_booked": 1}
    answer = {
        "product_id": "p-3",
        "units": sums,
        "some_units": sums,
        "units_by_currency": {"CNY": sums},
        "revenue": {"CNY": sums},
        "service": {"reviews": {"count": 0}},
    }
    assert list(_sums(answer)) == [
        ("units", "3,000", "1", "2,999", "1"),
        ("some units", "3,000", "1", "2,999", "1"),
        ("CNY", "30.00", "0.01", "29.99", "0.01"),
    ]
    two = {"units": sums, "units_by_currency": {"CNY": sums, "USD": sums}}
    assert [row[0] for row in _sums(two)] == ["units", "units, CNY", "units, USD"]


@pytest.mark.usefixtures("_reader")
def test_an_id_of_dots_is_no_step_in_a_path(run: Callable[..., Done]) -> None:
    """The client sends the path unchanged."""
    assert json.loads(run("get", "product", "..", "--json").out)["product_id"] == ".."


@pytest.mark.usefixtures("_reader")
def test_best_sellers_as_list_and_as_json(run: Callable[..., Done]) -> None:
    """The most units are first; --json prints the reader's answer."""
    lines = [line.split() for line in run("top").out.splitlines()]
    assert [line[:3] for line in lines[2:5]] == [
        ["p-4", "5", "5"],
        ["p-3", "2", "2"],
        ["..", "1", "1"],
    ]
    assert lines[2][3:] == ["CNY", "5.00"]
    answer = json.loads(run("top", "--limit", "1", "--json").out)
    assert answer["items"][0]["revenue"]["CNY"]["net"] == 500
    assert [item["product_id"] for item in answer["items"]] == ["p-4"]
    assert "nothing sold" in run("top", "--cycle", "2020-01-01T00:00:00Z").out


@pytest.mark.usefixtures("_reader")
def test_lists_by_other_things_and_of_a_shop(run: Callable[..., Done]) -> None:
    """The column of what is compared is there; a shop's list has what this shop sold."""

    def row(*arguments: str) -> list[str]:
        done = run("top", *arguments)
        assert done.code == 0, done.err
        return done.out.splitlines()[2].split()

    assert row("--by", "revenue", "--currency", "CNY")[0] == "p-4"
    assert row("--shop", "s-7") == ["p-4", "5", "CNY", "5.00"]
    assert row("shops")[:2] == ["s-7", "8"]
    grown = run("top", "--by", "growth").out
    assert "+1 from 0" in grown
    assert re.search(
        r"^compared until \S+Z, with the cycle before until then$", grown, re.MULTILINE
    )
    for by in ("reversal-rate", "good-reviews"):
        assert "nothing to compare" in run("top", "--by", by).out
    answer = json.loads(run("top", "--shop", "s-7", "--limit", "1", "--json").out)
    assert answer["items"][0]["in_shop"] == {"units": 5, "revenue": {"CNY": 500}}
    assert run("top", "--shop", "nobody").code == 4


@pytest.mark.usefixtures("_reader")
def test_series_as_rows_and_as_json(run: Callable[..., Done]) -> None:
    """A line of bars, then a row for each cycle, day or hour; --json prints the reader's answer."""
    done = run("series", "product", "p-3", "--cycles", "3")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "p-3, net units by cycle: ▁▁█"
    assert [line.split() for line in lines[2:5]] == [
        ["2026-05-07T00:00:00Z", "0", "0", "0", "0"],
        ["2026-06-06T00:00:00Z", "0", "0", "0", "0"],
        ["2026-07-06T00:00:00Z", "2", "0", "2", "0", "CNY", "0.00"],
    ]
    lines = run("series", "shop", "s-7", "--days").out.splitlines()
    assert lines[0] == "s-7, net units by day: ▁▁█▁▁▁"
    span = ("--from", "2026-07-08T08:00:00Z", "--to", "2026-07-08T10:00:00Z")
    answer = json.loads(run("series", "marketplace", "--hours", *span, "--json").out)
    assert [item["units"]["gross"] for item in answer["items"]] == [8, 0]
    assert "the marketplace, net units by cycle" in run("series", "marketplace").out
    assert run("series", "product", "nothing").code == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["product"], "give the id of the product"),
        (["product", ""], "at least one character"),
        (["marketplace", "p-3"], "the marketplace has no id"),
        (["product", "p-3", "--days", "--hours"], "give one of --cycles, --days and --hours"),
        (["shop", "s-7", "--from", "2026-07-01T00:00:00Z"], "it goes with --days or --hours"),
    ],
)
def test_what_no_series_can_be_is_a_usage_error(
    run: Callable[..., Done], arguments: list[str], words: str
) -> None:
    """The exit code is 2, before any request."""
    done = run("series", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


@pytest.mark.usefixtures("_reader")
def test_search_as_list_and_as_json(run: Callable[..., Done]) -> None:
    """Ids that begin with the text, with units where there are any; nothing is exit code 4."""
    lines = [line.split() for line in run("search", "p-", "--limit", "2").out.splitlines()]
    assert lines[1:3] == [["product", "p-3", "2"], ["product", "p-4", "5"]]
    assert lines[3][:2] == ["and", "more:"]
    found = json.loads(run("search", "o-1", "--kind", "order", "--json").out)
    assert [(one["kind"], one["id"]) for one in found["items"]] == [("order", "o-1")]
    assert run("search", "nothing").code == 4


@pytest.mark.usefixtures("_reader")
def test_the_status_is_shown_and_exits_with_0_when_live(run: Callable[..., Done]) -> None:
    """The state is first; every source, table and worker follows."""
    done = run("status")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "LIVE netsold: nothing behind; rate not known yet; tables 0.5 s old"
    assert lines[1].startswith(
        "complete through 2026-07-11T00:00:00.000Z; cycle from 2026-07-06T00:00:00Z"
    )
    assert ["product_cycles", "2026-07-11T00:00:00.000Z", "0"] in [line.split() for line in lines]
    for source in ("orders-0", "orders-1", "chats-0", "chats-1"):
        assert re.search(rf"^{source} +\d+ +0 +worker *$", done.out, re.MULTILINE)
    count = len({stage.source for stage in catalogue.STAGES})
    assert f"worker worker at 127.0.0.1 reads 0-1 of all {count} topics" in lines
    build = str(this_build())
    assert lines[-1] == f"build {build}, rules {RULES}"
    answer = json.loads(run("status", "--json").out)
    assert answer["records_behind"] == 0
    assert answer["reader"] == {"build": build, "rules": RULES}
    ((workers),) = answer["workers"]
    assert (workers["build"], workers["rules"]) == (build, RULES)
    assert len(workers["partitions"]) == 2 * count


def test_a_status_that_is_not_live_has_the_remedy(
    run: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 5, the group that should read the waiting event, and the remedy.

    `--max-behind` is the reader's bound.
    """
    logs = Changelogs(settings_in(tmp_path))
    logs.take(EVENTS)
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    logs.send("orders", b"o-9", b"?", [], 1)
    reader.observe(members=())
    reader.watch.letters.parked = [
        Parked("orders", "not_json", 12, 2, TICK_MS, TICK_MS + 1000, 3, 1)
    ]
    with served(make_app(reader), monkeypatch):
        done = run("status")
        assert done.code == 5
        assert re.search(r"^orders-1 +\d+ +1 +\S+ s .*nobody *$", done.out, re.MULTILINE)
        sentence = (
            "fault: no worker is in group netsold: nobody reads orders-0, .*"
            " while 1 record waits: start one with `netsold worker`"
        )
        assert re.search(sentence, done.out)
        parked = (
            "dead letters orders not_json: 8 open of 12, 2 since the reader began;"
            " 2026-07-11T00:00:00.000Z to 2026-07-11T00:00:01.000Z"
        )
        assert parked in done.out.splitlines()
        assert done.out.startswith("STALLED netsold: 1 record behind; ")
        assert done.out.splitlines()[1].startswith("fault: no worker ")
        assert json.loads(run("status", "--json").out)["state"] == "stalled"
        reader.observe()
        assert run("status").code == 0
        done = run("status", "--max-behind", "0")
        assert (done.code, "fault: 1 record is not in all tables" in done.out) == (5, True)
    reader.close()


@pytest.mark.usefixtures("_reader")
def test_the_readers_tables_are_the_recount(run: Callable[..., Done]) -> None:
    """They are equal byte for byte, so that `diff` can compare them."""
    done = run("tables", "--from", "reader")
    assert done.code == 0
    assert done.out == json.dumps(recount(EVENTS, 30 * 86_400_000, 0), ensure_ascii=False) + "\n"


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["get", "product", "p-6"], 4, "netsold: no event names this product: 'p-6'\n"),
        (["get", "shop", "s-6"], 4, "netsold: no event names this shop: 's-6'\n"),
        (["get", "order", "o-6"], 4, "netsold: no event names this order: 'o-6'\n"),
        (
            ["get", "product", "p-3", "--max-lag", "100ms"],
            5,
            "netsold: max_lag is 0.1 s; the lag is 0.5 s\n",
        ),
        (
            ["get", "product", "p-3", "--cycle", "July"],
            2,
            (
                "netsold: cycle: 'July' is not an RFC 3339 time with zone,"
                " such as 2026-07-01T08:00:00Z\n"
            ),
        ),
        (
            ["top", "--cycle", "9999-12-31T23:59:59Z"],
            2,
            (
                "netsold: cycle: '9999-12-31T23:59:59Z' is in no cycle that may have events:"
                " they are from 1900 to 2199\n"
            ),
        ),
        (
            ["get", "shop", "s-7", "--cycle", ""],
            2,
            "netsold: cycle: it is empty: give it a value, or leave it out\n",
        ),
        (
            ["top", "--max-lag", "soon"],
            2,
            "netsold: max_lag: 'soon' is no duration, such as 5s, 500ms, 2m or 1h\n",
        ),
    ],
)
def test_a_failure_is_one_sentence_and_an_exit_code(
    run: Callable[..., Done], arguments: list[str], code: int, sentence: str
) -> None:
    """4 is not found, 5 too stale, 2 a wrong request.

    Nothing is on stdout.
    """
    assert run(*arguments) == Done(code, "", sentence)


def test_an_order_is_not_of_a_cycle(run: Callable[..., Done]) -> None:
    """A cycle is a usage error, before any request."""
    done = run("get", "order", "o-1", "--cycle", "2026-07-01T00:00:00Z")
    assert done.code == 2
    assert "an order is not of one cycle" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "product", ""],
        ["overdue", ""],
        ["top", "--by", "sales"],
        ["top", "--by", "revenue"],
        ["top", "--currency", "CNY"],
        ["top", "--by", "response-rate"],
        ["top", "--shop", ""],
        ["top", "shops", "--shop", "s-7"],
        ["top", "--shop", "s-7", "--by", "growth"],
        ["top", "shops", "--By", "sales"],
        ["search", " "],
    ],
)
def test_an_unknown_argument_is_a_usage_error(
    run: Callable[..., Done], arguments: list[str]
) -> None:
    """The exit code is 2, before any request.

    Cases are an empty id, and unknown values and options.
    """
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert re.search("at least one character|revenue|--By|response rate", done.err)


def test_a_missing_reader_is_reported_with_the_remedy(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command exits with 5."""
    monkeypatch.setenv("NETSOLD_READER_PORT", "1")
    sentence = (
        "netsold: no reader answers at 127.0.0.1:1: start one with `netsold serve`,"
        " or set NETSOLD_READER_HOST and _PORT\n"
    )
    for arguments in (["get", "product", "p"], ["top"], ["status"], ["tables", "--from", "reader"]):
        assert run(*arguments) == Done(5, "", sentence)


def test_a_reader_that_is_silent_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever is on call would start a second one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("NETSOLD_READER_PORT", str(server.getsockname()[1]))
        monkeypatch.chdir(tmp_path)
        with pytest.raises(NoReader, match=r"gave no answer within 0\.1 s"):
            get(Settings(), "/v1/status", timeout_s=0.1)


def test_a_reader_that_is_not_ready_is_quoted(
    run: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 5, with the reader's own sentence."""
    with served(make_app(Reader(settings_in(tmp_path))), monkeypatch):
        assert run("top") == Done(
            5, "", "netsold: the reader has no tables yet: it has just started\n"
        )


class _Stranger(BaseHTTPRequestHandler):
    status, body = 200, b"<html>"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as it is declared
        pass


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (404, b"<html>"), (503, b"{}"), (503, b"[1]")]
)
def test_another_server_at_the_address_is_reported(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    """The exit code is 5, without a traceback."""
    stranger = type("Stranger", (_Stranger,), {"status": status, "body": body})
    with HTTPServer(("127.0.0.1", 0), stranger) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("NETSOLD_READER_PORT", str(server.server_port))
        try:
            done = run("status")
        finally:
            server.shutdown()
            thread.join(10)
    assert (done.code, done.out) == (5, "")
    assert "is no reader" in done.err


def test_an_incomplete_export_is_no_result(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export without its last line is refused."""
    stranger = type(
        "Stranger", (_Stranger,), {"body": b'{"anomalies": {"order_id": "o", "anomaly": "x"}}\n'}
    )
    with HTTPServer(("127.0.0.1", 0), stranger) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("NETSOLD_READER_PORT", str(server.server_port))
        try:
            done = run("tables", "--from", "reader")
        finally:
            server.shutdown()
            thread.join(10)
    assert done == Done(5, "", "netsold: the reader's export is incomplete: try again\n")


@pytest.mark.usefixtures("_reader")
def test_written_positions_are_waited_for_in_all_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A position that the tables include returns at once.

    For a later position the command waits, and gives up with a sentence.
    """
    monkeypatch.setattr("serving.requests.MIN_POSITION_WAIT_S", 0.01)
    monkeypatch.setattr("operations.writing.applied.RETRY_AFTER_S", 0.01)
    settings = Settings()
    applied = get(settings, "/v1/status")["freshness"]["applied"]
    assert {at[:-1] for at in applied} == {"orders-", "chats-"}
    until_applied(settings, applied, 60.0)
    until_applied(settings, {}, 60.0)
    for at, offset in applied.items():
        with pytest.raises(
            GaveUp, match=f"the reader's tables don't hold what was written: .*{at}:{offset + 1} "
        ):
            until_applied(settings, applied | {at: offset + 1}, 0.05)


@pytest.mark.usefixtures("_reader")
def test_a_watched_status_is_a_line_or_an_object_an_answer(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While no reader answers, it says so and goes on; Ctrl-C ends it with 130."""
    port = os.environ["NETSOLD_READER_PORT"]
    monkeypatch.setattr("operations.commands.status.WATCH_EVERY_S", 0.05)

    def run_until(lines: int, *options: str) -> list[str]:
        printed = []

        def echo(line: str) -> None:
            printed.append(line)
            if len(printed) == lines:
                raise KeyboardInterrupt

        monkeypatch.setattr(typer, "echo", echo)
        assert run("status", "--watch", *options).code == 130
        return printed

    first, second = map(json.loads, run_until(2, "--json"))
    assert first["state"] == second["state"] == "live"
    assert {one.split(" ")[1] for one in run_until(2)} == {"live;"}
    monkeypatch.setenv("NETSOLD_READER_PORT", "1")
    (line,) = run_until(1, "--json")
    assert json.loads(line)["error"].startswith("no reader answers at 127.0.0.1:1")
    assert run_until(1)[0].startswith("no answer: no reader answers at 127.0.0.1:1")
    monkeypatch.setattr("operations.commands.status.SILENT_AFTER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # one that accepts and never answers
        monkeypatch.setenv("NETSOLD_READER_PORT", str(silent.getsockname()[1]))
        assert run_until(2) == ["no answer: the reader has not answered yet"] * 2
    monkeypatch.setenv("NETSOLD_READER_PORT", port)
    done = run("status", "--watch", "--max-behind-seconds", "-1")
    assert done.code == 2


def test_a_live_answer_without_an_instant_has_the_reason() -> None:
    """A partition may have no event at all: nothing is wrong, and no instant is known."""
    assert freshness_line({"state": "live", "as_of": None, "lag_seconds": None}) == (
        "live; complete through no instant yet: a source partition has no event that is applied"
    )
