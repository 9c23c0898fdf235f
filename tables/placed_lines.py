"""The lines of one order's valid placing, while placings, receipts and cancellations change.

`sale_ledger` adds the refunds.
"""

from collections.abc import Iterable
from heapq import heappop, heappush

from schemas.times import NO_INSTANT_MS
from tables.cycles import Calendar
from tables.entries import OrderRows, Row
from tables.line_claims import LineClaims
from tables.line_ledger import LineLedger
from tables.order_book import OrderBook
from tables.orders import Line, Placed
from tables.service_ledger import ServiceLedger


class PlacedLines:
    """The lines of an order, and which of them are sales (S1, S2, S4)."""

    def __init__(self, calendar: Calendar, service: ServiceLedger) -> None:
        self._calendar = calendar
        self._book = OrderBook(calendar, service)
        self._placed: Placed | None = None
        self._lines: dict[str, LineLedger] = {}
        self._claims: dict[str, LineClaims] = {}
        self._times = self._book.times
        self._left: set[str] = set()
        """The lines that are sales and of which refunds of lines leave something."""

        self._firsts_own: list[tuple[int, str]] = []
        """A heap of lines by the earliest receipt that names them: one is the order's first sale
        (R6), if it isn't one of `_firsts`. Outdated items are dropped when they come first."""

        self._firsts: list[str] = []
        """A heap of lines that may be the first sale by a receipt of all lines."""

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


def _content(placed: Placed) -> tuple[str, str, str, tuple[Line, ...]]:
    return placed.shop_id, placed.buyer_id, placed.currency, placed.lines
