"""The sales of one order (S1 to S9), updated fact by fact, and the journal rows that change.

`counting` and `entries` are the definition, and derive the whole order. Here a fact costs the rows
that it changes: those of the lines it names, and of refunds that are cut differently because of it.
"""

from bisect import bisect_left
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

from schemas.columns import SaleColumns
from schemas.times import NO_INSTANT_MS
from tables.cuts import Key
from tables.cycles import Calendar
from tables.entries import OrderRows, Row, RowKey
from tables.line_claims import LineClaims
from tables.line_ledger import LineLedger
from tables.order_book import OrderBook
from tables.orders import Line, Placed, Refund
from tables.service_ledger import ServiceLedger
from tables.sorted_lists import put

_END: Final[Key] = (NO_INSTANT_MS, "")


class SaleLedger:
    """The sales of one order; what refunds take off them is also passed on to `service`."""

    def __init__(self, calendar: Calendar, service: ServiceLedger) -> None:
        self._calendar = calendar
        self._book = OrderBook(calendar, service)
        self._placed: Placed | None = None
        self._lines: dict[str, LineLedger] = {}
        self._claims: dict[str, LineClaims] = {}
        self._times = self._book.times
        self._refund_keys: list[Key] = []
        """Those of `OrderBook.refunds`, sorted."""

        self._wholes: list[tuple[Key, str]] = []
        """The refunds of the whole order that count, with their reasons; sorted."""

        self._left: set[str] = set()
        """The lines that are sales and of which refunds of lines leave something."""

        self._firsts_own: list[tuple[int, str]] = []
        """A heap of lines by the earliest receipt that names them: one is the order's first sale
        (R6), if it isn't one of `_firsts`. Outdated items are dropped when they come first."""

        self._firsts: list[str] = []
        """A heap of lines that may be the first sale by a receipt of all lines."""

        self._first: Row | None = None
        """The first sale's row, with the order as its only column."""

    # --- facts ------------------------------------------------------------------------------------

    def place(self, placed: Placed | None) -> None:
        """S11: another placing is valid, or none."""
        before, self._placed = self._placed, placed
        if before is not None and placed is not None and _content(before) == _content(placed):
            return
        for line in self._lines.values():
            line.stop()
        self._left.clear()
        self._firsts_own, self._firsts = [], []
        book, lines = self._book, () if placed is None else placed.lines
        book.make = (
            OrderRows("", "", "", self._calendar)
            if placed is None
            else OrderRows(placed.shop_id, placed.buyer_id, placed.currency, self._calendar)
        )
        self._lines = {
            line.line_id: LineLedger(line, self._claims_of(line.line_id), book) for line in lines
        }
        self._times.place(self._lines)
        for line_id in self._lines:
            self._move(
                line_id, NO_INSTANT_MS, self._times.counts_from(self._times.received(line_id))
            )

    def receive(self, line_ids: Iterable[str] | None, at_ms: int, *, removed: bool = False) -> None:
        """S2: a receipt of some lines, or of all."""
        times = self._times
        if line_ids is None:
            self._receive_all(*times.receive_all(at_ms, removed=removed))
            return
        of_all = times.of_all
        for line_id in dict.fromkeys(line_ids):
            before, after = times.receive(line_id, at_ms, removed=removed)
            if before != after and line_id in self._lines:
                self._move(
                    line_id,
                    times.counts_from(min(before, of_all)),
                    times.counts_from(min(after, of_all)),
                )
                # Also if one of all lines was earlier: it may be the first sale by its own receipt.
                self._settle(line_id)

    def cancel(self, at_ms: int, *, removed: bool = False) -> None:
        """S4: a cancellation was added or removed."""
        times = self._times
        before, after = times.cancel(at_ms, removed=removed)
        low, high = min(before, after), max(before, after)
        line_ids = times.named_between(low, high)
        if low < times.of_all <= high and times.of_all != NO_INSTANT_MS:
            line_ids += times.not_named_before(times.of_all)
        for line_id in line_ids:
            received_ms = times.received(line_id)
            was, now = (
                received_ms if received_ms <= cancelled_ms else NO_INSTANT_MS
                for cancelled_ms in (before, after)
            )
            self._move(line_id, was, now)

    def refund(self, refund: Refund, *, removed: bool = False) -> None:
        """S5: a refund counts now, or doesn't any more."""
        key, refunds = (refund.occurred_at_ms, refund.refund_id), self._book.refunds
        if refund.lines is None:
            self._change_wholes((key, refund.reason), removed=removed)
            return
        put(self._refund_keys, key, removed=removed)
        refunds.setdefault(key, refund)
        shared = len(refund.lines) > 1
        for line_id, wanted in _summed(refund).items():
            line = self._lines.get(line_id)
            if line is None:
                self._claims_of(line_id).change(key, wanted, None, shared=shared, removed=removed)
            else:
                line.cut(key, wanted, shared=shared, removed=removed)
                self._settle(line_id)
        if removed:
            del refunds[key]

    def changes(self) -> dict[RowKey, SaleColumns]:
        """The changes of rows since the last call."""
        first, book = self._first_sale(), self._book
        if first != self._first:
            for row, sign in ((self._first, -1), (first, 1)):
                if row is not None:
                    book.add((row,), sign)
            self._first = first
        if not book.rows:
            return {}
        changed = {key: columns for key, columns in book.rows.items() if not columns.is_zero}
        book.rows = {}
        return changed

    # --- lines ------------------------------------------------------------------------------------

    def _claims_of(self, line_id: str) -> LineClaims:
        claims = self._claims.get(line_id)
        if claims is None:
            claims = self._claims[line_id] = LineClaims()
        return claims

    def _receive_all(self, before: int, after: int) -> None:
        """S2: the earliest receipt of all lines has another instant.

        It moves the sales of the lines that no receipt of their own confirms earlier.
        """
        if before == after or not self._lines:
            return
        times = self._times
        for line_id in times.not_named_before(min(before, after)):
            own_ms = times.own(line_id)
            self._move(
                line_id,
                times.counts_from(min(own_ms, before)),
                times.counts_from(min(own_ms, after)),
            )

    def _move(self, line_id: str, before: int, after: int) -> None:
        if before != after:
            self._lines[line_id].move(before, after)
            self._settle(line_id)

    def _settle(self, line_id: str) -> None:
        """After a line has changed."""
        line = self._lines[line_id]
        if line.has_rest:
            self._left.add(line_id)
        else:
            self._left.discard(line_id)
        if line.has_units:
            own_ms = self._times.own(line_id)
            if own_ms != NO_INSTANT_MS:
                heappush(self._firsts_own, (own_ms, line_id))
            heappush(self._firsts, line_id)

    def _first_sale(self) -> Row | None:
        """R6: the row of the first received sale that has units left, with its order alone."""
        by_own, firsts, lines, times = self._firsts_own, self._firsts, self._lines, self._times
        while by_own and not (
            lines[by_own[0][1]].has_units and times.own(by_own[0][1]) == by_own[0][0]
        ):
            heappop(by_own)
        if by_own and by_own[0][0] < times.of_all:
            return lines[by_own[0][1]].order_row()
        while firsts and not lines[firsts[0]].has_units:
            heappop(firsts)
        return lines[firsts[0]].order_row() if firsts else None

    # --- refunds of the whole order ---------------------------------------------------------------

    def _change_wholes(self, one: tuple[Key, str], *, removed: bool) -> None:
        """S8: of the refunds of the whole order the first one gets what is left where it stands.

        The others nothing.
        """
        put(self._wholes, one, removed=removed)
        first = self._wholes[0] if self._wholes else None
        before, after = self._book.whole, None if first is None else first[0]
        if before == after:
            return
        near = self._near(before, after)
        for line_id in near:
            self._lines[line_id].move_whole(after)
        if before is not None and after is not None:
            for line_id in self._left - near:
                self._lines[line_id].rename_whole(after)
        self._book.whole = after
        for line_id in near:
            self._settle(line_id)
        self._book.service.move_whole(None if first is None else (first[0][0], first[1]))

    def _near(self, before: Key | None, after: Key | None) -> set[str]:
        """The lines that count, and change if the refund of the whole order moves.

        Cut otherwise, or received in between.
        """
        low, high = min(before or _END, after or _END), max(before or _END, after or _END)
        line_ids = self._named(low, high)
        if before is None or after is None:
            line_ids |= self._left
        else:
            line_ids.update(self._times.named_between(low[0], high[0]))
            if low[0] < self._times.of_all <= high[0]:
                line_ids |= self._left
        return {line_id for line_id in line_ids if self._lines[line_id].counts}

    def _named(self, low: Key, high: Key) -> set[str]:
        """The lines of the order that refunds in between name."""
        begin, end = bisect_left(self._refund_keys, low), bisect_left(self._refund_keys, high)
        refunds, lines = self._book.refunds, self._lines
        return {
            one.line_id
            for key in self._refund_keys[begin:end]
            for one in refunds[key].lines or ()
            if one.line_id in lines
        }


def _content(placed: Placed) -> tuple[str, str, str, tuple[Line, ...]]:
    return placed.shop_id, placed.buyer_id, placed.currency, placed.lines


def _summed(refund: Refund) -> dict[str, tuple[int, int]]:
    """What a refund claims, by line: units and amount."""
    claims: dict[str, tuple[int, int]] = {}
    for one in refund.lines or ():
        units, amount = claims.get(one.line_id, (0, 0))
        claims[one.line_id] = units + one.quantity, amount + one.amount
    return claims
