"""Journal entries: the difference of an order's rows before and after an event (S12).

A sale counts in the cycle of its receipt (S2), gross and reversed. Each reversal is also booked in
the cycle in which it happened (S6). A row belongs to one sale or to one refund of it, so rows add
up by cycle and by day. An entry is never changed: a row that moves is retracted and added anew.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import astuple, replace

from schemas import times
from schemas.columns import RULES, ZERO, SaleColumns, decrease, plus
from schemas.envelope import Received
from schemas.journal import Entry
from tables.counting import Counted, Sale
from tables.cuts import Key
from tables.cycles import Calendar
from tables.orders import Line

NO_REFUND: Key = (0, "")
"""In the key of a sale's own row."""


class RowKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """The key of a journal row; keys are ordered field by field."""

    line_id: str
    cycle_ms: int
    """The cycle's start."""
    product_id: str
    shop_id: str
    buyer_id: str
    currency: str
    sold_ms: int
    """The receipt by which the line is a sale (S2)."""
    refunded_ms: int
    refund_id: str
    """Empty in the sale's own row."""


Row = tuple[RowKey, SaleColumns]


class OrderRows(msgspec.Struct, frozen=True, gc=False):
    """Makes the journal rows of one order; its lines, units and amounts are handed in."""

    shop_id: str
    buyer_id: str
    currency: str
    calendar: Calendar

    def sale(self, line: Line, sold_ms: int, units: int, amount: int, orders: int = 0) -> Row:
        """The row of a line's sale: what was sold, and its order (R6)."""
        return self._key(line, sold_ms, sold_ms, NO_REFUND), replace(
            ZERO, units_gross=units, amount_gross=amount, orders=orders
        )

    def reversal(
        self, line: Line, sold_ms: int, refund: Key, units: int, amount: int
    ) -> Iterator[Row]:
        """The row in the sale's cycle of what a refund takes off it, and that in its own (S6).

        One row has both where the cycles are the same.
        """
        in_sale = self._key(line, sold_ms, sold_ms, refund)
        booked = self._key(line, refund[0], sold_ms, refund)
        if in_sale == booked:
            yield (
                in_sale,
                replace(
                    ZERO,
                    units_reversed=units,
                    units_booked=units,
                    amount_reversed=amount,
                    amount_booked=amount,
                ),
            )
        else:
            yield in_sale, replace(ZERO, units_reversed=units, amount_reversed=amount)
            yield booked, replace(ZERO, units_booked=units, amount_booked=amount)

    def _key(self, line: Line, at_ms: int, sold_ms: int, refund: Key) -> RowKey:
        """The key of a row in the cycle of `at_ms`."""
        return RowKey(
            line.line_id,
            self.calendar.start_of(at_ms),
            line.product_id,
            self.shop_id,
            self.buyer_id,
            self.currency,
            sold_ms,
            refund[0],
            refund[1],
        )


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The event that entries come from, and its position as `topic-partition@offset`.

    `current_cycle_ms` is the start of the cycle that the partition's event time is in: entries of
    earlier cycles restate (S13). `terms` is the name of the terms.
    """

    event: Received
    position: str
    current_cycle_ms: int
    terms: str


def difference(before: Counted, after: Counted, cause: Cause, calendar: Calendar) -> list[Entry]:
    """The entries from one derived result to the next; none if they are equal."""
    changes = journal_rows(after, calendar)
    if before.sales:
        for key, was in journal_rows(before, calendar).items():
            now = changes.pop(key, ZERO)
            if now != was:
                changes[key] = plus(now, was, -1)
    return listed(changes, cause, calendar) if changes else []


def listed(changes: Mapping[RowKey, SaleColumns], cause: Cause, calendar: Calendar) -> list[Entry]:
    """The entries of changed rows, in the order in which their sums stay within bounds (S8).

    An entry's fields are handed over by position, as keywords cost twice as much:
    `tests/unit/test_journal.py` compares it with the same entry made by keywords.
    """
    event, position, current_cycle_ms = cause.event, cause.position, cause.current_cycle_ms
    terms = cause.terms
    event_ms, occurred_at = event.occurred_at_ms, times.format_ms(event.occurred_at_ms)
    made: list[Entry] = []
    for key, columns in changes.items() if len(changes) == 1 else _in_order(changes):
        cycle_ms, sold_ms, refund_id = key.cycle_ms, key.sold_ms, key.refund_id
        made.append(
            Entry(  # type: ignore[call-arg]  # the length of a struct's tuple is unknown to it
                *astuple(columns),
                key.product_id,
                key.currency,
                calendar.iso(cycle_ms),
                cycle_ms < current_cycle_ms,
                f"{position}#{len(made)}",
                key.shop_id,
                key.buyer_id,
                event.order_id,
                key.line_id,
                occurred_at if sold_ms == event_ms else times.format_ms(sold_ms),
                event.type,
                event.id,
                event.source,
                occurred_at,
                RULES,
                terms,
                refund_id or None,
                times.format_ms(key.refunded_ms) if refund_id else None,
            )
        )
    return made


def _in_order(changes: Mapping[RowKey, SaleColumns]) -> list[Row]:
    """Refunds take less, then sales change, then refunds take more; each sorted by key.

    So at no entry refunds take more than the sales that they belong to. A refund that takes less of
    one measure and more of the other has two entries.
    """
    rows = sorted(changes.items())
    sales = [row for row in rows if not row[0].refund_id]
    if len(sales) == len(rows):  # the usual case
        return sales
    refunds = [(key, columns, decrease(columns)) for key, columns in rows if key.refund_id]
    return [
        *[(key, less) for key, _, less in refunds if less != ZERO],
        *sales,
        *[(key, plus(columns, less, -1)) for key, columns, less in refunds if columns != less],
    ]


def journal_rows(counted: Counted, calendar: Calendar) -> dict[RowKey, SaleColumns]:
    """The rows of what counts of an order: a result without one before it."""
    rows: dict[RowKey, SaleColumns] = {}
    make = OrderRows(counted.shop_id, counted.buyer_id, counted.currency, calendar)
    first = _first(counted.sales)
    for sale in counted.sales:
        orders = 1 if sale is first else 0
        key, columns = make.sale(sale.line, sale.at_ms, sale.units, sale.amount, orders)
        rows[key] = columns
        for one in sale.reversals:
            refund = one.at_ms, one.refund_id
            for key, columns in make.reversal(sale.line, sale.at_ms, refund, one.units, one.amount):
                before = rows.get(key)  # a refund may name a line twice
                rows[key] = columns if before is None else plus(before, columns)
    return rows


def _first(sales: Sequence[Sale]) -> Sale | None:
    """R6: the sale in which an order counts as one of the buyer's.

    It is the first received of those that have units left; None if there is none.
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
