"""How the claims of refunds on one line are cut to what is left (S8), updated claim by claim.

Refunds apply by (`occurred_at`, `refund_id`). What the first *k* of them get together is the
smaller of their claims and the line's total. So the first ones get their full claims, at most one
gets a part, and the others get nothing. A claim that is added or removed moves only this boundary.
`counting` is the definition.
"""

from bisect import bisect_left
from collections.abc import Iterator

Key = tuple[int, str]
"""The sort key of a refund: `occurred_at` in epoch milliseconds, and `refund_id`."""

Changes = dict[Key, int]
"""By refund, how much more it gets (less, if negative); may have zeros."""


class Cut:
    """Distributes the units, or the amount, of one line to its refunds, in their order.

    A refund of the whole order takes what the refunds before it leave, and those after it take
    nothing. `rest` is what the refunds of lines leave.
    """

    __slots__ = ("_claims", "_filled", "_full", "_keys", "_part", "_total", "rest")

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._claims: dict[Key, int] = {}
        # The first `_full` refunds get their claims, `_filled` together; the next one gets `_part`.
        self._full = self._filled = self._part = 0
        self._total: int | None = None
        self.rest = 0

    def start(self, total: int, whole: Key | None) -> Changes:
        """Share out a total: what each refund gets."""
        self._total = total
        return self._fit(whole, {})

    def stop(self) -> None:
        """Share out nothing until the next start."""
        self._full = self._filled = self._part = self.rest = 0
        self._total = None

    def add(self, key: Key, claim: int, whole: Key | None) -> Changes:
        """Add the claim, above 0, of one more refund: what each refund gets more."""
        changes = self._lift()
        at = bisect_left(self._keys, key)
        self._keys.insert(at, key)
        self._claims[key] = claim
        if self._total is None:
            return changes
        if at < self._full:
            self._full += 1
            self._filled += claim
            changes[key] = changes.get(key, 0) + claim
        return self._fit(whole, changes)

    def remove(self, key: Key, whole: Key | None) -> Changes:
        """Remove the claim of a refund: what each refund gets more."""
        changes = self._lift()
        at = bisect_left(self._keys, key)
        del self._keys[at]
        claim = self._claims.pop(key)
        if self._total is None:
            return changes
        if at < self._full:
            self._full -= 1
            self._filled -= claim
            changes[key] = changes.get(key, 0) - claim
        return self._fit(whole, changes)

    def move_whole(self, whole: Key | None) -> Changes:
        """Another refund of the whole order is the first, or none: what each refund gets more."""
        return self._lift() if self._total is None else self._fit(whole, self._lift())

    def shares(self, since_ms: int, end_ms: int) -> Iterator[tuple[Key, int]]:
        """The refunds in a half-open span of time that get something, and how much."""
        keys, full = self._keys, self._full
        first = bisect_left(keys, (since_ms, ""))
        for at in range(first, min(bisect_left(keys, (end_ms, "")), full)):
            yield keys[at], self._claims[keys[at]]
        if self._part and since_ms <= keys[full][0] < end_ms:
            yield keys[full], self._part

    def _lift(self) -> Changes:
        """Take the part off the refund that has it; `_fit` computes `rest` anew."""
        if not self._part:
            return {}
        changes = {self._keys[self._full]: -self._part}
        self._part = 0
        return changes

    def _fit(self, whole: Key | None, changes: Changes) -> Changes:
        """Move the boundary to its place; each step is a refund that gets more or less."""
        keys, claims, total = self._keys, self._claims, self._total
        assert total is not None  # noqa: S101 - between start and stop
        limit = len(keys) if whole is None else bisect_left(keys, whole)
        full, filled = self._full, self._filled
        while full and (filled > total or full > limit):
            full -= 1
            key = keys[full]
            filled -= claims[key]
            changes[key] = changes.get(key, 0) - claims[key]
        while full < limit and filled + claims[keys[full]] <= total:
            key = keys[full]
            filled += claims[key]
            changes[key] = changes.get(key, 0) + claims[key]
            full += 1
        if full < limit and total > filled:
            self._part = total - filled
            changes[keys[full]] = changes.get(keys[full], 0) + self._part
        self._full, self._filled = full, filled
        self.rest = total - filled - self._part
        return changes
