"""What changed: journal entries as the difference of what counts before and after an event (S12).

An entry never changes itself.

Each sale stands in the cycle of its receipt (S2), gross and reversed; each reversal is also booked
in the cycle in which it happened (S6). So a line has one wide row per cycle that it touches, and an
entry is the difference of one row.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from schemas import times
from schemas.envelope import Received
from schemas.journal import Entry
from tables.counting import Counted, Sale
from tables.cycles import Calendar

RowKey = tuple[str, int, str, str, str, str]
"""Line, cycle's start, product, shop, buyer, currency."""

Row = tuple[int, int, int, int, int, int, int]
"""Units gross, reversed, booked; amount gross, reversed, booked; orders."""

_ABSENT: Final = (0, 0, 0, 0, 0, 0, 0)


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The event behind entries, and where it stands, as `topic-partition@offset`.

    `current_cycle_ms` is the start of the cycle that the partition's event time is in: entries of
    earlier cycles restate (S13).
    """

    event: Received
    position: str
    current_cycle_ms: int


def difference(before: Counted, after: Counted, cause: Cause, calendar: Calendar) -> list[Entry]:
    """The entries that lead from one derived result to the next; none if they are equal.

    Sorted by line, then by cycle.
    """
    changes = _rows(after, calendar)
    if before.sales:
        for key, was in _rows(before, calendar).items():
            now = changes.pop(key, _ABSENT)
            if now != was:
                changes[key] = _less(now, was)
    return listed(changes, cause, calendar) if changes else []


def listed(changes: Mapping[RowKey, Row], cause: Cause, calendar: Calendar) -> list[Entry]:
    """The entries of the rows that change. Sorted by line, then by cycle."""
    event, position, current_cycle_ms = cause.event, cause.position, cause.current_cycle_ms
    occurred_at = times.format_ms(event.occurred_at_ms)
    entries: list[Entry] = []
    for (line_id, start_ms, product_id, shop_id, buyer_id, currency), columns in sorted(
        changes.items()
    ):
        (
            units_gross,
            units_reversed,
            units_booked,
            amount_gross,
            amount_reversed,
            amount_booked,
            orders,
        ) = columns
        entries.append(
            Entry(
                f"{position}#{len(entries)}",
                product_id,
                shop_id,
                buyer_id,
                event.order_id,
                line_id,
                currency,
                calendar.iso(start_ms),
                units_gross,
                units_reversed,
                units_booked,
                amount_gross,
                amount_reversed,
                amount_booked,
                orders,
                start_ms < current_cycle_ms,
                event.type,
                event.id,
                event.source,
                occurred_at,
            )
        )
    return entries


def _rows(counted: Counted, calendar: Calendar) -> dict[RowKey, Row]:
    """By line, cycle, and whose sale it is: units gross, reversed, booked.

    Amount gross, reversed, booked; orders.
    """
    rows: dict[RowKey, Row] = {}
    first = _first(counted.sales)
    shop_id, buyer_id, currency = counted.shop_id, counted.buyer_id, counted.currency
    for sale in counted.sales:
        line_id, product_id = sale.line_id, sale.product_id
        sale_key = (line_id, calendar.start_of(sale.at_ms), product_id, shop_id, buyer_id, currency)
        orders = 1 if sale is first else 0
        if not sale.reversals:  # the usual case
            rows[sale_key] = (sale.units, 0, 0, sale.amount, 0, 0, orders)
            continue
        units = amount = 0
        for reversal in sale.reversals:
            units += reversal.units
            amount += reversal.amount
            key = (
                line_id,
                calendar.start_of(reversal.at_ms),
                product_id,
                shop_id,
                buyer_id,
                currency,
            )
            _, _, booked_units, _, _, booked_amount, _ = rows.get(key, _ABSENT)
            rows[key] = (
                0,
                0,
                booked_units + reversal.units,
                0,
                0,
                booked_amount + reversal.amount,
                0,
            )
        _, _, booked_units, _, _, booked_amount, _ = rows.get(sale_key, _ABSENT)
        rows[sale_key] = (
            sale.units,
            units,
            booked_units,
            sale.amount,
            amount,
            booked_amount,
            orders,
        )
    return rows


def _less(now: Row, was: Row) -> Row:
    a, b, c, d, e, f, g = was
    t, u, v, w, x, y, z = now
    return t - a, u - b, v - c, w - d, x - e, y - f, z - g


def _first(sales: Sequence[Sale]) -> Sale | None:
    """R6: the sale in which an order stands as one of the buyer's.

    The first received of which units are left, if there is any.
    """
    first = None
    for sale in sales:
        left = sale.units
        for reversal in sale.reversals:
            left -= reversal.units
        if left > 0 and (
            first is None or (sale.at_ms, sale.line_id) < (first.at_ms, first.line_id)
        ):
            first = sale
    return first
