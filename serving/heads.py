"""The first places of the lists of the best, in memory.

The best of a cycle move with nearly every step, and RocksDB keeps a deletion for each place that
they leave. A walk from the top reads all those of its write buffers: milliseconds beside a fast
pipeline.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from serving import keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.progress import ReaderProgress

PLACES: Final = 200
"""How many places of a list are read, and at least remembered if it has so many."""

LISTS: Final = 64
"""How many lists are remembered: a list of a cycle, or of a cycle and a currency."""

_PREFIX_BYTES: Final = {
    ranking.space: len(ranking.of_cycle(0, b" " * keys.CURRENCY_WIDTH * ranking.in_currency))
    for rankings in keys.TOP.values()
    for ranking in rankings.values()
}
"""By the space of a list: how many bytes of its keys are the same."""

_SPACE_WIDTH: Final = 2


class Walked(Protocol):
    """A snapshot of a store."""

    progress: ReaderProgress

    def walk(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The keys with a prefix and their values, in order."""
        ...


class Heads:
    """The first places of the lists that were read, as of the store's latest write.

    One thread applies steps: it calls `begin_step`, `leave` and `enter`, and `end_step` after the
    write. Others may read meanwhile.
    """

    def __init__(self) -> None:
        self._lists: dict[bytes, list[bytes]] = {}
        """By the prefix of its keys: a list's first keys, all of them if fewer than PLACES."""

        self._whole: set[bytes] = set()
        self._progress: ReaderProgress | None = None
        self._left: list[bytes] = []
        self._entered: list[bytes] = []
        self._lock = Lock()

    def first(self, snapshot: Walked, prefix: bytes, count: int) -> list[bytes]:
        """The first keys of a list, at most `count`, which is at most PLACES."""
        with self._lock:
            if snapshot.progress is self._progress and prefix in self._lists:
                found = self._lists[prefix]
                if len(found) >= count or prefix in self._whole:
                    return found[:count]
        found = [key for key, _ in islice(snapshot.walk(prefix), PLACES)]
        with self._lock:
            if snapshot.progress is self._progress:
                self._remember(prefix, found)
        return found[:count]

    def _remember(self, prefix: bytes, found: list[bytes]) -> None:
        self._forget(prefix)
        if len(self._lists) == LISTS:
            self._forget(next(iter(self._lists)))
        self._lists[prefix] = found
        if len(found) < PLACES:
            self._whole.add(prefix)

    def _forget(self, prefix: bytes) -> None:
        self._lists.pop(prefix, None)
        self._whole.discard(prefix)

    def forget(self) -> None:
        """Forget all: another store may follow."""
        with self._lock:
            self._lists.clear()
            self._whole.clear()
            self._progress = None

    def begin_step(self) -> None:
        """Begin a step; the former one may have failed."""
        self._left, self._entered = [], []

    def leave(self, place: bytes) -> None:
        """Note that the step deletes a place."""
        self._left.append(place)

    def enter(self, place: bytes) -> None:
        """Note that the step puts a place."""
        self._entered.append(place)

    def end_step(self, progress: ReaderProgress) -> None:
        """The step is written; the store has this progress now."""
        with self._lock:
            if self._lists:
                for place in self._left:
                    self._move(place, enters=False)
                for place in self._entered:
                    self._move(place, enters=True)
            self._progress = progress

    def _move(self, place: bytes, *, enters: bool) -> None:
        prefix = place[: _PREFIX_BYTES.get(place[:_SPACE_WIDTH], 0)]
        found = self._lists.get(prefix)
        if found is None:
            return
        if enters:
            if prefix in self._whole or (found and place < found[-1]):
                insort(found, place)
                if len(found) > 2 * PLACES:
                    del found[PLACES:]
                    self._whole.discard(prefix)
            return
        index = bisect_left(found, place)
        if index < len(found) and found[index] == place:
            del found[index]
