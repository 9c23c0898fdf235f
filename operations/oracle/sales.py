"""The recount's rows of sales: one for each id in each cycle, in a list for each name of ids."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from operations.oracle.cycles import Cycles
from operations.oracle.order import Counted, Sale

_GROSS, _REVERSED, _BOOKED = range(3)


@dataclass(slots=True)
class Row:
    """The sums of one id in one cycle.

    [gross, reversed, booked] by currency, of units and of amounts.
    """

    units: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    revenue: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))

    def add(self, column: int, units: int, currency: str, amount: int) -> None:
        """Add units and an amount to one column."""
        self.units[currency][column] += units
        self.revenue[currency][column] += amount

    def all_units(self) -> list[int]:
        """[gross, reversed, booked] of units, of all currencies."""
        return [sum(units[column] for units in self.units.values()) for column in range(3)]

    def is_empty(self) -> bool:
        """Whether every number is zero."""
        return not any(any(sums) for sums in (*self.units.values(), *self.revenue.values()))


Rows = dict[tuple[str, int], Row]
"""By (id, number of the cycle since the anchor)."""

_LISTS: Final = {"products": "product_id", "shops": "shop_id"}
"""The name of each list's ids: that of the sale's line, or a field of the placed order."""


def sales_lists(
    orders: Iterable[Counted], cycles: Cycles, sold_monthly_basis: str
) -> dict[str, list[dict[str, Any]]]:
    """The lists of `_LISTS`, each sorted by id and start; for the basis see S6."""
    lists: dict[str, Rows] = {name: defaultdict(Row) for name in _LISTS}
    for counted in orders:
        if counted.placed is None:
            continue
        for sale in counted.sales:
            for name, id_name in _LISTS.items():
                id_ = sale.product_id if id_name == "product_id" else counted.placed[id_name]
                _book(lists[name], id_, sale, counted.placed["currency"], cycles)
    deducted = _BOOKED if sold_monthly_basis == "refund" else _REVERSED
    return {
        name: _printed(id_name, lists[name], cycles, deducted) for name, id_name in _LISTS.items()
    }


def _book(rows: Rows, key: str, sale: Sale, currency: str, cycles: Cycles) -> None:
    """Add a sale to the cycle of its receipt.

    Each reversal is added there (basis sale) and to its own cycle (basis refund).
    """
    cycle = cycles.number(sale.received_ms)
    parts = [(cycle, _GROSS, sale.gross[0], sale.gross[1])]
    for one in sale.reversals:
        parts.append((cycle, _REVERSED, one.units, one.amount))
        parts.append((cycles.number(one.at_ms), _BOOKED, one.units, one.amount))
    for number, column, units, amount in parts:
        rows[key, number].add(column, units, currency, amount)


def _printed(id_name: str, rows: Rows, cycles: Cycles, deducted: int) -> list[dict[str, Any]]:
    traded: Counter[str] = Counter()
    for (key, _), row in rows.items():
        traded[key] += _left(row, _REVERSED)
    return [
        {
            id_name: key,
            "cycle": cycles.span(cycle),
            "units": _columns(row.all_units()),
            "units_by_currency": _by_currency(row.units),
            "revenue": _by_currency(row.revenue),
            "sold_monthly": _left(row, deducted),
            "successfully_traded": traded[key],
        }
        for (key, cycle), row in sorted(rows.items(), key=lambda item: item[0])
        if not row.is_empty()
    ]


def _left(row: Row, deducted: int) -> int:
    units = row.all_units()
    return units[_GROSS] - units[deducted]


def _by_currency(sums: dict[str, list[int]]) -> dict[str, dict[str, int]]:
    return {currency: _columns(sums[currency]) for currency in sorted(sums) if any(sums[currency])}


def _columns(numbers: list[int]) -> dict[str, int]:
    gross, reversed_, booked = numbers
    return {
        "gross": gross,
        "reversed": reversed_,
        "net": gross - reversed_,
        "reversals_booked": booked,
    }
