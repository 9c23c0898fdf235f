"""The journal rows of one order's line, by its refund claims."""

from collections.abc import Iterable, Iterator

from schemas.times import NO_INSTANT_MS
from tables.cuts import Key
from tables.entries import Row
from tables.line_claims import LineClaims
from tables.order_book import OrderBook
from tables.orders import Line


class LineRows:
    """Makes the rows of one line, given the instant of its receipt in epoch milliseconds."""

    __slots__ = ("_book", "_claims", "_line")

    def __init__(self, line: Line, claims: LineClaims, book: OrderBook) -> None:
        self._line, self._claims, self._book = line, claims, book

    def order(self, received_ms: int) -> Row:
        """R6: the addition to the sale's row if the order counts in it."""
        return self._book.make.sale(self._line, received_ms, 0, 0, orders=1)

    def line(self, received_ms: int, gross_units: int, gross_amount: int) -> Iterator[Row]:
        """All rows of the line, without the part of the refund of the whole order."""
        yield self._book.make.sale(self._line, received_ms, gross_units, gross_amount)
        for key, (units, amount) in self._claims.shares(received_ms, NO_INSTANT_MS).items():
            yield from self._book.make.reversal(self._line, received_ms, key, units, amount)

    def refund(self, received_ms: int, key: Key, units: int, amount: int) -> Iterable[Row]:
        """S6, S7: the rows of what a refund takes; before the receipt it reduces the sale."""
        if key[0] < received_ms:
            return (self._book.make.sale(self._line, received_ms, -units, -amount),)
        return self._book.make.reversal(self._line, received_ms, key, units, amount)

    def whole(self, received_ms: int, whole: Key) -> Iterable[Row]:
        """The rows of the refund of the whole order, which takes what the others leave."""
        if not self._claims.has_rest:
            return ()
        units, amount = self._claims.units.rest, self._claims.amount.rest
        return self.refund(received_ms, whole, units, amount)
