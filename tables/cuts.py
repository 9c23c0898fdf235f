"""How the refunds of one line are cut to what is left of it (S8), kept while refunds come and go.

Refunds apply by (`occurred_at`, `refund_id`), so what the first *k* of them get together is the
smaller of what they ask for and the line's total: the first ones get all, at most one gets a part,
the others nothing. A refund that comes or goes moves only this boundary. `counting` is the
definition.
"""

from bisect import bisect_left
from collections.abc import Iterator

Key = tuple[int, str]
"""Where a refund stands among the others: `occurred_at` in epoch milliseconds, `refund_id`."""

Changes = dict[Key, int]
"""By refund, how much more it gets (less, if negative); zeros among them."""


class Cut:
    """Units, or an amount, of one line.

    A refund of the whole order gets what is left where it stands.

    `rest` is what refunds of lines leave: it goes to the refund of the whole order, if there is
    one.
    """

    __slots__ = ("_asks", "_filled", "_full", "_keys", "_part", "_total", "rest")

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._asks: dict[Key, int] = {}
        self._full = self._filled = self._part = (
            0  # so many get all, that much; the next one a part
        )
        self._total: int | None = None
        self.rest = 0

    def start(self, total: int, whole: Key | None) -> Changes:
        """Share out a total; what each refund gets."""
        self._total = total
        return self._fit(whole, {})

    def stop(self) -> None:
        """Nothing is shared out until the next start."""
        self._full = self._filled = self._part = self.rest = 0
        self._total = None

    def add(self, key: Key, ask: int, whole: Key | None) -> Changes:
        """One more refund, that asks for more than nothing."""
        changes = self._lift()
        at = bisect_left(self._keys, key)
        self._keys.insert(at, key)
        self._asks[key] = ask
        if self._total is None:
            return changes
        if at < self._full:
            self._full += 1
            self._filled += ask
            changes[key] = changes.get(key, 0) + ask
        return self._fit(whole, changes)

    def remove(self, key: Key, whole: Key | None) -> Changes:
        """A refund counts no more."""
        changes = self._lift()
        at = bisect_left(self._keys, key)
        del self._keys[at]
        ask = self._asks.pop(key)
        if self._total is None:
            return changes
        if at < self._full:
            self._full -= 1
            self._filled -= ask
            changes[key] = changes.get(key, 0) - ask
        return self._fit(whole, changes)

    def move_whole(self, whole: Key | None) -> Changes:
        """Another refund of the whole order is the first, or none."""
        return self._lift() if self._total is None else self._fit(whole, self._lift())

    def shares(self, since_ms: int, end_ms: int) -> Iterator[tuple[Key, int]]:
        """The refunds of lines in a span of time that get something, and how much."""
        keys, full = self._keys, self._full
        first = bisect_left(keys, (since_ms, ""))
        for at in range(first, min(bisect_left(keys, (end_ms, "")), full)):
            yield keys[at], self._asks[keys[at]]
        if self._part and since_ms <= keys[full][0] < end_ms:
            yield keys[full], self._part

    def _lift(self) -> Changes:
        """Take back the part; `rest` is worked out anew in any case."""
        if not self._part:
            return {}
        changes = {self._keys[self._full]: -self._part}
        self._part = 0
        return changes

    def _fit(self, whole: Key | None, changes: Changes) -> Changes:
        """Move the boundary to where it belongs; each step is a refund that gets more or less."""
        keys, asks, total = self._keys, self._asks, self._total
        assert total is not None  # noqa: S101 - between start and stop
        limit = len(keys) if whole is None else bisect_left(keys, whole)
        full, filled = self._full, self._filled
        while full and (filled > total or full > limit):
            full -= 1
            key = keys[full]
            filled -= asks[key]
            changes[key] = changes.get(key, 0) - asks[key]
        while full < limit and filled + asks[keys[full]] <= total:
            key = keys[full]
            filled += asks[key]
            changes[key] = changes.get(key, 0) + asks[key]
            full += 1
        if full < limit and total > filled:
            self._part = total - filled
            changes[keys[full]] = changes.get(keys[full], 0) + self._part
        self._full, self._filled = full, filled
        self.rest = total - filled - self._part
        return changes
