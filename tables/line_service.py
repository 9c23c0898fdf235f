"""The service of one order's line: returns and differences made up (R3) by its refunds.

Whether a refund of one line alone is a return or a difference depends on this line only. Refunds
of several lines are summed up by the order's `refund_sums`.
"""

from schemas.times import NO_INSTANT_MS
from tables import service
from tables.cuts import Key
from tables.line_claims import LineClaims
from tables.order_book import OrderBook
from tables.orders import Line
from tables.refund_sums import WHOLE


class LineService:
    """What the refunds of one line reversed. It is kept while the line is no sale."""

    __slots__ = ("_book", "_claims", "_columns", "_line", "_refunded")

    def __init__(self, line: Line, claims: LineClaims, book: OrderBook) -> None:
        self._line, self._claims, self._book = line, claims, book
        self._refunded: dict[Key, tuple[int, int]] = {}
        """By refund of this line alone, the units and the amount that it reversed."""

        self._columns: dict[tuple[int, str, str], list[int]] = {}
        """By cycle's start, kind of column and reason: how many such refunds, and their amount."""

    def shift(self, key: Key, units: int, amount: int, *, counts: bool) -> None:
        """A refund reverses more (or less, if negative); `counts` is whether the line is a sale."""
        refund = self._book.refunds[key]
        if len(refund.lines or ()) == 1:
            self._shift_single(key, refund.reason, units, amount, counts=counts)
        elif counts:
            self._book.service.reverse((key, refund.reason), self._line.product_id, units, amount)

    def show(self, received_ms: int, sign: int) -> None:
        """Add all that refunds reversed to the service rows, or take it off if `sign` is -1."""
        for (start_ms, kind, reason), (number, amount) in self._columns.items():
            self._show_column(start_ms, kind, reason, sign * number, sign * amount)
        if not self._claims.shared:
            return
        for key, (units, amount) in self._claims.shares(received_ms, NO_INSTANT_MS).items():
            refund = self._book.refunds[key]
            if len(refund.lines or ()) > 1:
                self._book.service.reverse(
                    (key, refund.reason), self._line.product_id, sign * units, sign * amount
                )

    def show_whole(self, sign: int) -> None:
        """Add the part of the refund of the whole order, or take it off."""
        units, amount = sign * self._claims.units.rest, sign * self._claims.amount.rest
        self._book.service.reverse(WHOLE, self._line.product_id, units, amount)

    def _shift_single(
        self, key: Key, reason: str, units: int, amount: int, *, counts: bool
    ) -> None:
        before = self._refunded.get(key, (0, 0))
        after = self._refunded[key] = before[0] + units, before[1] + amount
        start_ms = self._book.calendar.start_of(key[0])
        for (refunded_units, refunded_amount), sign in ((before, -1), (after, 1)):
            if not (refunded_units or refunded_amount):
                continue
            kind = service.RETURN if refunded_units else service.DIFFERENCE
            sums = self._columns.setdefault((start_ms, kind, reason), [0, 0])
            sums[0] += sign
            sums[1] += sign * refunded_amount
            if counts:
                self._show_column(start_ms, kind, reason, sign, sign * refunded_amount)
        if after == (0, 0):
            del self._refunded[key]

    def _show_column(self, start_ms: int, kind: str, reason: str, number: int, amount: int) -> None:
        ledger, column = self._book.service, kind + reason
        product_ids = (None, self._line.product_id) if kind == service.DIFFERENCE else (None,)
        for product_id in product_ids:
            ledger.add(product_id, start_ms, column, number)
            if amount:
                in_currency = f"{column}.{self._book.make.currency}"
                ledger.add(product_id, start_ms, in_currency, amount)
