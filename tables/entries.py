"""What changed: journal entries as the difference of what counts before and after an event (S12). An entry never changes itself.

Each sale stands in the cycle of its receipt (S2), gross and reversed; each reversal is also booked in the cycle in which it
happened (S6). So a line has one wide row per cycle that it touches, and an entry is the difference of one row.
"""

from typing import Final

import msgspec

from schemas import times
from schemas.envelope import Received
from schemas.journal import Entry
from tables.counting import Counted
from tables.cycles import Calendar

_RowKey = tuple[str, int, str, str, str, str]
_Row = tuple[int, int, int, int, int, int]
_ABSENT: Final = (0, 0, 0, 0, 0, 0)


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The event behind entries, and where it stands, as `topic-partition@offset`.

    `current_cycle_ms` is the start of the cycle that the partition's event time is in: entries of earlier cycles restate (S13).
    """

    event: Received
    position: str
    current_cycle_ms: int


def difference(before: Counted, after: Counted, cause: Cause, calendar: Calendar) -> list[Entry]:
    """The entries that lead from one derived result to the next; none if they are equal. Sorted by line, then by cycle."""
    changes = _rows(after, calendar)
    for key, was in _rows(before, calendar).items():
        now = changes.pop(key, _ABSENT)
        if now != was:
            changes[key] = (now[0] - was[0], now[1] - was[1], now[2] - was[2], now[3] - was[3], now[4] - was[4], now[5] - was[5])
    if not changes:
        return []
    event = cause.event
    occurred_at = times.format_ms(event.occurred_at_ms)
    return [
        Entry(
            f"{cause.position}#{index}",
            product_id,
            shop_id,
            buyer_id,
            event.order_id,
            line_id,
            currency,
            calendar.iso(start_ms),
            *columns,
            start_ms < cause.current_cycle_ms,
            event.type,
            event.id,
            event.source,
            occurred_at,
        )
        for index, ((line_id, start_ms, product_id, shop_id, buyer_id, currency), columns) in enumerate(sorted(changes.items()))
    ]


def _rows(counted: Counted, calendar: Calendar) -> dict[_RowKey, _Row]:
    """By line, cycle, and whose sale it is: units gross, reversed, booked; amount gross, reversed, booked."""
    rows: dict[_RowKey, _Row] = {}
    shop_id, buyer_id, currency = counted.shop_id, counted.buyer_id, counted.currency
    for sale in counted.sales:
        line_id, product_id = sale.line_id, sale.product_id
        units = amount = 0
        sale_key = (line_id, calendar.start_of(sale.at_ms), product_id, shop_id, buyer_id, currency)
        for reversal in sale.reversals:
            units += reversal.units
            amount += reversal.amount
            key = (line_id, calendar.start_of(reversal.at_ms), product_id, shop_id, buyer_id, currency)
            _, _, booked_units, _, _, booked_amount = rows.get(key, _ABSENT)
            rows[key] = (0, 0, booked_units + reversal.units, 0, 0, booked_amount + reversal.amount)
        _, _, booked_units, _, _, booked_amount = rows.get(sale_key, _ABSENT)
        rows[sale_key] = (sale.units, units, booked_units, sale.amount, amount, booked_amount)
    return rows
