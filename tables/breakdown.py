"""What makes up the number of a product or a shop in one cycle: its orders, and how it moved.

The number is net units and, by currency, net amounts. Gross counts on the day of the sale, and what
refunds took off counts on the day of the refund, also after the cycle (S6). So the movement by day
adds up to the number.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from heapq import nsmallest

import msgspec

from schemas import limits, times
from tables.brief_entries import BriefEntry

Contributor = tuple[str, str]
"""An order and a currency of it."""


class Contribution(msgspec.Struct, gc=False):
    """What one order adds to a number, in one currency.

    `booked` is what refunds in this cycle took off any of its sales (S6).
    """

    entries: int = 0
    units_gross: int = 0
    units_reversed: int = 0
    units_booked: int = 0
    amount_gross: int = 0
    amount_reversed: int = 0
    amount_booked: int = 0

    @property
    def units(self) -> int:
        """Net units."""
        return self.units_gross - self.units_reversed

    @property
    def amount(self) -> int:
        """The net amount, in minor units."""
        return self.amount_gross - self.amount_reversed

    @property
    def is_zero(self) -> bool:
        """Whether nothing is left of the order, such as after a correction."""
        return not (
            self.units_gross
            or self.units_reversed
            or self.units_booked
            or self.amount_gross
            or self.amount_reversed
            or self.amount_booked
        )


class Part(msgspec.Struct, gc=False):
    """Sums of some entries: how many they are, net units, and net amounts by currency."""

    entries: int = 0
    units: int = 0
    amounts: defaultdict[str, int] = msgspec.field(default_factory=lambda: defaultdict(int))

    def add(self, units: int, currency: str, amount: int) -> None:
        """Add one entry."""
        self.entries += 1
        self.units += units
        self.amounts[currency] += amount


class Breakdown:
    """Collects the entries of one id in one cycle; the other methods are for afterwards."""

    def __init__(self) -> None:
        self.orders: dict[Contributor, Contribution] = {}
        self.entries = 0
        self.reversals = Part()
        """What refunds took off the cycle's sales, as positive numbers (basis sale)."""

        self.restatements = Part()
        """Entries that came after the cycle had ended (S13), with their signs."""

        self._days: dict[tuple[int, str], list[int]] = {}
        """By day since the epoch and currency: what it added, units and amount."""

    def add(self, entries: Iterable[BriefEntry]) -> None:
        """Add entries, in any order. It runs for up to a million of them, so it does no more."""
        orders, days = self.orders, self._days
        for one in entries:
            self.entries += 1
            currency = one.currency
            units, amount = one.units_gross, one.amount_gross
            whose = one.order_id, currency
            order = orders.get(whose)
            if order is None:
                order = orders[whose] = Contribution()
            order.entries += 1
            order.units_gross += units
            order.amount_gross += amount
            if one.units_reversed or one.amount_reversed:
                order.units_reversed += one.units_reversed
                order.amount_reversed += one.amount_reversed
                self.reversals.add(one.units_reversed, currency, one.amount_reversed)
                units -= one.units_reversed
                amount -= one.amount_reversed
            order.units_booked += one.units_booked
            order.amount_booked += one.amount_booked
            if one.restates:
                self.restatements.add(units, currency, amount)
            if units or amount:
                day = one.at_ms // times.DAY_MS, currency
                step = days.get(day)
                if step is None:
                    days[day] = [units, amount]
                else:
                    step[0] += units
                    step[1] += amount

    def largest(self, limit: int) -> tuple[list[tuple[Contributor, Contribution]], int]:
        """The orders that add most, and how many add something, each once for each currency.

        By net units, then by net amount, then by id.
        """
        ranked = [
            (-order.units, -order.amount, whose)
            for whose, order in self.orders.items()
            if not order.is_zero
        ]
        best = [whose for _, _, whose in nsmallest(limit, ranked)]
        return [(whose, self.orders[whose]) for whose in best], len(ranked)

    def rest(self, listed: Collection[Contributor]) -> Part:
        """The sums of the orders that are not listed."""
        rest = Part()
        for whose, order in self.orders.items():
            if whose not in listed and not order.is_zero:
                rest.entries += order.entries
                rest.units += order.units
                rest.amounts[whose[1]] += order.amount
        return rest

    def movement(self) -> tuple[int, list[tuple[int, Part]]]:
        """(days of a step, steps): each step's start in epoch milliseconds, and its sums.

        Steps without a change are left out. A step is a day, or as many as keep the steps few.
        """
        days = sorted(self._days)
        if not days:
            return 1, []
        first, last = days[0][0], days[-1][0]
        size = -(-(last + 1 - first) // limits.MOVEMENT_STEPS)
        steps: dict[int, Part] = {}
        for number, currency in days:
            start = first + (number - first) // size * size
            steps.setdefault(start, Part()).add(
                self._days[number, currency][0], currency, self._days[number, currency][1]
            )
        return size, [
            (start * times.DAY_MS, step)
            for start, step in steps.items()
            if step.units or any(step.amounts.values())
        ]


class OrderEntries:
    """Collects the entries of some orders, at most `limits.EXPLAINED_ENTRIES` of each."""

    def __init__(self, orders: Iterable[Contributor]) -> None:
        self.of: dict[Contributor, list[BriefEntry]] = {whose: [] for whose in orders}
        self.others: dict[Contributor, set[str]] = {whose: set() for whose in self.of}
        """The ids on the other side of these entries: products of a shop, shops of a product."""

    def add(self, entries: Iterable[BriefEntry]) -> None:
        """Add entries in the order of the log; those of other orders are passed over."""
        of = self.of
        for entry in entries:
            whose = entry.order_id, entry.currency
            found = of.get(whose)
            if found is not None and len(found) < limits.EXPLAINED_ENTRIES:
                found.append(entry)
                self.others[whose].add(entry.other_id)
