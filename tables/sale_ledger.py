"""The sales of one order (S1 to S9) while facts come and go: the journal rows that each fact changes.

`counting` and `entries` are the definition, and derive all of an order. Here a fact costs what it
changes: the lines it names, and the refunds that are cut otherwise because of it.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

from tables import counting
from tables.cuts import Changes, Cut, Key
from tables.cycles import Calendar
from tables.entries import Row, RowKey
from tables.orders import Line, Placed, Refund
from tables.service_ledger import WHOLE, ServiceLedger, Token
from tables.sorted_lists import put

NEVER: Final = 2**63
"""After every instant, in epoch milliseconds."""

_UNITS, _AMOUNT = 0, 3  # where the gross, reversed and booked columns of a row begin
_ORDERS = 6


class _Asks:
    """What refunds ask of one line, whether the order has it or not."""

    __slots__ = ("amount", "units")

    def __init__(self) -> None:
        self.units, self.amount = Cut(), Cut()


class _Line:
    """A line of the placing that holds; `gross` and `reversed` are (units, amount) while it counts."""

    __slots__ = ("asks", "counts", "gross", "line", "revenue", "reversed")

    def __init__(self, line: Line, asks: _Asks) -> None:
        self.line, self.asks, self.revenue = line, asks, counting.revenue(line)
        self.counts = False
        self.gross, self.reversed = [0, 0], [0, 0]


class SaleLedger:
    """What counts of one order; what refunds take off its sales is handed on to `service`."""

    def __init__(self, calendar: Calendar, service: ServiceLedger) -> None:
        self._calendar = calendar
        self._service = service
        self._placed: Placed | None = None
        self._owner = ("", "", "")
        """Shop, buyer and currency."""

        self._lines: dict[str, _Line] = {}
        self._asks: dict[str, _Asks] = {}
        self._own: dict[str, list[int]] = {}
        """By line, the instants of the receipts that name it; sorted."""

        self._by_own: list[tuple[int, str]] = []
        """The placed lines by the earliest receipt that names them."""

        self._all: list[int] = []
        """The instants of the receipts of all lines; sorted."""

        self._cancelled: list[int] = []
        self._refunds: dict[Key, Refund] = {}
        """The refunds of lines that count (S5); those of the whole order stand in `_wholes`."""

        self._refund_keys: list[Key] = []
        self._wholes: list[tuple[Key, str]] = []
        self._left: set[str] = set()
        """The lines of which refunds of lines leave something."""

        self._firsts_own: list[tuple[int, str]] = []
        self._firsts: list[str] = []
        """Heaps of lines that may be the order's first sale (R6), what is out of date among them."""

        self._first: RowKey | None = None
        self._rows: dict[RowKey, list[int]] = {}

    # --- facts ------------------------------------------------------------------------------------

    def place(self, placed: Placed | None) -> None:
        """Another placing holds (S11), or none."""
        before, self._placed = self._placed, placed
        if before is not None and placed is not None and _content(before) == _content(placed):
            return
        for line in self._lines.values():
            if line.counts:
                self._stop(line)
        self._firsts_own, self._firsts, self._lines, self._by_own = [], [], {}, []
        self._owner = ("", "", "") if placed is None else (placed.shop_id, placed.buyer_id, placed.currency)
        for one in () if placed is None else placed.lines:
            line = self._lines[one.line_id] = _Line(one, self._asks_of(one.line_id))
            own = self._own.get(one.line_id)
            if own:
                self._by_own.append((own[0], one.line_id))
            self._start_if_it_counts(line)
        self._by_own.sort()

    def receive(self, line_ids: Iterable[str] | None, at_ms: int, *, gone: bool = False) -> None:
        """S2: a receipt of some lines, or of all."""
        if line_ids is None:
            before = _first(self._all)
            put(self._all, at_ms, gone=gone)
            self._receive_all(before, _first(self._all))
            return
        of_all = _first(self._all)
        for line_id in dict.fromkeys(line_ids):
            own = self._own.setdefault(line_id, [])
            before = _first(own)
            put(own, at_ms, gone=gone)
            after, line = _first(own), self._lines.get(line_id)
            if line is None or before == after:
                continue
            if before != NEVER:
                put(self._by_own, (before, line_id), gone=True)
            if after != NEVER:
                insort(self._by_own, (after, line_id))
            self._move(line, self._counts_from(min(before, of_all)), self._counts_from(min(after, of_all)))
            self._may_be_first(line)

    def cancel(self, at_ms: int, *, gone: bool = False) -> None:
        """S4: the order was called off."""
        before = _first(self._cancelled)
        put(self._cancelled, at_ms, gone=gone)
        after, of_all = _first(self._cancelled), _first(self._all)
        low, high = min(before, after), max(before, after)
        begin, end = bisect_right(self._by_own, (low, _LAST)), bisect_right(self._by_own, (high, _LAST))
        found = [self._lines[line_id] for own_ms, line_id in self._by_own[begin:end] if own_ms < of_all]
        if low < of_all <= high and of_all != NEVER:
            found += self._received_with_all(of_all)
        for line in found:
            received_ms = self._received(line)
            self._move(line, received_ms if received_ms <= before else NEVER, received_ms if received_ms <= after else NEVER)

    def refund(self, refund: Refund) -> None:
        """S5: a refund counts."""
        key = refund.occurred_at_ms, refund.refund_id
        if refund.lines is None:
            self._change_wholes((key, refund.reason), gone=False)
            return
        self._refunds[key] = refund
        insort(self._refund_keys, key)
        whole = self._whole
        for line_id, (units, amount) in _summed(refund).items():
            self._cut(line_id, key, units, amount, whole, gone=False)

    def take_back(self, refund: Refund) -> None:
        """S5: a refund counts no more."""
        key = refund.occurred_at_ms, refund.refund_id
        if refund.lines is None:
            self._change_wholes((key, refund.reason), gone=True)
            return
        whole = self._whole
        for line_id, (units, amount) in _summed(refund).items():
            self._cut(line_id, key, units, amount, whole, gone=True)
        del self._refunds[key]
        put(self._refund_keys, key, gone=True)

    def changes(self) -> dict[RowKey, Row]:
        """The rows that changed since the last call."""
        first = self._first_sale()
        if first != self._first:
            for key, number in ((self._first, -1), (first, 1)):
                if key is not None:
                    self._row(key)[_ORDERS] += number
            self._first = first
        if not self._rows:
            return {}
        changed: dict[RowKey, Row] = {
            key: (a, b, c, d, e, f, g) for key, (a, b, c, d, e, f, g) in self._rows.items() if a or b or c or d or e or f or g
        }
        self._rows = {}
        return changed

    # --- receipts ---------------------------------------------------------------------------------

    def _received(self, line: _Line) -> int:
        own = self._own.get(line.line.line_id)
        of_all = self._all[0] if self._all else NEVER
        return min(own[0], of_all) if own else of_all

    def _counts_from(self, received_ms: int) -> int:
        """S1, S4: the instant of a line's sale, NEVER if it is none."""
        return received_ms if received_ms <= _first(self._cancelled) else NEVER

    def _received_with_all(self, of_all: int) -> list[_Line]:
        """The lines that no receipt of their own confirms before the instant of one of all lines."""
        before = {line_id for _, line_id in self._by_own[: bisect_left(self._by_own, (of_all, ""))]}
        return [line for line_id, line in self._lines.items() if line_id not in before] if before else [*self._lines.values()]

    def _receive_all(self, before: int, after: int) -> None:
        """The earliest receipt of all lines is another: which lines that changes, and these alone."""
        if before == after or not self._lines:
            return
        low, high = min(before, after), max(before, after)
        whole_ms = self._wholes[0][0][0] if self._wholes else NEVER
        start_of, cancelled_ms = self._calendar.start_of, _first(self._cancelled)
        lines: Iterable[_Line]
        if high == NEVER or low <= cancelled_ms < high or start_of(low) != start_of(high):
            lines = self._received_with_all(low)
        else:  # the same cycle, and as good: only refunds in between are on the other side of it now (S7)
            begin, end = bisect_left(self._refund_keys, (low, "")), bisect_left(self._refund_keys, (high, ""))
            line_ids = {one.line_id for key in self._refund_keys[begin:end] for one in self._refunds[key].lines or ()}
            if low <= whole_ms < high:
                line_ids |= self._left
            lines = [self._lines[line_id] for line_id in line_ids if line_id in self._lines]
        for line in lines:
            own_ms = _first(self._own.get(line.line.line_id, []))
            self._move(line, self._counts_from(min(own_ms, before)), self._counts_from(min(own_ms, after)))

    def _move(self, line: _Line, before: int, after: int) -> None:
        """S2: a line counts from another instant; NEVER if it doesn't."""
        if before == after:
            return
        if before == NEVER:
            self._start(line, after)
        elif after == NEVER:
            self._stop(line, before)
        else:
            low, high = min(before, after), max(before, after)
            shares = self._shares(line, low, high)
            for key, token, units, amount in shares:
                self._shift(line, before, key, token, -units, -amount)
            if self._calendar.start_of(before) != self._calendar.start_of(after):
                self._add_sale(line, before, -1)
                self._add_sale(line, after, 1)
            for key, token, units, amount in shares:
                self._shift(line, after, key, token, units, amount)
            self._may_be_first(line)

    # --- lines ------------------------------------------------------------------------------------

    def _start_if_it_counts(self, line: _Line) -> None:
        received_ms = self._counts_from(self._received(line))
        if received_ms != NEVER:
            self._start(line, received_ms)

    def _start(self, line: _Line, received_ms: int) -> None:
        """S3: a line is a sale, of what its refunds leave of it."""
        line.counts = True
        line.gross, line.reversed = [line.line.quantity, line.revenue], [0, 0]
        self._add_sale(line, received_ms, 1)
        whole = self._whole
        units, amount = line.asks.units.start(line.line.quantity, whole), line.asks.amount.start(line.revenue, whole)
        self._share(line, received_ms, units, amount)
        if whole is not None:
            self._shift(line, received_ms, whole, WHOLE, line.asks.units.rest, line.asks.amount.rest)
        self._settled(line)

    def _stop(self, line: _Line, received_ms: int | None = None) -> None:
        """A line is no sale any more."""
        if received_ms is None:
            received_ms = self._received(line)
        for key, token, units, amount in self._shares(line, -NEVER, NEVER):
            self._shift(line, received_ms, key, token, -units, -amount)
        self._add_sale(line, received_ms, -1)
        line.counts = False
        line.gross = [0, 0]
        line.asks.units.stop()
        line.asks.amount.stop()
        self._left.discard(line.line.line_id)

    def _settled(self, line: _Line) -> None:
        """After a line's cuts have changed."""
        if line.asks.units.rest or line.asks.amount.rest:
            self._left.add(line.line.line_id)
        else:
            self._left.discard(line.line.line_id)
        self._may_be_first(line)

    def _add_sale(self, line: _Line, received_ms: int, sign: int) -> None:
        row = self._row(self._key(line, received_ms))
        for at, number in ((_UNITS, 0), (_AMOUNT, 1)):
            row[at] += sign * line.gross[number]
            row[at + 1] += sign * line.reversed[number]

    # --- refunds ----------------------------------------------------------------------------------

    @property
    def _whole(self) -> Key | None:
        return self._wholes[0][0] if self._wholes else None

    def _asks_of(self, line_id: str) -> _Asks:
        asks = self._asks.get(line_id)
        if asks is None:
            asks = self._asks[line_id] = _Asks()
        return asks

    def _cut(self, line_id: str, key: Key, units: int, amount: int, whole: Key | None, *, gone: bool) -> None:
        """S8: a refund asks for something of a line, or no more."""
        asks, line = self._asks_of(line_id), self._lines.get(line_id)
        rest = asks.units.rest, asks.amount.rest
        found: list[Changes] = []
        for cut, ask in ((asks.units, units), (asks.amount, amount)):
            found.append({} if not ask else cut.remove(key, whole) if gone else cut.add(key, ask, whole))
        if line is None or not line.counts:
            return
        received_ms = self._received(line)
        self._share(line, received_ms, found[0], found[1])
        if whole is not None:
            self._shift(line, received_ms, whole, WHOLE, asks.units.rest - rest[0], asks.amount.rest - rest[1])
        self._settled(line)

    def _change_wholes(self, one: tuple[Key, str], *, gone: bool) -> None:
        """S8: of the refunds of the whole order the first one gets what is left where it stands; the others nothing."""
        before = self._wholes[0] if self._wholes else None
        put(self._wholes, one, gone=gone)
        after = self._wholes[0] if self._wholes else None
        if before == after:
            return
        was, now = before and before[0], after and after[0]
        lines = [line for line_id in self._near(was, now) if (line := self._lines.get(line_id)) is not None and line.counts]
        if was is not None:
            self._shift_wholes(lines, was, -1)
        found = [(line, line.asks.units.move_whole(now), line.asks.amount.move_whole(now)) for line in lines]
        for line, units, amount in found:
            self._share(line, self._received(line), units, amount)
        if was is not None and now is not None and (start := self._calendar.start_of(was[0])) != self._calendar.start_of(now[0]):
            there = {line.line.line_id for line in lines}
            for line_id in self._left - there:
                line = self._lines[line_id]
                if self._received(line) <= was[0]:
                    for key, sign in ((self._key(line, start), -1), (self._key(line, now[0]), 1)):
                        row = self._row(key)
                        row[_UNITS + 2] += sign * line.asks.units.rest
                        row[_AMOUNT + 2] += sign * line.asks.amount.rest
        if now is not None:
            self._shift_wholes(lines, now, 1)
        for line in lines:
            self._settled(line)
        self._service.move_whole(None if after is None else (after[0][0], after[1]))

    def _near(self, was: Key | None, now: Key | None) -> set[str]:
        """The lines whose cuts may change if the refund of the whole order moves, or that are received in between."""
        low, high = min(was or _END, now or _END), max(was or _END, now or _END)
        begin, end = bisect_left(self._refund_keys, low), bisect_left(self._refund_keys, high)
        line_ids = {one.line_id for key in self._refund_keys[begin:end] for one in self._refunds[key].lines or ()}
        if was is None or now is None:
            return line_ids | self._left
        of_all = _first(self._all)
        begin, end = bisect_right(self._by_own, (low[0], _LAST)), bisect_right(self._by_own, (high[0], _LAST))
        line_ids |= {line_id for own_ms, line_id in self._by_own[begin:end] if own_ms < of_all}
        if low[0] < of_all <= high[0]:
            line_ids |= self._left
        return line_ids

    def _shift_wholes(self, lines: Iterable[_Line], key: Key, sign: int) -> None:
        for line in lines:
            asks = line.asks
            self._shift(line, self._received(line), key, WHOLE, sign * asks.units.rest, sign * asks.amount.rest)

    def _share(self, line: _Line, received_ms: int, units: Changes, amount: Changes) -> None:
        """What refunds of lines get of a line changes."""
        for key in units.keys() | amount.keys() if units else amount:
            self._shift(line, received_ms, key, (key, self._refunds[key].reason), units.get(key, 0), amount.get(key, 0))

    def _shares(self, line: _Line, since_ms: int, end_ms: int) -> list[tuple[Key, Token, int, int]]:
        """What refunds in a span of time get of a line."""
        asks = line.asks
        found: dict[Key, list[int]] = {key: [units, 0] for key, units in asks.units.shares(since_ms, end_ms)}
        for key, amount in asks.amount.shares(since_ms, end_ms):
            found.setdefault(key, [0, 0])[1] = amount
        shares = [(key, (key, self._refunds[key].reason), units, amount) for key, (units, amount) in found.items()]
        whole = self._whole
        if whole is not None and since_ms <= whole[0] < end_ms:
            shares.append((whole, WHOLE, asks.units.rest, asks.amount.rest))
        return shares

    def _shift(self, line: _Line, received_ms: int, key: Key, token: Token, units: int, amount: int) -> None:
        """S6, S7: a refund gets more of a line, or less: before the receipt off what is sold, from it on as a reversal."""
        if not (units or amount):
            return
        row = self._row(self._key(line, received_ms))
        if key[0] < received_ms:
            line.gross[0] -= units
            line.gross[1] -= amount
            row[_UNITS] -= units
            row[_AMOUNT] -= amount
            return
        line.reversed[0] += units
        line.reversed[1] += amount
        row[_UNITS + 1] += units
        row[_AMOUNT + 1] += amount
        booked = self._row(self._key(line, key[0]))
        booked[_UNITS + 2] += units
        booked[_AMOUNT + 2] += amount
        self._service.reverse(token, line.line.product_id, units, amount)

    # --- rows -------------------------------------------------------------------------------------

    def _key(self, line: _Line, at_ms: int) -> RowKey:
        return (line.line.line_id, self._calendar.start_of(at_ms), line.line.product_id, *self._owner)

    def _row(self, key: RowKey) -> list[int]:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = [0, 0, 0, 0, 0, 0, 0]
        return row

    def _may_be_first(self, line: _Line) -> None:
        line_id = line.line.line_id
        if self._has_units(line_id):
            own = self._own.get(line_id)
            if own:
                heappush(self._firsts_own, (own[0], line_id))
            heappush(self._firsts, line_id)

    def _has_units(self, line_id: str) -> bool:
        line = self._lines[line_id]
        return line.counts and line.gross[0] > line.reversed[0]

    def _first_sale(self) -> RowKey | None:
        """R6: the row of the sale that was received first, of which units are left."""
        by_own, firsts, of_all = self._firsts_own, self._firsts, _first(self._all)
        while by_own and not (self._has_units(by_own[0][1]) and _first(self._own[by_own[0][1]]) == by_own[0][0]):
            heappop(by_own)
        if by_own and by_own[0][0] < of_all:
            return self._key(self._lines[by_own[0][1]], by_own[0][0])
        while firsts and not self._has_units(firsts[0]):
            heappop(firsts)
        return self._key(self._lines[firsts[0]], of_all) if firsts else None


_LAST: Final = "\U0010ffff"
"""After every line's id."""

_END: Final[Key] = (NEVER, "")


def _first(instants: list[int]) -> int:
    return instants[0] if instants else NEVER


def _content(placed: Placed) -> tuple[str, str, str, tuple[Line, ...]]:
    return placed.shop_id, placed.buyer_id, placed.currency, placed.lines


def _summed(refund: Refund) -> dict[str, tuple[int, int]]:
    """What a refund asks for by line: units and amount."""
    asks: dict[str, tuple[int, int]] = {}
    for one in refund.lines or ():
        units, amount = asks.get(one.line_id, (0, 0))
        asks[one.line_id] = units + one.quantity, amount + one.amount
    return asks
