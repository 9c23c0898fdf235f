"""One line of an order (S1 to S9), updated when its receipts and refunds change.

A line that is no sale any more (S4) keeps its sums, so that counting it again costs little.
"""

from schemas.times import NO_INSTANT_MS
from tables import counting
from tables.cuts import Changes, Key
from tables.entries import Row
from tables.line_claims import LineClaims
from tables.line_rows import LineRows
from tables.line_service import LineService
from tables.order_book import OrderBook
from tables.orders import Line


class LineLedger:
    """A line of the valid placing: its sums, and its part of the journal's rows."""

    __slots__ = (
        "_book",
        "_gross",
        "_line",
        "_reversed",
        "_rows",
        "_service",
        "claims",
        "counts",
        "since_ms",
    )

    def __init__(self, line: Line, claims: LineClaims, book: OrderBook) -> None:
        self._line, self._book, self.claims = line, book, claims
        self._rows = LineRows(line, claims, book)
        self._service = LineService(line, claims, book)
        self.counts = False
        """Whether the line is a sale, and its sums are in the rows."""

        self.since_ms = NO_INSTANT_MS
        """The instant of its receipt; the last known one for a line that is no sale."""

        self._gross, self._reversed = [0, 0], [0, 0]
        """Units and amount, without the part of the refund of the whole order."""

    def move(self, before: int, after: int) -> None:
        """S2: the sale moves to another instant; NO_INSTANT_MS stands for no sale."""
        if after == NO_INSTANT_MS:
            self._show(-1)
            self.counts = False
        elif before == NO_INSTANT_MS:
            self._count_from(after)
            self.counts = True
            self._show(1)
        else:
            self._show_whole(-1)
            self._receive(after)
            self._show_whole(1)

    def stop(self) -> None:
        """The line's placing isn't valid any more."""
        if self.counts:
            self._show(-1)
        self.claims.units.stop()
        self.claims.amount.stop()

    def cut(self, key: Key, claim: tuple[int, int], *, shared: bool, removed: bool) -> None:
        """S8: a refund's claim of units and an amount was added or removed."""
        if self.counts:
            self._show_whole(-1)
        whole = self._book.whole
        self._share(*self.claims.change(key, claim, whole, shared=shared, removed=removed))
        if self.counts:
            self._show_whole(1)

    def move_whole(self, after: Key | None) -> None:
        """S8: another refund of the whole order is the first, or none; of a line that counts."""
        self._show_whole(-1)
        before, self._book.whole = self._book.whole, after
        self._share(self.claims.units.move_whole(after), self.claims.amount.move_whole(after))
        self._show_whole(1)
        self._book.whole = before

    def rename_whole(self, after: Key) -> None:
        """S6, S8: another refund of the whole order is the first, and takes the same."""
        before = self._book.whole
        if before is not None and before[0] >= self.since_ms:
            self._book.add(self._rows.whole(self.since_ms, before), -1)
            self._book.add(self._rows.whole(self.since_ms, after))

    @property
    def has_rest(self) -> bool:
        """Whether the line is a sale, and refunds of lines leave something of it."""
        return self.counts and self.claims.has_rest

    @property
    def has_units(self) -> bool:
        """R6: whether it is a sale that has units left."""
        left = self._gross[0] - self._reversed[0]
        return self.counts and left > (0 if self._book.whole is None else self.claims.units.rest)

    def order_row(self) -> Row:
        """R6: the addition to the line's row if the order counts in it."""
        return self._rows.order(self.since_ms)

    def _count_from(self, received_ms: int) -> None:
        """S3: the line counts from now on; what refunds leave of it."""
        units, amount, whole = self.claims.units, self.claims.amount, self._book.whole
        if self.since_ms == NO_INSTANT_MS:
            self.since_ms = received_ms
            quantity, revenue = self._line.quantity, counting.revenue(self._line)
            self._gross = [quantity, revenue]
            self._share(units.start(quantity, whole), amount.start(revenue, whole))
        else:
            self._share(units.move_whole(whole), amount.move_whole(whole))
            self._receive(received_ms)

    def _receive(self, received_ms: int) -> None:
        """S2: the sale has another instant. S7: refunds in between change their side of it."""
        if received_ms == self.since_ms:
            return
        if self.counts:
            self._book.add(self._rows.line(self.since_ms, *self._gross), -1)
        low, high = min(self.since_ms, received_ms), max(self.since_ms, received_ms)
        shares = self.claims.shares(low, high)
        for key, (units, amount) in shares.items():
            self._shift(key, -units, -amount)
        self.since_ms = received_ms
        for key, (units, amount) in shares.items():
            self._shift(key, units, amount)
        if self.counts:
            self._book.add(self._rows.line(self.since_ms, *self._gross))

    def _share(self, units: Changes, amount: Changes) -> None:
        """Refunds of lines get more, or less if negative."""
        for key in units.keys() | amount.keys() if units else amount:
            more_units, more_amount = units.get(key, 0), amount.get(key, 0)
            self._shift(key, more_units, more_amount)
            if self.counts and (more_units or more_amount):
                self._book.add(self._rows.refund(self.since_ms, key, more_units, more_amount))

    def _shift(self, key: Key, units: int, amount: int) -> None:
        """A refund takes more: before the receipt it reduces gross (S7), later it reverses (S6)."""
        if not (units or amount):
            return
        if key[0] < self.since_ms:
            self._gross[0] -= units
            self._gross[1] -= amount
            return
        self._reversed[0] += units
        self._reversed[1] += amount
        self._service.shift(key, units, amount, counts=self.counts)

    def _show(self, sign: int) -> None:
        """Add the whole line to the rows, or take it off if `sign` is -1."""
        self._book.add(self._rows.line(self.since_ms, *self._gross), sign)
        self._service.show(self.since_ms, sign)
        self._show_whole(sign)

    def _show_whole(self, sign: int) -> None:
        """Add the part of the refund of the whole order to the rows, or take it off."""
        whole = self._book.whole
        if whole is None or not self.claims.has_rest:
            return
        self._book.add(self._rows.whole(self.since_ms, whole), sign)
        if whole[0] >= self.since_ms:
            self._service.show_whole(sign)
