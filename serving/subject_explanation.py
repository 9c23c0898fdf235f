"""Explains the number of a product or a shop: its orders, largest first, and how it moved."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas import times
from schemas.answers import LineSums
from schemas.past_answers import (
    ExplainedEntry,
    ExplainedOrder,
    MovementAnswer,
    PartAnswer,
    StepAnswer,
)
from tables.breakdown import OrderEntries

if TYPE_CHECKING:
    from serving.past_sales import PastSales
    from tables.breakdown import Breakdown, Contribution, Contributor, Part
    from tables.brief_entries import BriefEntry


class InCycle(NamedTuple):
    """An id in a cycle, and the sales to explain; `keyed_by` is the name of the id."""

    sales: PastSales
    keyed_by: str
    id: bytes
    start_ms: int


def explained(what: InCycle, breakdown: Breakdown, limit: int, topic: str) -> dict[str, Any]:
    """The fields of an explanation of an id in a cycle, from the breakdown of its entries.

    `limit` is how many orders are listed; `topic` the name of the log of orders.
    """
    listed, count = breakdown.largest(limit)
    entries = OrderEntries(whose for whose, _ in listed)
    for _, some in what.sales.entries(what.keyed_by, what.id, what.start_ms):
        entries.add(some)
    return {
        "entries": breakdown.entries,
        "order_count": count,
        "orders": [_order(whose, one, entries, _Naming(what, topic)) for whose, one in listed],
        "orders_left_out": count - len(listed),
        "sums_left_out": _part(breakdown.rest({whose for whose, _ in listed})),
        "reversals": _part(breakdown.reversals),
        "restatements": None if what.sales.by_event_time else _part(breakdown.restatements),
        "movement": _movement(breakdown),
    }


class _Naming(NamedTuple):
    """What an entry is named by, beside its order: `topic` is the log of orders."""

    what: InCycle
    topic: str

    def entry(self, entry: BriefEntry) -> ExplainedEntry:
        """An entry as it is answered."""
        is_product = self.what.keyed_by == "product_id"
        position = f"{self.topic}-{entry.partition}@{entry.offset}"
        return ExplainedEntry(
            position=None if entry.offset < 0 else position,
            product_id=self.what.id.decode() if is_product else entry.other_id,
            at=times.format_ms(entry.at_ms),
            restates=entry.restates,
            units=entry.units_gross - entry.units_reversed,
            amount=entry.amount_gross - entry.amount_reversed,
            booked=entry.units_booked,
        )


def _order(
    whose: Contributor, one: Contribution, entries: OrderEntries, naming: _Naming
) -> ExplainedOrder:
    order_id, currency = whose
    return ExplainedOrder(
        order_id=order_id,
        others=sorted(entries.others[whose]),
        currency=currency,
        units=LineSums(gross=one.units_gross, reversed=one.units_reversed, net=one.units),
        amount=LineSums(gross=one.amount_gross, reversed=one.amount_reversed, net=one.amount),
        reversals_booked=one.units_booked,
        entries=[naming.entry(entry) for entry in entries.of[whose]],
        entries_left_out=one.entries - len(entries.of[whose]),
    )


def _part(part: Part) -> PartAnswer:
    return PartAnswer(entries=part.entries, units=part.units, amounts=_amounts(part.amounts))


def _movement(breakdown: Breakdown) -> MovementAnswer:
    days, steps = breakdown.movement()
    units, amounts = 0, Counter[str]()
    answers = []
    for start_ms, step in steps:
        units += step.units
        for currency, amount in step.amounts.items():
            amounts[currency] += amount
        answers.append(
            StepAnswer(
                start=times.format_short(start_ms),
                units=step.units,
                amounts=_amounts(step.amounts),
                running_units=units,
                running_amounts=_amounts(amounts),
            )
        )
    return MovementAnswer(step_days=days, steps=answers)


def _amounts(amounts: dict[str, int]) -> dict[str, int]:
    return {currency: amount for currency, amount in sorted(amounts.items()) if amount}
