"""One line of an order (S1 to S9) while receipts and refunds come and go.

Its part in the journal's rows.

A line that doesn't count any more (S4) keeps its sums, so that it costs little to count it again.
"""

from collections.abc import Iterable, Iterator

from schemas.columns import ZERO, SaleColumns
from tables import counting, service
from tables.cuts import Changes, Cut, Key
from tables.cycles import Calendar
from tables.entries import OrderRows, Row, RowKey
from tables.orders import Line, Refund
from tables.receipt_times import NEVER, ReceiptTimes
from tables.service_ledger import WHOLE, ServiceLedger


class Asks:
    """What refunds ask of one line, whether the order has it or not."""

    __slots__ = ("amount", "shared", "units")

    def __init__(self) -> None:
        self.units, self.amount = Cut(), Cut()
        self.shared = 0
        """How many of the refunds name other lines, too."""

    def change(
        self, key: Key, wanted: tuple[int, int], whole: Key | None, *, shared: bool, gone: bool
    ) -> tuple[Changes, Changes]:
        """A refund wants units and an amount, or no more: what others get then."""
        if shared:
            self.shared += -1 if gone else 1
        units, amount = [
            {} if not ask else cut.remove(key, whole) if gone else cut.add(key, ask, whole)
            for cut, ask in zip((self.units, self.amount), wanted, strict=True)
        ]
        return units, amount


class Book:
    """What the lines of an order have in common, and the rows that they change."""

    def __init__(self, calendar: Calendar, service: ServiceLedger) -> None:
        self.calendar = calendar
        self.service = service
        self.times = ReceiptTimes()
        self.make = OrderRows("", "", "", calendar)

        self.refunds: dict[Key, Refund] = {}
        """The refunds of lines that count (S5)."""

        self.whole: Key | None = None
        """Where the first refund of the whole order stands, if one counts: only this one gets
        anything (S8)."""

        self.rows: dict[RowKey, SaleColumns] = {}
        """The changes of rows since they were last handed out."""

    def add(self, rows: Iterable[Row], sign: int = 1) -> None:
        """Add rows to the changes, or subtract them if `sign` is -1."""
        changes = self.rows
        for key, columns in rows:
            before = changes.get(key, ZERO)
            changes[key] = before.plus(columns) if sign > 0 else before.minus(columns)


class LineLedger:
    """A line of the placing that holds."""

    __slots__ = (
        "_book",
        "_gross",
        "_line",
        "_returns",
        "_reversed",
        "_singles",
        "asks",
        "counts",
        "since_ms",
    )

    def __init__(self, line: Line, asks: Asks, book: Book) -> None:
        self._line, self._book, self.asks = line, book, asks
        self.counts = False
        """Whether the line is a sale, and its sums stand in the rows."""

        self.since_ms = NEVER
        """When it was received; of a line that doesn't count, when it last was."""

        self._gross, self._reversed = [0, 0], [0, 0]
        """Units and amount, without the part of the refund of the whole order."""

        self._singles: dict[Key, tuple[int, int]] = {}
        """What reversals get that name this line alone."""

        self._returns: dict[tuple[int, str, str], list[int]] = {}
        """The same by cycle's start, kind of column and reason: how many, and the amount."""

    def move(self, before: int, after: int) -> None:
        """S2: the line counts from another instant; NEVER if it doesn't."""
        if before == after:
            return
        if after == NEVER:
            self._show(-1)
            self.counts = False
        elif before == NEVER:
            self._count_from(after)
            self.counts = True
            self._show(1)
        else:
            self._show_whole(-1)
            self._receive(after)
            self._show_whole(1)

    def stop(self) -> None:
        """The line's placing doesn't hold any more."""
        if self.counts:
            self._show(-1)
        self.asks.units.stop()
        self.asks.amount.stop()

    def cut(self, key: Key, wanted: tuple[int, int], *, shared: bool, gone: bool) -> None:
        """S8: a refund wants something of the line, or no more."""
        if self.counts:
            self._show_whole(-1)
        self._share(*self.asks.change(key, wanted, self._book.whole, shared=shared, gone=gone))
        if self.counts:
            self._show_whole(1)

    def move_whole(self, after: Key | None) -> None:
        """S8: the refund of the whole order stands elsewhere; of a line that counts."""
        self._show_whole(-1)
        before, self._book.whole = self._book.whole, after
        self._share(self.asks.units.move_whole(after), self.asks.amount.move_whole(after))
        self._show_whole(1)
        self._book.whole = before

    def rename_whole(self, after: Key) -> None:
        """S6, S8: another refund of the whole order is the first, and takes the same."""
        before = self._book.whole
        if before is not None and before[0] >= self.since_ms:
            self._book.add(self._whole_rows(before), -1)
            self._book.add(self._whole_rows(after))

    @property
    def has_rest(self) -> bool:
        """Whether refunds of lines leave something of it."""
        return self.counts and bool(self.asks.units.rest or self.asks.amount.rest)

    @property
    def has_units(self) -> bool:
        """R6: whether it is a sale of which units are left."""
        left = self._gross[0] - self._reversed[0]
        return self.counts and left > (0 if self._book.whole is None else self.asks.units.rest)

    def order_row(self) -> Row:
        """R6: what the line's row has more if the order counts in it."""
        return self._book.make.sale(self._line, self.since_ms, 0, 0, orders=1)

    # --- sums -------------------------------------------------------------------------------------

    def _count_from(self, received_ms: int) -> None:
        """S3: of a line that counts from now on, what refunds leave of it."""
        units, amount, whole = self.asks.units, self.asks.amount, self._book.whole
        if self.since_ms == NEVER:
            self.since_ms = received_ms
            quantity, revenue = self._line.quantity, counting.revenue(self._line)
            self._gross = [quantity, revenue]
            self._share(units.start(quantity, whole), amount.start(revenue, whole))
        else:
            self._share(units.move_whole(whole), amount.move_whole(whole))
            self._receive(received_ms)

    def _receive(self, received_ms: int) -> None:
        """S2: the sale has another instant. S7: refunds in between are on its other side now."""
        if received_ms == self.since_ms:
            return
        if self.counts:
            self._book.add(self._rows(), -1)
        low, high = min(self.since_ms, received_ms), max(self.since_ms, received_ms)
        shares = self._shares(low, high)
        for key, (units, amount) in shares.items():
            self._shift(key, -units, -amount)
        self.since_ms = received_ms
        for key, (units, amount) in shares.items():
            self._shift(key, units, amount)
        if self.counts:
            self._book.add(self._rows())

    def _shares(self, since_ms: int, end_ms: int) -> dict[Key, list[int]]:
        """What refunds of lines in a span of time get."""
        found = {key: [units, 0] for key, units in self.asks.units.shares(since_ms, end_ms)}
        for key, amount in self.asks.amount.shares(since_ms, end_ms):
            found.setdefault(key, [0, 0])[1] = amount
        return found

    def _share(self, units: Changes, amount: Changes) -> None:
        """Refunds of lines get more, or less."""
        for key in units.keys() | amount.keys() if units else amount:
            more_units, more_amount = units.get(key, 0), amount.get(key, 0)
            self._shift(key, more_units, more_amount)
            if self.counts and (more_units or more_amount):
                self._book.add(self._refund_rows(key, more_units, more_amount))

    def _shift(self, key: Key, units: int, amount: int) -> None:
        """S6, S7: a refund gets more, or less.

        Before the receipt off what is sold, from it on as a reversal.
        """
        if not (units or amount):
            return
        if key[0] < self.since_ms:
            self._gross[0] -= units
            self._gross[1] -= amount
            return
        self._reversed[0] += units
        self._reversed[1] += amount
        refund = self._book.refunds[key]
        if len(refund.lines or ()) == 1:
            self._shift_single(key, refund.reason, units, amount)
        elif self.counts:
            self._book.service.reverse((key, refund.reason), self._line.product_id, units, amount)

    def _shift_single(self, key: Key, reason: str, units: int, amount: int) -> None:
        """R3: a refund of this line alone is a return or a difference, by what it gets here."""
        before = self._singles.get(key, (0, 0))
        after = self._singles[key] = before[0] + units, before[1] + amount
        start_ms = self._book.calendar.start_of(key[0])
        for (more, money), sign in ((before, -1), (after, 1)):
            if not (more or money):
                continue
            kind = service.RETURN if more else service.DIFFERENCE
            sums = self._returns.setdefault((start_ms, kind, reason), [0, 0])
            sums[0] += sign
            sums[1] += sign * money
            if self.counts:
                self._show_returns(start_ms, kind, reason, (sign, sign * money))
        if after == (0, 0):
            del self._singles[key]

    # --- rows -------------------------------------------------------------------------------------

    def _show(self, sign: int) -> None:
        """Add all of the line to the rows, or take it away."""
        self._book.add(self._rows(), sign)
        for (start_ms, kind, reason), (number, amount) in self._returns.items():
            self._show_returns(start_ms, kind, reason, (sign * number, sign * amount))
        if self.asks.shared:
            for key, (units, amount) in self._shares(self.since_ms, NEVER).items():
                refund = self._book.refunds[key]
                if len(refund.lines or ()) > 1:
                    self._book.service.reverse(
                        (key, refund.reason), self._line.product_id, sign * units, sign * amount
                    )
        self._show_whole(sign)

    def _rows(self) -> Iterator[Row]:
        """The line's rows, without the part of the refund of the whole order."""
        yield self._book.make.sale(self._line, self.since_ms, *self._gross)
        for key, (units, amount) in self._shares(self.since_ms, NEVER).items():
            yield from self._book.make.reversal(self._line, self.since_ms, key, units, amount)

    def _refund_rows(self, key: Key, units: int, amount: int) -> Iterable[Row]:
        """S6, S7: the rows of what a refund takes; before the receipt it lessens the sale."""
        make, since_ms = self._book.make, self.since_ms
        if key[0] < since_ms:
            return (make.sale(self._line, since_ms, -units, -amount),)
        return make.reversal(self._line, since_ms, key, units, amount)

    def _whole_rows(self, whole: Key) -> Iterable[Row]:
        """The rows of the refund of the whole order, which takes what the others leave."""
        units, amount = self.asks.units.rest, self.asks.amount.rest
        return self._refund_rows(whole, units, amount) if units or amount else ()

    def _show_returns(self, start_ms: int, kind: str, reason: str, sums: tuple[int, int]) -> None:
        for product_id in (None, self._line.product_id) if kind == service.DIFFERENCE else (None,):
            self._book.service.add(product_id, start_ms, kind + reason, sums[0])
            if sums[1]:
                self._book.service.add(
                    product_id,
                    start_ms,
                    f"{kind}{reason}.{self._book.make.currency}",
                    sums[1],
                )

    def _show_whole(self, sign: int) -> None:
        """Add what the refund of the whole order gets, or take it away."""
        whole, units, amount = (
            self._book.whole,
            sign * self.asks.units.rest,
            sign * self.asks.amount.rest,
        )
        if whole is None or not (units or amount):
            return
        self._book.add(self._whole_rows(whole), sign)
        if whole[0] >= self.since_ms:
            self._book.service.reverse(WHOLE, self._line.product_id, units, amount)
