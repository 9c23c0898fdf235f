"""Properties of the tables for any events of orders.

S6, S8, S12, and that tables are the sums of the journal.
"""

# ruff: noqa: ANN401 - a test hands in anything, also what is wrong

import random
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import envelope, journal
from schemas.columns import SUMMED
from schemas.envelope import Received
from tables import counting, orders, sales
from tables.catalogue import split_cycle_key
from tables.orders import Facts
from tests.flow import Flow, Record, bare, binary
from tests.properties.strategies import happenings


@settings(max_examples=400)
@given(happenings(), st.randoms(use_true_random=False))
def test_order_of_arrival_never_matters(
    events: list[dict[str, Any]], chance: random.Random
) -> None:
    """S12: any permutation with any duplicates gives the same tables and the same orders."""
    arrival = events + chance.choices(events, k=5) if events else []
    chance.shuffle(arrival)
    in_order, shuffled = (
        Flow().take(events),
        Flow(chunk=lambda: chance.randint(1, 4)).take(arrival, bare),
    )
    assert shuffled.report() == in_order.report()
    assert shuffled.tables["orders"] == in_order.tables["orders"]


@given(happenings())
def test_net_stays_between_zero_and_gross(events: list[dict[str, Any]]) -> None:
    """S8: 0 <= net <= gross, and nothing booked is negative, in every row and column."""
    report = Flow().take(events).report()
    for row in report["products"] + report["shops"]:
        by_currency = row["units_by_currency"].values()
        for columns in (row["units"], *by_currency, *row["revenue"].values()):
            assert 0 <= columns["net"] <= columns["gross"]
            assert columns["net"] == columns["gross"] - columns["reversed"]
            assert columns["reversals_booked"] >= 0
        for name, number in row["units"].items():
            assert number == sum(columns[name] for columns in by_currency)


@given(happenings())
def test_both_bases_agree_over_all_time(events: list[dict[str, Any]]) -> None:
    """S6: for every product and shop, what is reversed equals what is booked."""
    flow = Flow().take(events)
    for name in ("product_totals", "shop_totals"):
        for state in flow.tables[name].values():
            tally = sales.decode(state)
            for sums in tally.currencies.values():
                assert sums.units_reversed == sums.units_booked
                assert sums.amount_reversed == sums.amount_booked


@given(happenings())
def test_tables_are_the_sums_of_the_journal(events: list[dict[str, Any]]) -> None:
    """Each column of a table is the sum of the entries' columns.

    Totals are the sums of cycles.
    """
    flow = Flow().take(events)
    for subject, cycles, totals in (
        ("product_id", "product_cycles", "product_totals"),
        ("shop_id", "shop_cycles", "shop_totals"),
    ):
        by_entries, by_totals = Counter[Any](), Counter[Any]()
        for entry in flow.entries:
            _sum(
                by_entries,
                (getattr(entry, subject), flow.calendar.start_of_iso(entry.cycle)),
                entry,
            )
            _sum(by_totals, getattr(entry, subject), entry)
        in_cycles = {
            name: value
            for key, state in flow.tables[cycles].items()
            for name, value in _columns(split_cycle_key(key), state)
        }
        in_totals = {
            name: value
            for key, state in flow.tables[totals].items()
            for name, value in _columns(key.decode(), state)
        }
        assert {name: value for name, value in by_entries.items() if value} == in_cycles
        assert {name: value for name, value in by_totals.items() if value} == in_totals


def _sum(sums: Counter[Any], whose: Any, entry: journal.Entry) -> None:
    for column in SUMMED:
        sums[whose, entry.currency, column] += getattr(entry, column)


def _columns(whose: Any, state: bytes) -> list[tuple[Any, int]]:
    return [
        ((whose, currency, column), value)
        for currency, sums in sales.decode(state).currencies.items()
        for column, value in msgspec.structs.asdict(sums).items()
        if value
    ]


@given(happenings(), st.integers(1, 7))
def test_where_chunks_are_cut_does_not_matter(events: list[dict[str, Any]], size: int) -> None:
    """The same log in chunks of any size gives the same tables, entries and progress."""
    whole, cut = Flow().take(events), Flow(chunk=lambda: size).take(events)
    assert cut.tables == whole.tables
    assert cut.entries == whole.entries
    assert [cut.progress[at].watermark_ms for at in whole.progress] == [
        one.watermark_ms for one in whole.progress.values()
    ]


@given(happenings())
def test_the_same_events_again_change_nothing(events: list[dict[str, Any]]) -> None:
    """S11: a second delivery of everything writes no entry and changes no order."""
    flow = Flow().take(events)
    tables, entries = {name: dict(rows) for name, rows in flow.tables.items()}, len(flow.entries)
    flow.take(events)
    assert flow.tables == tables
    assert len(flow.entries) == entries


@given(happenings())
def test_nothing_is_sold_that_was_not_ordered(events: list[dict[str, Any]]) -> None:
    """S3, S7: a sale has at most its line's units and revenue, reversals at most its sale's."""
    for state in Flow().take(events).tables["orders"].values():
        order = orders.decode(state)
        ordered = {line.line_id: line for placed in order.placed[:1] for line in placed.lines}
        for sale in counting.derive(order).sales:
            line = ordered[sale.line_id]
            assert 0 <= sale.units <= line.quantity
            assert 0 <= sale.amount <= line.quantity * line.unit_price - (line.discount or 0)
            assert sum(one.units for one in sale.reversals) <= sale.units
            assert sum(one.amount for one in sale.reversals) <= sale.amount
            assert all(one.at_ms >= sale.at_ms for one in sale.reversals)


@given(happenings(8), st.randoms(use_true_random=False))
def test_what_a_chunk_collects_is_what_events_add_one_by_one(
    events: list[dict[str, Any]], chance: random.Random
) -> None:
    """S11, S12: the builder gives the same order as `absorb`.

    Both find the same duplicates.
    """
    facts: dict[str, Facts] = {}
    for event in chance.choices(events, k=2 * len(events)) if events else []:
        received = envelope.read(Record("orders", 0, 0, 0, *binary(event)))
        assert isinstance(received, Received)
        known = facts.setdefault(received.order_id, Facts(orders.EMPTY))
        before, after = known.order, orders.absorb(known.order, received)
        if known.add(received):
            assert after is not before
        else:
            assert known.order is before
            facts[received.order_id] = Facts(after)
        assert facts[received.order_id].order == after


@given(happenings(8), happenings(8))
def test_the_short_cut_past_counting_is_sound(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    """Where `sales_may_differ` is False, the sales are the same."""
    first = {
        key: orders.decode(state) for key, state in Flow().take(before).tables["orders"].items()
    }
    for number, event in enumerate(after):
        key, value, headers = binary(event)
        reading = envelope.read(Record("orders", 0, number, 0, key, value, headers))
        assert isinstance(reading, Received)
        old = first.get(key, orders.EMPTY)
        new = first[key] = orders.absorb(old, reading)
        if not counting.sales_may_differ(new, reading):
            assert counting.derive(old).sales == counting.derive(new).sales
        assert orders.decode(orders.encode(new)) == new
