"""The sales of one order (S1 to S9), updated fact by fact, and the journal rows that change.

`counting` and `entries` are the definition, and derive the whole order. Here a fact costs the rows
that it changes: those of the lines it names, and of refunds that are cut differently because of it.
"""

from bisect import bisect_left
from typing import Final

from schemas.columns import ZERO, SaleColumns
from schemas.times import NO_INSTANT_MS
from tables.cuts import Key
from tables.cycles import Calendar
from tables.entries import Row, RowKey
from tables.orders import Refund
from tables.placed_lines import PlacedLines
from tables.service_ledger import ServiceLedger
from tables.sorted_lists import put

_END: Final[Key] = (NO_INSTANT_MS, "")


class SaleLedger(PlacedLines):
    """The sales of one order; what refunds take off them is also passed on to `service`."""

    def __init__(self, calendar: Calendar, service: ServiceLedger) -> None:
        super().__init__(calendar, service)
        self._refund_keys: list[Key] = []
        """Those of `OrderBook.refunds`, sorted."""

        self._wholes: list[tuple[Key, str]] = []
        """The refunds of the whole order that count, with their reasons; sorted."""

        self._first: Row | None = None
        """The first sale's row, with the order as its only column."""

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
        changed = {key: columns for key, columns in book.rows.items() if columns != ZERO}
        book.rows = {}
        return changed

    # --- refunds of the whole order ---------------------------------------------------------------

    def _change_wholes(self, one: tuple[Key, str], *, removed: bool) -> None:
        """S8: only the first refund of the whole order counts.

        It takes what the refunds that are sorted before it leave.
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

        A line changes if a refund between the two positions names it, or if it was received between
        them.
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


def _summed(refund: Refund) -> dict[str, tuple[int, int]]:
    """What a refund claims, by line: units and amount."""
    claims: dict[str, tuple[int, int]] = {}
    for one in refund.lines or ():
        units, amount = claims.get(one.line_id, (0, 0))
        claims[one.line_id] = units + one.quantity, amount + one.amount
    return claims
