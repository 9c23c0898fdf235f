"""Compares tables of two versions row by row where one of them counts a copy of the other's log.

Their vectors are of different partitions, so rows are compared at moments of both logs that the
copier has recorded. A row is known at a moment once its table has passed it, if no mark beyond the
moment wrote the row. Rows of another partition than before are the same rows: tables are compared
as a whole.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from operations.versions.settling import (
    TablePartition,
    TableReader,
    Vector,
    by_list,
    compared,
    keep,
    pause,
)
from tables.catalogue import EVENT_TOPICS, REPORT_LISTS, STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from operations.replaying.row_store import RowStore
    from operations.versions.comparison import ListComparison
    from streams.settings import Settings

Moment = tuple[Vector, Vector]
"""One moment of a log, as the vectors of two versions that read it or a copy of it."""

Moments = Callable[[], Awaitable[Moment | None]]
"""Reads the last moment that both logs have; None where there is none yet."""


def is_within(vector: Vector, bound: Vector) -> bool:
    """Whether a vector is nowhere beyond another one."""
    return all(offset <= bound.get(name, -1) for name, offset in vector.items())


@dataclass(slots=True)
class WrittenPartition(TablePartition):
    """A partition that remembers the rows which marks beyond its `floor` wrote.

    `written` has the vector of the last such mark, and how many there were.
    """

    floor: Vector = field(default_factory=dict)
    written: dict[bytes, tuple[Vector, int]] = field(default_factory=dict)

    def mark(self, vector: Vector) -> None:
        """The rows since the last mark are complete."""
        keys = list(self._unmarked)
        TablePartition.mark(self, vector)
        if not is_within(vector, self.floor):
            for key in keys:
                self.written[key] = vector, self.writes_of(key) + 1

    def writes_of(self, key: bytes) -> int:
        """How often marks beyond the floor wrote a row."""
        return self.written.get(key, ({}, 0))[1]

    def raise_floor(self, floor: Vector) -> None:
        """Forget the writes up to a floor."""
        self.floor = floor
        self.written = {
            key: write for key, write in self.written.items() if not is_within(write[0], floor)
        }


class TableView:
    """All partitions of one table as one, of which `topics` are the sources by full name.

    `is_first`: whether its stage reads events, so each partition has a source of its own.
    """

    def __init__(
        self, parts: Sequence[WrittenPartition], topics: AbstractSet[str], *, is_first: bool
    ) -> None:
        self._parts, self._topics, self._is_first = parts, topics, is_first
        self.of_parts = [part.rows for part in parts]
        self.rows: Mapping[bytes, bytes] = ChainMap(*self.of_parts)

    def of_sources(self, vector: Vector) -> Vector:
        """The part of a vector of all topics that the table depends on."""
        return {name: at for name, at in vector.items() if name.rpartition("-")[0] in self._topics}

    def has_reached(self, vector: Vector) -> bool:
        """Whether these offsets are applied: by all partitions that follow a source."""
        of = max if self._is_first else min
        names = set[str]().union(*(part.vector for part in self._parts))
        found = {name: of(part.vector.get(name, -1) for part in self._parts) for name in names}
        return is_within(vector, found)

    def is_written_beyond(self, key: bytes, vector: Vector) -> bool:
        """Whether a mark beyond a vector, which is no less than a floor, wrote a row."""
        writes = (part.written.get(key) for part in self._parts)
        return any(write is not None and not is_within(write[0], vector) for write in writes)

    def writes(self, key: bytes) -> int:
        """How often marks beyond the floor wrote a row."""
        return sum(part.writes_of(key) for part in self._parts)

    def raise_floor(self, floor: Vector) -> None:
        """Forget the writes up to a floor."""
        for part in self._parts:
            part.raise_floor(floor)


class CopySettling:
    """The comparison of one table of two logs; call `again` as both are written on.

    A row differs if it does at two moments, or at one that remains the last: a table behind others
    may have a part of what is behind its mark.
    """

    def __init__(self, first: TableView, second: TableView, moment: Moment) -> None:
        self._first, self._second = first, second
        self.same, self.moving = compared(first.of_parts, second.of_parts)
        self.different: dict[bytes, tuple[bytes, bytes]] = {}
        self.differing = 0
        self._suspects: set[bytes] = set()
        self._begin_round(moment)

    def _begin_round(self, moment: Moment) -> None:
        self._targets = self._first.of_sources(moment[0]), self._second.of_sources(moment[1])
        self._first.raise_floor(self._targets[0])
        self._second.raise_floor(self._targets[1])

    def writes(self, key: bytes) -> int:
        """How often the version that wrote a row most has written it since the last moment."""
        return max(self._first.writes(key), self._second.writes(key))

    def again(self, moment: Moment) -> bool:
        """Decide about rows that are known at a moment; whether none is left to decide."""
        first, second = self._first, self._second
        of_first, of_second = self._targets
        if self.moving and first.has_reached(of_first) and second.has_reached(of_second):
            equal = {key for key in self.moving if first.rows.get(key) == second.rows.get(key)}
            known = {
                key
                for key in self.moving - equal
                if not first.is_written_beyond(key, of_first)
                and not second.is_written_beyond(key, of_second)
            }
            decided = known & self._suspects
            for key in sorted(decided):
                keep(self, key, first.rows.get(key, b""), second.rows.get(key, b""))
            self._suspects = known
            self.same += len(equal)
            self.moving -= equal | decided
            self._begin_round(moment)
        return not self.moving


def copy_reader(
    settings: Settings, lists: Sequence[str], store: RowStore, begun: Vector
) -> TableReader:
    """The reader of one of two logs' versions, from a moment's vector on."""
    return TableReader(settings, lists, store, lambda rows: WrittenPartition(rows, floor=begun))


async def settle_copies(
    readers: tuple[TableReader, TableReader],
    within_s: float,
    read: Callable[[int], None],
    moments: Moments,
    begun: Moment,
) -> dict[str, ListComparison]:
    """The comparison of two versions' lists; it ends `within_s` after both are read.

    `begun` is a moment from before the call, which `copy_reader` got. Raises as `log.follow`.
    """
    first, second = readers
    following = [asyncio.create_task(one.follow(read)) for one in (first, second)]
    try:
        while not (first.is_live and second.is_live):
            await pause(following)
        views = _views(first), _views(second)
        moment = await moments() or begun
        settlings = {at: CopySettling(view, views[1][at], moment) for at, view in views[0].items()}
        deadline = asyncio.get_running_loop().time() + within_s
        while True:
            left = [one for one in settlings.values() if not one.again(moment)]
            if not left or asyncio.get_running_loop().time() > deadline:
                break
            await pause(following)
            moment = await moments() or moment
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    return by_list(*views, settlings)


def _views(reader: TableReader) -> dict[tuple[str, int], TableView]:
    """Each list's partitions as one, which has the number 0."""
    found = {}
    for name in {name for name, _ in reader.parts}:
        stage = next(one for one in STAGES if one.name == REPORT_LISTS[name].stage)
        is_first = stage.source in EVENT_TOPICS
        sources = [stage.source] if is_first else EVENT_TOPICS
        parts = [
            cast("WrittenPartition", part) for at, part in reader.parts.items() if at[0] == name
        ]
        found[name, 0] = TableView(parts, {*map(reader.settings.topic, sources)}, is_first=is_first)
    return found
