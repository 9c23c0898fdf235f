"""When the lines of one order were received (S2), and when it was called off (S4), while facts come and go."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import Final

from tables.sorted_lists import put

NEVER: Final = 2**63
"""After every instant, in epoch milliseconds."""

LAST: Final = "\U0010ffff"
"""After every line's id."""


class ReceiptTimes:
    """Instants in epoch milliseconds, NEVER where there is none.

    Of several receipts the earliest counts.
    """

    def __init__(self) -> None:
        self._own: dict[str, list[int]] = {}
        """By line, the receipts that name it; sorted."""

        self._by_own: list[tuple[int, str]] = []
        """The placed lines by the earliest receipt that names them."""

        self._line_ids: frozenset[str] = frozenset()
        self._all: list[int] = []
        self._cancelled: list[int] = []

    def place(self, line_ids: Iterable[str]) -> None:
        """The lines that the order has."""
        self._line_ids = frozenset(line_ids)
        self._by_own = sorted(
            (own[0], line_id) for line_id in self._line_ids if (own := self._own.get(line_id))
        )

    def receive(self, line_id: str, at_ms: int, *, gone: bool) -> tuple[int, int]:
        """A receipt names a line: the earliest one that does, before and after."""
        own = self._own.setdefault(line_id, [])
        before = _first(own)
        put(own, at_ms, gone=gone)
        after = _first(own)
        if before != after and line_id in self._line_ids:
            if before != NEVER:
                put(self._by_own, (before, line_id), gone=True)
            if after != NEVER:
                insort(self._by_own, (after, line_id))
        return before, after

    def receive_all(self, at_ms: int, *, gone: bool) -> tuple[int, int]:
        """A receipt of all lines: the earliest one, before and after."""
        before = self.of_all
        put(self._all, at_ms, gone=gone)
        return before, self.of_all

    def cancel(self, at_ms: int, *, gone: bool) -> tuple[int, int]:
        """A cancellation: the earliest one, before and after."""
        before = self.cancelled
        put(self._cancelled, at_ms, gone=gone)
        return before, self.cancelled

    @property
    def of_all(self) -> int:
        """The earliest receipt of all lines."""
        return _first(self._all)

    @property
    def cancelled(self) -> int:
        """The earliest cancellation."""
        return _first(self._cancelled)

    def own(self, line_id: str) -> int:
        """The earliest receipt that names a line."""
        return _first(self._own.get(line_id, []))

    def received(self, line_id: str) -> int:
        """When a line was received."""
        return min(self.own(line_id), self.of_all)

    def counts_from(self, received_ms: int) -> int:
        """S1, S4: the instant of a line's sale, NEVER if it is none."""
        return received_ms if received_ms <= self.cancelled else NEVER

    def named_between(self, low: int, high: int) -> list[str]:
        """The lines that a receipt of their own confirms after `low`, at `high` at the latest, and before one of all lines."""
        of_all = self.of_all
        begin, end = (
            bisect_right(self._by_own, (low, LAST)),
            bisect_right(self._by_own, (high, LAST)),
        )
        return [line_id for own_ms, line_id in self._by_own[begin:end] if own_ms < of_all]

    def not_named_before(self, at_ms: int) -> frozenset[str]:
        """The lines that no receipt of their own confirms before an instant."""
        return self._line_ids.difference(
            [line_id for _, line_id in self._by_own[: bisect_left(self._by_own, (at_ms, ""))]]
        )


def _first(instants: list[int]) -> int:
    return instants[0] if instants else NEVER
