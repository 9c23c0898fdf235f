"""Properties of an order's explanation: it leads to the table's row, and its steps add up to it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import envelope
from schemas.named_orders import order_ids
from schemas.positions import Position
from tables import counting, orders
from tables.conclusion import conclude
from tables.explanation import LoggedReading, Parking, Verdict, explain, result_of
from tables.unsold_lines import unsold
from tests.flow import CYCLES, TERMS, Flow
from tests.properties.strategies import happenings

if TYPE_CHECKING:
    from tables.explanation import Result
    from tables.orders import Order

ORDER = "o-1"
garbage = st.lists(st.tuples(st.integers(0, 14), st.sampled_from([b"{", b"[]", b"{}"])), max_size=3)


def logged(flow: Flow) -> list[LoggedReading]:
    """The records that name the order, as they stand in the log."""
    found = []
    for (topic, partition), records in flow.logs.items():
        for record in records if topic == "orders" else ():
            reading = envelope.read(record)
            if ORDER in order_ids(record, reading):
                assert not isinstance(reading, envelope.Tick)
                position = Position(topic, partition, record.offset)
                found.append(LoggedReading(position, record.timestamp, reading))
    return found


def row(flow: Flow) -> Order:
    """The order in the table."""
    state = flow.tables["orders"].get(ORDER.encode())
    return orders.EMPTY if state is None else orders.decode(state)


def applied(events: list[dict[str, Any]], wrong: list[tuple[int, bytes]]) -> Flow:
    """A pipeline that has applied events of one order, with records between that are refused."""
    flow = Flow()
    for number, event in enumerate(events):
        for place, value in wrong:
            if place == number:
                flow.send("orders", ORDER.encode(), value, [])
        flow.take([event | {"order_id": ORDER}])
    return flow.run()


def flat(result: Result) -> Counter[tuple[str, str]]:
    """Net units, and net money by currency; without zeros."""
    found = Counter({("units", ""): result.units.net})
    found.update({("amount", name): sums.net for name, sums in result.amounts.items()})
    return Counter({name: number for name, number in found.items() if number})


@settings(max_examples=400)
@given(happenings(), garbage, st.integers(0, 14), st.integers(0, 3))
def test_steps_lead_to_the_row_and_add_up_to_it(
    events: list[dict[str, Any]], wrong: list[tuple[int, bytes]], left_out: int, every: int
) -> None:
    """Whatever part of the events is read: the last result is the row's, and so is their sum."""
    flow = applied(events, wrong)
    read = logged(flow)
    assert len(read) == len(events) + len([place for place, _ in wrong if place < len(events)])
    part = [one for number, one in enumerate(read) if number >= left_out or number % 3 < every]
    order = row(flow)
    explanation = explain(order, part, TERMS)
    last = explanation.steps[-1].result if explanation.steps else explanation.before
    assert last == result_of(explanation.counted) == result_of(counting.derive(order))
    total = flat(explanation.before)
    for step in explanation.steps:
        for entry in step.entries:
            total["units", ""] += entry.units_gross - entry.units_reversed
            total["amount", entry.currency] += entry.amount_gross - entry.amount_reversed
        assert Counter({name: number for name, number in total.items() if number}) == flat(
            step.result
        )
    conclusion = conclude(order, explanation.counted, CYCLES)
    assert (conclusion.units, conclusion.amount) == (
        last.units.net,
        sum(sums.net for sums in last.amounts.values()),
    )


@given(happenings(), garbage)
def test_entries_are_those_of_the_journal(
    events: list[dict[str, Any]], wrong: list[tuple[int, bytes]]
) -> None:
    """With all events read, each step has the entries that the worker wrote for its event."""
    flow = applied(events, wrong)
    steps = explain(row(flow), logged(flow), TERMS).steps
    made = sorted((entry for step in steps for entry in step.entries), key=lambda entry: entry.id)
    written = sorted(flow.entries, key=lambda entry: entry.id)
    assert made == [replace(entry, restates=False) for entry in written]


@given(happenings(), garbage)
def test_verdicts_are_those_of_the_worker(
    events: list[dict[str, Any]], wrong: list[tuple[int, bytes]]
) -> None:
    """What it refused is parked; every other event met a rule; a duplicate has no entries."""
    flow = applied(events, wrong)
    explanation = explain(row(flow), logged(flow), TERMS)
    parked = [step for step in explanation.steps if step.verdict is Verdict.PARKED]
    assert len(parked) == len(flow.parked)
    for step in explanation.steps:
        assert bool(step.rules) == (step.verdict is not Verdict.PARKED)
        if step.entries:
            assert step.verdict in {Verdict.APPLIED, Verdict.CONFLICTING}
        if step.verdict is Verdict.DUPLICATE:
            assert "S11" in step.rules
    assert explanation.facts_before == 0


LETTER = Parking("order_full", Position("dead-letters", 0, 3))


@given(happenings(), st.integers(0, 13), st.sampled_from([None, LETTER]))
def test_an_event_that_the_table_lacks_was_parked(
    events: list[dict[str, Any]], which: int, letter: Parking | None
) -> None:
    """So a record that the worker parked is shown as such, also without its dead letter."""
    if which >= len(events):
        return
    rest = [event for number, event in enumerate(events) if number != which]
    if any(event["id"] == events[which]["id"] for event in rest):
        return
    flow = applied(events, [])
    read = logged(flow)
    read[which] = read[which]._replace(parking=letter)
    steps = explain(row(applied(rest, [])), read, TERMS).steps
    assert [step.verdict is Verdict.PARKED for step in steps] == [
        number == which for number in range(len(events))
    ]
    assert steps[which].parking == (letter or Parking(None, None))


@settings(max_examples=300)
@given(happenings())
def test_a_line_without_a_sale_has_exactly_one_reason(events: list[dict[str, Any]]) -> None:
    """S1, S4 or S7, by the words of the rules."""
    order = row(applied(events, []))
    counted = counting.derive(order)
    reasons = unsold(order, counted)
    if not order.placed:
        assert not reasons
        return
    sold = {sale.line_id for sale in counted.sales}
    assert reasons.keys() == {line.line_id for line in order.placed[0].lines} - sold
    cancelled_ms = min((fact.occurred_at_ms for fact in order.cancellations), default=None)
    for line_id, rule in reasons.items():
        receipts = [
            fact.occurred_at_ms
            for fact in order.receipts
            if fact.line_ids is None or line_id in fact.line_ids
        ]
        if not receipts:
            assert rule == "S1"
        elif cancelled_ms is not None and min(receipts) > cancelled_ms:
            assert rule == "S4"
        else:
            assert rule == "S7"
            assert any(fact.occurred_at_ms < min(receipts) for fact in order.refunds)
