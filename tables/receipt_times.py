"""When the lines of one order were received (S2), and when the order was cancelled (S4)."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import Final

from schemas.times import NO_INSTANT_MS
from tables.sorted_lists import put

_LAST_ID: Final = "\U0010ffff"
"""Sorts after every line's id."""


class ReceiptTimes:
    """The earliest receipt of each line and the earliest cancellation, in epoch milliseconds.

    NO_INSTANT_MS stands for none.
    """

    def __init__(self) -> None:
        self._own: dict[str, list[int]] = {}
        """By line, the instants of the receipts that name it, sorted."""

        self._by_own: list[tuple[int, str]] = []
        """The placed lines, sorted by the earliest receipt that names them."""

        self._line_ids: frozenset[str] = frozenset()
        self._all: list[int] = []
        self._cancelled: list[int] = []

    def place(self, line_ids: Iterable[str]) -> None:
        """S11: another placing is valid: the lines that the order has."""
        self._line_ids = frozenset(line_ids)
        self._by_own = sorted(
            (own[0], line_id) for line_id in self._line_ids if (own := self._own.get(line_id))
        )

    def receive(self, line_id: str, at_ms: int, *, removed: bool) -> tuple[int, int]:
        """Add or remove a receipt that names a line: the earliest such, before and after."""
        own = self._own.setdefault(line_id, [])
        before = _first(own)
        put(own, at_ms, removed=removed)
        after = _first(own)
        if before != after and line_id in self._line_ids:
            if before != NO_INSTANT_MS:
                put(self._by_own, (before, line_id), removed=True)
            if after != NO_INSTANT_MS:
                insort(self._by_own, (after, line_id))
        return before, after

    def receive_all(self, at_ms: int, *, removed: bool) -> tuple[int, int]:
        """Add or remove a receipt of all lines: the earliest such, before and after."""
        before = self.of_all
        put(self._all, at_ms, removed=removed)
        return before, self.of_all

    def cancel(self, at_ms: int, *, removed: bool) -> tuple[int, int]:
        """Add or remove a cancellation: the earliest one, before and after."""
        before = self.cancelled
        put(self._cancelled, at_ms, removed=removed)
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
        """S1, S4: when a line that was received then is sold; NO_INSTANT_MS if it is not."""
        return received_ms if received_ms <= self.cancelled else NO_INSTANT_MS

    def named_between(self, low: int, high: int) -> list[str]:
        """Lines whose first own receipt is in (low, high] and before the first one of all lines."""
        of_all = self.of_all
        begin, end = (
            bisect_right(self._by_own, (low, _LAST_ID)),
            bisect_right(self._by_own, (high, _LAST_ID)),
        )
        return [line_id for own_ms, line_id in self._by_own[begin:end] if own_ms < of_all]

    def not_named_before(self, at_ms: int) -> frozenset[str]:
        """The lines that no receipt names before an instant."""
        return self._line_ids.difference(
            [line_id for _, line_id in self._by_own[: bisect_left(self._by_own, (at_ms, ""))]]
        )


def _first(instants: list[int]) -> int:
    return instants[0] if instants else NO_INSTANT_MS
