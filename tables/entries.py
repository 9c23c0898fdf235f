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
_ABSENT: Final = (0, 0, 0, 0, 0, 0)


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The event behind entries: what it says, where it stands as `topic-partition@offset`, and since when the cycle lasts in which
    its partition's event time is: entries of earlier cycles are restatements (S13).
    """

    event: Received
    position: str
    current_cycle_ms: int


def difference(before: Counted, after: Counted, cause: Cause, calendar: Calendar) -> list[Entry]:
    """The entries that lead from one derived result to the next; none if they are equal. Sorted by line, then by cycle."""
    old, new = _rows(before, calendar), _rows(after, calendar)
    changes = []
    for key in sorted(old.keys() | new.keys()) if old else sorted(new):
        was, now = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if was != now:
            changes.append((key, now if was is _ABSENT else [n - w for n, w in zip(now, was, strict=True)]))
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
        for index, ((line_id, start_ms, product_id, shop_id, buyer_id, currency), columns) in enumerate(changes)
    ]


def _rows(counted: Counted, calendar: Calendar) -> dict[_RowKey, tuple[int, ...]]:
    """By line and cycle (and whose sale it is): units gross, reversed, booked; amount gross, reversed, booked."""
    rows: dict[_RowKey, tuple[int, ...]] = {}
    for sale in counted.sales:
        whose = (sale.product_id, counted.shop_id, counted.buyer_id, counted.currency)
        key = (sale.line_id, calendar.start_of(sale.at_ms), *whose)
        if not sale.reversals:
            rows[key] = (sale.units, 0, 0, sale.amount, 0, 0)
            continue
        units = sum([reversal.units for reversal in sale.reversals])
        amount = sum([reversal.amount for reversal in sale.reversals])
        rows[key] = (sale.units, units, 0, sale.amount, amount, 0)
        for reversal in sale.reversals:
            key = (sale.line_id, calendar.start_of(reversal.at_ms), *whose)
            row = rows.get(key, _ABSENT)
            rows[key] = (row[0], row[1], row[2] + reversal.units, row[3], row[4], row[5] + reversal.amount)
    return rows
