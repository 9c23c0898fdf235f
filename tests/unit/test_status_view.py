"""The picture of `netsold status`: the state first, all of it on one small screen."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from operations.commands import status_view

SOURCES = [f"{topic}-{number}" for topic in ("orders", "chats") for number in range(4)]
READ = [f"{topic}-{number}" for topic in ("orders", "chats", "sales", "shop-activity")
        for number in range(4)]  # fmt: skip
TABLES = (
    "orders", "product_cycles", "product_service_cycles", "shop_cycles", "shop_service_cycles",
    "shop_service_totals", "overdue", "journal",
)  # fmt: skip
AS_OF = "2026-11-29T10:00:00.000Z"


def answer(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    """The answer of a reader of four partitions and two workers; `more` replaces fields."""
    return {
        "app": "netsold",
        "state": "live",
        "findings": [],
        "cycle": {"start": "2026-11-03T00:00:00Z", "end": "2026-12-03T00:00:00Z"},
        "freshness": {"as_of": AS_OF, "lag_seconds": 0.8},
        "records_behind": 0,
        "sources": [
            {
                "source": name,
                "applied": 123_456_789,
                "behind": 0,
                "waiting_seconds": 0.0,
                "records_per_second": 25.0,
                "slowest": None,
                "read_by": "a",
            }
            for name in SOURCES
        ],
        "cluster": {
            "observed_at": AS_OF,
            "members": [
                {"name": "a", "host": "10.0.0.1", "holds": READ[::2]},
                {"name": "b", "host": "10.0.0.2", "holds": READ[1::2]},
            ],
        },
        "reader": {"build": "0.1.0+aaaaaaaaaaaa", "rules": 7},
        "workers": [{"build": "0.1.0+aaaaaaaaaaaa", "rules": 7, "partitions": READ}],
        "dead_letters": [],
        "index": {"complete": True, "records_to_read": 0, "waiting_for": None},
        "versions": {
            "answered": "netsold",
            "answered_since": AS_OF,
            "pointed": "netsold",
            "pointed_since": None,
            "former": None,
            "preparing": None,
        },
        "tables": [
            {
                "name": name,
                "freshness": {"as_of": AS_OF},
                "records_per_second": 100.0,
                "partitions": [{"behind": 0}],
            }
            for name in TABLES
        ],
    } | more


def shown(what: Any) -> list[str]:  # noqa: ANN401 - what rich can show
    """Its lines at 80 columns."""
    out = io.StringIO()
    Console(file=out, width=80, highlight=False, markup=False).print(what)
    return out.getvalue().splitlines()


def test_versions_are_shown_once_there_are_some() -> None:
    """Which one is answered, and how far the pointed one is, or what it waits for."""
    versions = answer()["versions"] | {
        "pointed": "netsold.r1", "pointed_since": AS_OF, "former": "netsold",
    }  # fmt: skip
    preparing = {"app": "netsold.r1", "records_to_read": 12_345, "waiting_for": None}
    lines = shown(status_view.picture(answer(versions=versions | {"preparing": preparing})))
    assert "preparing version netsold.r1: 12,345 records to read" in lines
    text = " ".join(line.strip() for line in lines)
    named = f"the pointer names netsold.r1 since {AS_OF}"
    assert f"version netsold answered since {AS_OF}; {named}" in text
    starting = versions | {"preparing": preparing | {"records_to_read": None}}
    lines = shown(status_view.picture(answer(versions=starting)))
    assert "preparing version netsold.r1: it starts" in lines
    moved = versions | {"answered": "netsold.r1"}
    lines = shown(status_view.picture(answer(versions=moved)))
    assert f"version netsold.r1 answered since {AS_OF}; former: netsold" in lines
    preparing = preparing | {"records_to_read": None, "waiting_for": "there is no topic x"}
    lines = shown(status_view.picture(answer(versions=versions | {"preparing": preparing})))
    assert "preparing version netsold.r1: there is no topic x" in lines
    assert not [line for line in shown(status_view.picture(answer())) if "version " in line]


def test_four_partitions_and_two_workers_fit_one_screen() -> None:
    """24 lines of 80 columns: the state, the pace, and where each partition is read."""
    lines = shown(status_view.picture(answer()))
    assert len(lines) <= 24
    assert lines[0] == "LIVE netsold: nothing behind; 200 records/s; tables 0.8 s old"
    assert "worker a at 10.0.0.1 reads 0 2 of all 4 topics" in lines
    assert "build 0.1.0+aaaaaaaaaaaa, rules 7" in lines
    assert ["chats-3", "123,456,789", "0", "25.0", "a"] in [line.split() for line in lines]


def test_what_is_wrong_comes_before_the_tables() -> None:
    """A fault with its remedy, the waiting source, and both builds."""
    found = answer(
        state="stalled",
        findings=[
            {"severity": "fault", "sentence": "nobody reads orders-1", "remedy": "start a worker"}
        ],
        workers=[
            {"build": "0.1.0+old", "rules": 7, "partitions": ["orders-0"]},
            {"build": "0.2.0+new", "rules": 7, "partitions": ["orders-1"]},
        ],
        records_behind=1,
    )
    found["sources"][1] |= {"behind": 1, "waiting_seconds": 301.0, "read_by": None}
    lines = shown(status_view.picture(found))
    assert lines[0].startswith("STALLED netsold: 1 record behind; ")
    assert lines[1] == "fault: nobody reads orders-1: start a worker"
    assert ["orders-1", "123,456,789", "1", "5", "min", "25.0", "nobody"] in map(str.split, lines)
    assert any(line.startswith("workers' build 0.1.0+old, rules 7 and 0.2.0+new") for line in lines)
    assert status_view.line(found).startswith(f"{AS_OF} stalled; 1 record behind; 200 records/s")
    assert "; fault: nobody reads orders-1" in status_view.line(found)


def test_a_line_for_a_pipe_has_notices() -> None:
    """What isn't a fault is in a pipe, too."""
    finding = {"severity": "notice", "sentence": "letters are open", "remedy": "list them"}
    assert status_view.line(answer(findings=[finding])).endswith("; notice: letters are open")


def test_a_worker_of_other_partitions_of_each_topic_is_listed() -> None:
    """Topics with the same partitions stand together; neighbours are a range."""
    members = [
        {"name": "a", "host": "h", "holds": ["orders-0", "orders-1", "orders-3", "chats-2"]},
        {"name": "b", "host": "h", "holds": ["sales-0"]},
        {"name": "c", "host": "h", "holds": []},
    ]
    lines = shown(status_view.picture(answer(cluster={"observed_at": None, "members": members})))
    assert lines[-4:-1] == [
        "worker a at h reads 2 of chats; 0-1 3 of orders",
        "worker b at h reads 0 of sales",
        "worker c at h reads nothing",
    ]


def test_a_reader_that_is_silent_is_shown_with_its_last_answer() -> None:
    """The old picture is marked as one of the past."""
    assert shown(status_view.waiting("no reader answers", 12.0, None)) == [
        "NO ANSWER for 12.0 s: no reader answers"
    ]
    lines = shown(status_view.waiting("no reader answers", 12.0, answer()))
    assert lines[1:3] == [
        "before that:",
        "LIVE netsold: nothing behind; 200 records/s; tables 0.8 s old",
    ]


def test_many_rows_of_dead_letters_are_cut() -> None:
    """The rest is a number; those without an open letter are one number together."""
    letters = [
        {
            "topic": "orders", "reason": f"r-{number}", "count": 3, "open": 2, "since_start": 0,
            "oldest": AS_OF, "newest": AS_OF,
        }
        for number in range(9)
    ]  # fmt: skip
    lines = shown(status_view.picture(answer(dead_letters=letters)))
    assert lines[-2:] == [
        "and 8 more open dead letters",
        "dead letters that were decided about: 9",
    ]
    decided = letters[0] | {"open": 0, "count": 7}
    lines = shown(status_view.picture(answer(dead_letters=[decided, letters[1]])))
    assert lines[-3].startswith("dead letters orders r-1: 2 open of 3;")
    assert lines[-1] == "dead letters that were decided about: 8"


def test_an_index_that_is_being_filled_is_shown() -> None:
    """`explain` and `find` wait for it; a complete one needs no line."""
    index = {"complete": False, "records_to_read": 1200, "waiting_for": None}
    lines = shown(status_view.picture(answer(index=index)))
    assert "event index: it is being filled, 1,200 to read" in lines
