"""Earlier moments: sums of brief entries against a recount of the events that a moment includes.

The recount shares no code with the tables.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random
from typing import TYPE_CHECKING, Any
from zlib import crc32

from hypothesis import example, given, settings
from hypothesis import strategies as st

from operations.oracle.events import time_ms
from operations.oracle.recount import recount
from schemas import envelope, journal, times
from schemas.envelope import Received
from serving.folded_journal import fold
from tables import orders, time_travel
from tables.breakdown import Breakdown, OrderEntries
from tables.brief_entries import BriefEntry, decode_entries
from tables.catalogue import find_table
from tables.cycles import Calendar
from tables.orders import Order
from tables.report import all_time, sales_rows
from tables.sales import Tally
from tables.time_travel import Moment
from tests.flow import PARTITIONS, Flow, Record, binary
from tests.properties.strategies import EDGE_MS, events, happenings, instants
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

Event = dict[str, Any]
LISTS = {"products": "product_id", "shops": "shop_id"}
CYCLES = st.sampled_from([(30 * 86_400_000, 0), (1, 0), (86_400_000, EDGE_MS + 1)])


RETURNED = next(
    parse("""== a refund that the bank returns after the instant
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
    2026-07-02T08:00Z  received  o-1
    2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:1000
    2026-07-09T08:00Z  refund-returned  o-1 r-1
    """)
).events
NEAR = st.integers(EDGE_MS - 3, EDGE_MS + 3)


@st.composite
def sold_orders(draw: st.DrawFn) -> list[Event]:
    """Events of two orders that are placed and received, with refunds and returned refunds.

    They happen within a few milliseconds, and a few have the same id with other content.
    """
    kinds = ["refund_succeeded", "refund_succeeded", "refund_reversed", "order_placed"]
    wanted = ["order_placed", "receipt_confirmed"]
    wanted += draw(st.sampled_from([[], ["refund_succeeded", "refund_reversed"]]))
    own = len(wanted)
    wanted += draw(st.lists(st.sampled_from([*kinds, "receipt_confirmed"]), max_size=6))
    happened_ms = draw(st.lists(NEAR, min_size=len(wanted), max_size=len(wanted)))
    if draw(st.booleans()):
        happened_ms.sort()
    found = []
    for number, (kind, at_ms) in enumerate(zip(wanted, happened_ms, strict=True)):
        event = draw(events(kind=kind))
        if number < own and kind != "order_placed":  # it is of all lines
            event = {k: v for k, v in event.items() if k not in {"line_ids", "lines"}}
        event["order_id"] = "o-1" if number < own else draw(st.sampled_from(["o-1", "o-1", "o-2"]))
        event["occurred_at"] = times.format_ms(at_ms)
        if "refund_id" in event:
            event["refund_id"] = "r-1" if number < own else draw(st.sampled_from(["r-1", "r-2"]))
        found.append(event | {"id": draw(st.sampled_from([f"e-{number}"] * 5 + ["e-0"]))})
    return found


def placed_at(arrived: list[Event]) -> list[tuple[int, int]]:
    """The source partition and offset of each event, as the flow writes them."""
    ends: Counter[int] = Counter()
    found = []
    for event in arrived:
        partition = crc32(event["order_id"].encode()) % PARTITIONS
        found.append((partition, ends[partition]))
        ends[partition] += 1
    return found


def brief(flow: Flow) -> Iterator[tuple[str, str, str, BriefEntry]]:
    """The journal in brief, as a reader stores it: (name of the id, id, cycle, entry)."""
    records = [
        Record("sales", 0, offset, 0, entry.product_id.encode(), journal.encode(entry), [])
        for offset, entry in enumerate(flow.entries)
    ]
    for new in fold(records).briefs if records else ():
        for stored in decode_entries(new.value):
            yield *new.whose, stored


def known(arrived: list[Event], moment: Moment) -> dict[str, Order]:
    """Each order by the events that a moment knows."""
    found: defaultdict[str, Order] = defaultdict(lambda: orders.EMPTY)
    for event, (partition, offset) in zip(arrived, placed_at(arrived), strict=True):
        if moment.knows(partition, offset):
            key, value, headers = binary(event)
            read = envelope.read(Record("orders", partition, offset, 0, key, value, headers))
            assert isinstance(read, Received)
            found[event["order_id"]] = orders.absorb(found[event["order_id"]], read)
    return found


def sums_at(
    flow: Flow, arrived: list[Event], keyed_by: str, moment: Moment
) -> dict[str, dict[int, Tally]]:
    """The sums of each id by cycle at a moment, as a reader makes them."""
    sums: defaultdict[str, defaultdict[int, Tally]] = defaultdict(lambda: defaultdict(Tally))
    intricate: set[str] = set()
    if moment.as_of_ms is not None:
        intricate = {
            key.decode()
            for key, state in flow.tables["orders"].items()
            if time_travel.is_intricate(orders.decode(state))
        }
    for name, id_, cycle, entry in brief(flow):
        if name == keyed_by:
            start_ms = flow.calendar.start_of_iso(cycle)
            seen = time_travel.included([entry], moment, intricate)
            time_travel.add_up(sums[id_][start_ms], seen)
    for order_id, order in known(arrived, moment).items() if intricate else ():
        if order_id in intricate:
            assert moment.as_of_ms is not None
            then = time_travel.happened(order, moment.as_of_ms)
            for id_, start_ms, entry in time_travel.entries_of_order(
                order_id, then, flow.calendar, keyed_by
            ):
                time_travel.add_up(sums[id_][start_ms], [entry])
    return {
        id_: {start_ms: time_travel.closed(tally) for start_ms, tally in cycles.items()}
        for id_, cycles in sums.items()
    }


@settings(max_examples=400)
@given(
    happenings(20) | sold_orders() | sold_orders(),
    CYCLES,
    st.tuples(*[st.integers(0, 12)] * PARTITIONS) | st.none(),
    NEAR | NEAR | instants | st.none(),
    st.randoms(use_true_random=False),
)
@example(RETURNED, (30 * times.DAY_MS, 0), None, EDGE_MS, Random(1))
def test_an_earlier_moment_is_a_recount_of_its_events(
    happened: list[Event],
    cycle: tuple[int, int],
    bounds: tuple[int, ...] | None,
    as_of_ms: int | None,
    chance: Random,
) -> None:
    """Known by any prefix of each partition, happened by any instant, and both: as recounted.

    Events arrive in any order, some of them again.
    """
    arrival = happened + chance.choices(happened, k=4) if happened else []
    chance.shuffle(arrival)
    flow = Flow(Calendar(*cycle)).take(arrival)
    moment = Moment(dict(enumerate(bounds or [len(arrival)] * PARTITIONS)), as_of_ms)
    meant = [
        event
        for event, (partition, offset) in zip(arrival, placed_at(arrival), strict=True)
        if moment.knows(partition, offset)
        and (as_of_ms is None or time_ms(event["occurred_at"]) <= as_of_ms)
    ]
    counted = recount(meant, *cycle)
    for name, keyed_by in LISTS.items():
        table = find_table(keyed_by, "sales", windowed=True)
        assert table is not None
        rows = [
            row
            for id_, cycles in sums_at(flow, arrival, keyed_by, moment).items()
            for row in sales_rows(flow.terms, table, id_, cycles, all_time(cycles))
        ]
        assert sorted(map(repr, rows)) == sorted(map(repr, counted[name]))


@settings(max_examples=200)
@given(happenings(20) | sold_orders(), CYCLES)
def test_the_parts_of_a_number_add_up_to_the_table(
    happened: list[Event], cycle: tuple[int, int]
) -> None:
    """The orders of a breakdown, and the steps of its movement, add up to the row of the table."""
    flow = Flow(Calendar(*cycle)).take(happened)
    rows = {
        (keyed_by, row[keyed_by], row["cycle"]["start"]): row
        for name, keyed_by in LISTS.items()
        for row in flow.report()[name]
    }
    found: defaultdict[tuple[str, str, str], list[BriefEntry]] = defaultdict(list)
    for keyed_by, id_, cycle_start, entry in brief(flow):
        found[keyed_by, id_, cycle_start].append(entry)
    assert rows.keys() <= found.keys()
    for whose, entries in found.items():
        breakdown = Breakdown()
        breakdown.add(entries)
        row = rows.get(whose, {"units": {"net": 0, "reversed": 0}, "revenue": {}})
        net = {currency: money["net"] for currency, money in row["revenue"].items()}
        listed, count = breakdown.largest(len(entries))
        assert len(listed) == count
        assert [one.units for _, one in listed] == sorted((one.units for _, one in listed))[::-1]
        amounts: Counter[str] = Counter()
        for (_, currency), one in listed:
            amounts[currency] += one.amount
        assert sum(one.units for _, one in listed) == row["units"]["net"]
        assert {currency: amount for currency, amount in amounts.items() if amount} == {
            currency: amount for currency, amount in net.items() if amount
        }
        _, steps = breakdown.movement()
        assert sum(step.units for _, step in steps) == row["units"]["net"]
        for currency, amount in net.items():
            assert sum(step.amounts[currency] for _, step in steps) == amount
        assert breakdown.reversals.units == row["units"]["reversed"]
        of_orders = OrderEntries(who for who, _ in listed)
        of_orders.add(entries)
        for who, one in listed:
            units = sum(each.units_gross - each.units_reversed for each in of_orders.of[who])
            assert units == one.units or one.entries > len(of_orders.of[who])
