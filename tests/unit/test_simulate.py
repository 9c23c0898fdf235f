"""Simulated traffic is repeatable, lifelike and acceptable, and its faults change no table."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner, Result

from operations.commands.simulate import HistoryAhead, before_now, command
from operations.oracle.events import Invalid, accept, parse
from operations.oracle.recount import recount
from operations.simulation import faults
from operations.simulation.faults import POISONS, Faults, Poison, disturbed
from operations.simulation.market import Event
from operations.simulation.traffic import (
    ALL_EVENTS_PER_ORDER,
    CHATS_PER_ORDER,
    EVENTS_PER_ORDER,
    Plan,
    traffic,
)
from operations.writing.event_lines import Outgoing, event_of
from schemas import envelope
from schemas.events import CHAT_TYPES, MODELS, ORDER_TYPES
from schemas.refusals import Refusal
from schemas.times import DAY_MS, parse_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

START_MS = 1_767_225_600_000
PLAN = Plan(seed=3, run="t", start_ms=START_MS, every_ms=60_000, shops=25, products=40, buyers=100)
CYCLE_MS = 30 * DAY_MS


def _take(count: int, plan: Plan = PLAN) -> list[tuple[int, Event]]:
    return list(islice(traffic(plan), count))


def _count(events: Iterable[Event]) -> dict[str, list[dict[str, Any]]]:
    return recount(events, CYCLE_MS, 0)


@pytest.fixture(scope="module")
def half_a_year() -> list[Event]:
    """Twenty thousand events over many cycles."""
    return [
        event
        for _, event in _take(
            20_000, replace(PLAN, every_ms=180 * DAY_MS * ALL_EVENTS_PER_ORDER / 20_000)
        )
    ]


# --- traffic


def test_the_same_plan_gives_the_same_events() -> None:
    """Another run gives the same events with other ids.

    Another seed gives other events.
    """
    assert _take(500) == _take(500)
    assert _take(500) != _take(500, replace(PLAN, seed=4))
    other = json.dumps(_take(500, replace(PLAN, run="u")))
    assert json.loads(other.replace("-u-", "-t-")) == json.loads(json.dumps(_take(500)))


def test_events_are_sorted_by_time() -> None:
    """The time of each is its `occurred_at`."""
    events = _take(5000)
    assert all(before <= after for (before, _), (after, _) in pairwise(events))
    assert all(at_ms == parse_ms(event["occurred_at"]) for at_ms, event in events)
    assert events[0][0] >= START_MS


def test_every_event_is_acceptable_and_unique(half_a_year: list[Event]) -> None:
    """Recount accepts each event, and no two share an id."""
    assert all(accept(event) for event in half_a_year)
    assert len({event["id"] for event in half_a_year}) == len(half_a_year)


def test_every_kind_of_event_and_anomaly_occurs(half_a_year: list[Event]) -> None:
    """There are all event types, and all anomalies but conflicts.

    There are several currencies and cycles.
    """
    assert {event["type"] for event in half_a_year} == set(MODELS)
    tables = _count(half_a_year)
    anomalies = {found["anomaly"] for found in tables["anomalies"]}
    assert anomalies == {
        "received_after_cancel",
        "cancelled_after_receipt",
        "refund_exceeds_sale",
        "unknown_line",
    }
    assert any("line_ids" in event for event in half_a_year if event["type"] == "receipt_confirmed")
    assert any("group_id" in event for event in half_a_year)
    assert {currency for row in tables["products"] for currency in row["revenue"]} >= {"CNY", "USD"}
    assert len({row["cycle"]["start"] for row in tables["products"]}) >= 6
    assert any(
        row["units"]["reversed"] != row["units"]["reversals_booked"] for row in tables["shops"]
    )


def test_an_order_has_one_shop_and_about_the_stated_number_of_events(
    half_a_year: list[Event],
) -> None:
    """The number converts a rate of events into a rate of orders."""
    placed = [event for event in half_a_year if event["type"] == "order_placed"]
    chats = [event for event in half_a_year if event["type"] in CHAT_TYPES]
    alone = [
        event
        for _, event in _take(
            20_000,
            replace(PLAN, only_orders=True, every_ms=180 * DAY_MS * EVENTS_PER_ORDER / 20_000),
        )
    ]
    assert len(half_a_year) / len(placed) == pytest.approx(ALL_EVENTS_PER_ORDER, rel=0.05)
    assert len(chats) / len(placed) == pytest.approx(CHATS_PER_ORDER, rel=0.1)
    assert len(alone) / sum(event["type"] == "order_placed" for event in alone) == pytest.approx(
        EVENTS_PER_ORDER, rel=0.05
    )
    assert {event["type"] for event in alone} == ORDER_TYPES - {"review_posted"}
    shops = defaultdict(set)
    for event in placed:
        for line in event["lines"]:
            shops[line["product_id"]].add(event["shop_id"])
    assert all(len(found) == 1 for found in shops.values())


def test_a_few_products_sell_most(half_a_year: list[Event]) -> None:
    """Sales have a long tail, as in a marketplace."""
    sold = Counter(
        line["product_id"]
        for event in half_a_year
        if event["type"] == "order_placed"
        for line in event["lines"]
    )
    best = [count for _, count in sold.most_common()]
    assert sum(best[:4]) > sum(best) / 3
    assert len(sold) == PLAN.products


# --- faults


def _disturb(count: int, wrong: Faults, *, live: bool = False) -> list[tuple[int, Event | Poison]]:
    return list(disturbed(_take(count), wrong, seed=1, day_ms=DAY_MS, live=live))


def _events(items: Sequence[tuple[int, Event | Poison]]) -> list[Event]:
    return [item for _, item in items if not isinstance(item, Poison)]


def test_without_faults_nothing_changes() -> None:
    """Events and times are the same."""
    assert _disturb(1000, Faults()) == _take(1000)


def test_duplicates_disorder_and_lateness_change_no_table() -> None:
    """Rows and anomalies equal those of the undisturbed traffic (S11, S12, S13)."""
    wrong = Faults(duplicates=0.3, out_of_order=0.5, late=40 * DAY_MS)
    items = _disturb(5000, wrong)
    plain = [event for _, event in _take(5000)]
    assert _count(_events(items)) == _count(plain)
    assert all(before <= after for (before, _), (after, _) in pairwise(items))
    assert len(items) == pytest.approx(5000 * 1.3, rel=0.05)
    arrived = [parse_ms(event["occurred_at"]) for event in _events(items)]
    assert sum(before > after for before, after in pairwise(arrived)) > 1000
    late = [
        at_ms - parse_ms(item["occurred_at"]) for at_ms, item in items if isinstance(item, dict)
    ]
    assert max(late) >= 40 * DAY_MS


def test_late_live_events_have_an_earlier_time() -> None:
    """They arrive now, with an `occurred_at` in the past."""
    items = _disturb(5000, Faults(late=40 * DAY_MS), live=True)
    assert [at_ms for at_ms, _ in items] == [at_ms for at_ms, _ in _take(5000)]
    ages = [
        at_ms - parse_ms(event["occurred_at"])
        for (at_ms, _), event in zip(items, _events(items), strict=True)
    ]
    assert set(ages) == {0, 40 * DAY_MS}
    assert sum(map(bool, ages)) == pytest.approx(5000 * faults.LATE_SHARE, rel=0.4)


def test_conflicts_are_anomalies() -> None:
    """Every contradicted order has the anomaly, in any order of arrival."""
    events = _events(_disturb(5000, Faults(conflicts=0.05)))
    conflicting = {
        found["order_id"]
        for found in _count(events)["anomalies"]
        if found["anomaly"] == "conflicting_event"
    }
    assert len(conflicting) == pytest.approx(250, rel=0.3)
    assert _count(events) == _count(reversed(events))


@dataclass(frozen=True)
class Record:
    """A record in the form that the decoder reads."""

    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    topic: str = "orders"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


@pytest.mark.parametrize("kind", POISONS, ids=lambda kind: kind.__name__.strip("_"))
def test_poison_is_refused_by_decoder_and_recount(kind: Any) -> None:  # noqa: ANN401 - a function of faults.py
    """The topic's decoder refuses each kind.

    So does the recount if it can be a line of a file.
    """
    rng = Random(5)
    events = [event for _, event in _take(300)]
    chats = [event for event in events if event["type"] in CHAT_TYPES]
    assert len(chats) > 20
    for event in [*events[:60], *chats]:
        poison = kind(rng, event)
        read = envelope.read_chat if event["type"] in CHAT_TYPES else envelope.read
        assert isinstance(read(Record(poison.value, poison.key, poison.headers)), Refusal), poison
        if poison.in_file:
            assert b"\n" not in poison.value
            with pytest.raises(Invalid):
                accept(parse(poison.value))


def test_poison_replaces_no_event() -> None:
    """The share is as given in both topics; some poison is too large."""
    items = _disturb(20_000, Faults(poison=0.05))
    assert _events(items) == [event for _, event in _take(20_000)]
    where = Counter(item.topic for _, item in items if isinstance(item, Poison))
    chats = sum(event["type"] in CHAT_TYPES for event in _events(items))
    assert where["chats"] == pytest.approx(chats * 0.05, rel=0.3)
    assert where["orders"] == pytest.approx((20_000 - chats) * 0.05, rel=0.2)
    assert len(items) - 20_000 == pytest.approx(1000, rel=0.15)
    assert max(len(item.value or b"") for _, item in items if isinstance(item, Poison)) > 262_144


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], Faults()),
        (["duplicates"], Faults(duplicates=0.02)),
        (
            ["duplicates=5%", "late=90m", "poison=0.1%"],
            Faults(duplicates=0.05, late=5_400_000, poison=0.001),
        ),
        (["out_of_order=100%", "conflicts=0%", "late"], Faults(out_of_order=1.0, late=3 * DAY_MS)),
    ],
)
def test_faults_are_named(texts: list[str], expected: Faults) -> None:
    """A fault has the given amount, or the usual one."""
    assert faults.parse(texts) == expected


@pytest.mark.parametrize(
    "text",
    [
        "fire",
        "duplicates=",
        "duplicates=2",
        "duplicates=200%",
        "poison=-1%",
        "late=3",
        "late=2%",
        "late=1w",
    ],
)
def test_unknown_faults_are_refused(text: str) -> None:
    """The sentence names the faults, or how to write the amount."""
    with pytest.raises(ValueError, match=r"there are|write it as"):
        faults.parse([text])


# --- the command, into a file


def _run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


def _lines(path: Path) -> list[Event]:
    """The events of a file, without the names among them."""
    return [line for line in _all_lines(path) if not line["type"].endswith("_named")]


def _all_lines(path: Path) -> list[Event]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_file_has_the_names_of_what_its_orders_name(tmp_path: Path) -> None:
    """Each once, before its first order, as lines that `netsold import` reads."""
    path = tmp_path / "a.jsonl"
    summary = json.loads(_run("--out", str(path), "--events", "500", "--json").stdout)
    named, in_orders = [], set()
    for line in _all_lines(path):
        if line["type"].endswith("_named"):
            read = event_of(json.dumps(line).encode())
            assert isinstance(read, Outgoing)
            named.append(read.key.decode())
        elif line["type"] == "order_placed":
            in_orders |= {f"shop/{line['shop_id']}"}
            in_orders |= {f"product/{one['product_id']}" for one in line["lines"]}
            assert in_orders <= set(named)
    assert sorted(named) == sorted(in_orders)
    assert summary["names"] == len(named) > 100


def test_a_file_of_history_can_be_written_again(tmp_path: Path) -> None:
    """The same arguments give the same bytes, and any other argument other orders."""
    first, again = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    for path in (first, again):
        assert _run("--out", str(path), "--events", "500").exit_code == 0
    assert first.read_bytes() == again.read_bytes()
    ids = {event["id"] for event in _lines(first)}
    for other in (
        ("--seed", "2"),
        ("--days", "10"),
        ("--start", "2026-01-02T00:00:00Z"),
        ("--events", "501"),
    ):
        assert _run("--out", str(again), "--events", "500", *other).exit_code == 0
        assert not ids & {event["id"] for event in _lines(again)}


def test_history_spans_the_given_days(tmp_path: Path) -> None:
    """The after-sales of the last orders follow later."""
    path = tmp_path / "a.jsonl"
    _run(
        "--out",
        str(path),
        "--events",
        "3000",
        "--days",
        "60",
        "--start",
        "2026-03-01T08:00:00+08:00",
    )
    at = [event["occurred_at"] for event in _lines(path)]
    assert at[0].startswith("2026-03-01")
    assert "2026-04-20" < at[-1] < "2026-06-01"


def _acceptable(line: bytes) -> bool:
    try:
        return bool(accept(parse(line)))
    except Invalid:
        return False


def test_the_summary_counts_what_was_written(tmp_path: Path) -> None:
    """It is JSON on stdout; poison in a file changes no table."""
    plain, poisoned = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    _run("--out", str(plain), "--events", "3000")
    result = _run(
        "--out",
        str(poisoned),
        "--events",
        "3000",
        "--json",
        "--fault",
        "poison=2%",
        "--fault",
        "duplicates=5%",
    )
    summary = json.loads(result.stdout)
    lines = [line for line in poisoned.read_bytes().split(b"\n")[:-1] if b"_named" not in line]
    assert (
        summary.items()
        >= {"seed": 1, "target": str(poisoned), "events": 3000, "records": len(lines)}.items()
    )
    assert summary["poison"] > 20
    good = [json.loads(line) for line in lines if _acceptable(line)]
    assert len(good) == len(lines) - summary["poison"] == pytest.approx(3150, rel=0.02)
    assert _count(good) == _count(_lines(plain))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rate", "10", "--out", "x"], "a file has no present"),
        (["--out", "x", "--fault", "fire"], "is no fault"),
        (["--out", "x", "--start", "2026-01-01T00:00:00"], "'2026-01-01T00:00:00' has no zone"),
    ],
)
def test_contradictory_arguments_are_refused(arguments: list[str], sentence: str) -> None:
    """The exit code is 2, and nothing is written."""
    result = _run(*arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.replace("│", " ").split())


def test_history_for_the_log_ends_where_workers_would_park_it() -> None:
    """Events in the future aren't written, unless the bound is off."""
    items, clock_ms = _take(50), START_MS
    latest_ms = items[-2][0] if items[-2][0] < items[-1][0] else items[-3][0]
    with pytest.raises(HistoryAhead, match="give an earlier --start"):
        list(before_now(iter(items), latest_ms - clock_ms, clock_ms))
    assert list(before_now(iter(items), 0, clock_ms)) == items
    seen = before_now(iter(items), latest_ms - clock_ms, clock_ms)
    assert [next(seen) for one in items if one[0] <= latest_ms] == [
        one for one in items if one[0] <= latest_ms
    ]
