"""Compares tables of two versions row by row while both are written.

The tables of a partition are read from both changelogs up to their marks. A row that differs is
compared where both versions hold it at one vector: each state of it is one from the mark behind
the one that wrote it, up to the last mark before it is written again. Two such stays that overlap
are compared. A row whose stays never overlap is written too often: it is still moving.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import aclosing
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from operations.replaying.differences import differing
from operations.versions.comparison import (
    MOST_ROWS,
    DifferentRow,
    ListComparison,
    MovingRow,
    compare_rows,
    row_key,
)
from operations.versions.disk_rows import DiskRows, in_order
from streams import log, topics
from streams.marks import MARK_KEY, decode_mark
from tables import catalogue
from tables.catalogue import REPORT_LISTS
from tables.report import ReportRow, rows_of, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping

    from operations.replaying.row_store import RowStore
    from schemas.envelope import Record
    from streams.marks import Mark
    from streams.settings import Settings

POLL_SECONDS: Final = 0.1
MOST_STAYS: Final = 100
"""Most states of a row that are kept while the other version is behind them."""

MOST_APPLIED: Final = 500
"""Most records that are applied at once; a row is written to disk for each."""

MOST_WATCHED: Final = 10_000
"""Most rows of a table's partition that are watched at once, so that memory is bounded."""

Vector = dict[str, int]
"""The last offset applied of each source partition, such as `orders-3`."""


def vector_of(mark: Mark) -> Vector:
    """The source offsets that a table's partition holds."""
    if mark.sources:
        return {name: one.offset for name, one in mark.sources.items()}
    return {f"{mark.topic}-{mark.partition}": mark.offset}


@dataclass(slots=True)
class Stay:
    """A row of some state (empty where the report has none), and the vectors at which it is that.

    `since` is None until the mark behind the one that wrote the row: a worker reads a journal
    record by record, so up to there the state may include a part of what comes behind its mark.
    `until` is None while the row is not written again.
    """

    row: bytes
    since: Vector | None = None
    until: Vector | None = None


@dataclass(slots=True)
class TablePartition:
    """The rows of a table's partition that a report has, at its last mark.

    `rows` has their JSON by key. `stays` are the states of the rows that are watched, oldest
    first, and `writes` how often each was written.
    """

    rows: MutableMapping[bytes, bytes] = field(default_factory=dict)
    vector: Vector = field(default_factory=dict)
    stays: dict[bytes, deque[Stay]] = field(default_factory=dict)
    writes: Counter[bytes] = field(default_factory=Counter)
    _unmarked: dict[bytes, bytes] = field(default_factory=dict)
    _fresh: set[bytes] = field(default_factory=set)
    """The watched rows that were written at the last mark."""

    def put(self, key: bytes, row: bytes) -> None:
        """A row that counts from the next mark on; empty where the report has none."""
        self._unmarked[key] = row

    def mark(self, vector: Vector) -> None:
        """The rows since the last mark are complete."""
        fresh = self._unmarked.keys() & self.stays.keys()
        for key, row in self._unmarked.items():
            if row:
                self.rows[key] = row
            else:
                self.rows.pop(key, None)
            if key in fresh:
                self._written(key, row)
        for key in (self._fresh - fresh) & self.stays.keys():
            self.stays[key][-1].since = vector
        self._unmarked.clear()
        self._fresh = fresh
        self.vector = vector

    def _written(self, key: bytes, row: bytes) -> None:
        """A watched row is written: what it was ended at the mark before this one."""
        stays = self.stays[key]
        self.writes[key] += 1
        if stays[-1].since is None:
            stays[-1].row = row
            return
        stays[-1].until = self.vector
        stays.append(Stay(row))
        if len(stays) > MOST_STAYS:
            stays.popleft()

    def watch(self, keys: Collection[bytes]) -> None:
        """Keep the states of these rows from now on, too."""
        self.stays |= {key: deque([Stay(self.rows.get(key, b""))]) for key in keys}
        self._fresh |= set(keys)

    def forget(self, key: bytes) -> None:
        """Watch a row no longer, if it is watched."""
        self.stays.pop(key, None)


def compared(
    first: Iterable[Mapping[bytes, bytes]], second: Iterable[Mapping[bytes, bytes]]
) -> tuple[int, set[bytes]]:
    """How many rows of two tables are the same, and the keys of the others."""
    same, others = 0, set[bytes]()
    for key, one, other in differing(in_order(first), in_order(second)):
        if one == other:
            same += 1
        else:
            others.add(key)
    return same, others


class Settling:
    """The comparison of one table's partition; call `again` as both are written on.

    Of the rows that differ some are watched, the others wait until these are decided.
    """

    def __init__(self, first: TablePartition, second: TablePartition) -> None:
        self._first, self._second = first, second
        self.same, self.moving = compared([first.rows], [second.rows])
        self.different: dict[bytes, tuple[bytes, bytes]] = {}
        """Rows of both that differ at one vector, by key; at most MOST_ROWS of `differing`."""

        self.differing = 0
        self._waiting = sorted(self.moving, reverse=True)
        self._watch_more()
        self._seen: tuple[Vector, Vector] | None = None

    def _watch_more(self) -> None:
        """Watch as many of the rows that wait as there is room for, in the order of their keys."""
        room = MOST_WATCHED - len(self._first.stays)
        more = [self._waiting.pop() for _ in range(min(room, len(self._waiting)))]
        self._first.watch(more)
        self._second.watch(more)

    def writes(self, key: bytes) -> int:
        """How often the version that wrote a row most has written it since the comparison began."""
        return max(self._first.writes[key], self._second.writes[key])

    def again(self) -> bool:
        """Decide about rows that can be compared by now; whether none is left to decide."""
        first, second = self._first, self._second
        if self._seen != (first.vector, second.vector):
            self._seen = first.vector, second.vector
            if first.vector == second.vector:  # as at the end of a log that stands still
                self._waiting.clear()
                for key in sorted(self.moving):
                    self._decide(key, first.rows.get(key, b""), second.rows.get(key, b""))
            for key in list(first.stays):
                pair = self._at_one_vector(key)
                if pair is not None:
                    self._decide(key, *pair)
            self._watch_more()
        return not self.moving

    def _decide(self, key: bytes, first: bytes, second: bytes) -> None:
        if first == second:
            self.same += 1
        else:
            keep(self, key, first, second)
        self.moving.remove(key)
        self._first.forget(key)
        self._second.forget(key)

    def _at_one_vector(self, key: bytes) -> tuple[bytes, bytes] | None:
        """The rows of both at a vector at which both hold one; stays that can't be it are dropped.

        Vectors only grow, so a stay that ended before the other one began meets no later one.
        """
        firsts, seconds = self._first.stays[key], self._second.stays[key]
        while firsts[0].since is not None and seconds[0].since is not None:
            first, second = firsts[0], seconds[0]
            if _ended_before(first.until or self._first.vector, seconds[0].since):
                dropped, stay = firsts, first
            elif _ended_before(second.until or self._second.vector, firsts[0].since):
                dropped, stay = seconds, second
            else:
                return first.row, second.row
            if stay.until is None:
                break
            dropped.popleft()
        return None


def _ended_before(until: Vector, since: Vector | None) -> bool:
    """Whether a stay ended before another one began, at any source partition."""
    return any(until.get(name, -1) < offset for name, offset in (since or {}).items())


class TableReader:
    """Follows the changelogs of some lists' tables of one version."""

    def __init__(
        self,
        settings: Settings,
        lists: Collection[str],
        store: RowStore,
        make: Callable[[MutableMapping[bytes, bytes]], TablePartition] = TablePartition,
    ) -> None:
        """`make` makes the state of each partition, whose rows are in the store."""
        self.settings, self._store, self._make = settings, store, make
        self._calendar = settings.terms.calendar
        self._lists = {topics.changelog(settings, REPORT_LISTS[name].name): name for name in lists}
        self.parts: dict[tuple[str, int], TablePartition] = {}
        """By list and partition."""

        self.is_live = False
        """Whether the changelogs are read to the ends that they had at first."""

    async def follow(self, read: Callable[[int], None]) -> None:
        """Read for ever; `read` gets numbers of records. Raises as `log.follow`."""
        starts, _ = await log.bounds(self.settings, self._lists)
        for topic, number in starts:
            name = self._lists[topic]
            rows = DiskRows(self._store, REPORT_LISTS[name].name, number)
            self.parts[name, number] = self._make(rows)
        async with aclosing(log.follow(self.settings, starts)) as steps:
            async for step in steps:
                for (topic, number), records in step.records.items():
                    for begin in range(0, len(records), MOST_APPLIED):
                        some = records[begin : begin + MOST_APPLIED]
                        read(len(some))
                        self._apply(self._lists[topic], number, some)
                        await asyncio.sleep(0)  # Ctrl-C ends it here
                self.is_live = not step.behind

    def _apply(self, name: str, number: int, records: Iterable[Record]) -> None:
        part = self.parts[name, number]
        for record in records:
            if record.key == MARK_KEY and record.value is not None:
                part.mark(vector_of(decode_mark(record.value)))
            elif record.key is not None:
                part.put(record.key, self._encoded(name, record.key, record.value))

    def _encoded(self, name: str, key: bytes, state: bytes | None) -> bytes:
        if state is None:
            return b""
        table = REPORT_LISTS[name]
        subject, start_ms = (
            catalogue.split_cycle_key(key) if table.windowed else (key.decode(), None)
        )
        rows = rows_of(self._calendar, table, subject, start_ms, state)
        return msgspec.json.encode(rows, order="sorted") if rows else b""


async def settle(
    first: TableReader, second: TableReader, within_s: float, read: Callable[[int], None]
) -> dict[str, ListComparison]:
    """The comparison of two versions' lists; it ends `within_s` after both are read.

    Raises as `log.follow`.
    """
    following = [asyncio.create_task(one.follow(read)) for one in (first, second)]
    try:
        while not (first.is_live and second.is_live):
            await pause(following)
        settlings = {at: Settling(part, second.parts[at]) for at, part in first.parts.items()}
        deadline = asyncio.get_running_loop().time() + within_s
        while True:
            left = [one for one in settlings.values() if not one.again()]
            if not left or asyncio.get_running_loop().time() > deadline:
                break
            await pause(following)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    return by_list(first.parts, second.parts, settlings)


async def pause(following: list[asyncio.Task[None]]) -> None:
    """Wait a moment; raises what one of the readers failed with."""
    done, _ = await asyncio.wait(following, timeout=POLL_SECONDS)
    for task in done:
        task.result()


class HasRows(Protocol):
    """A table, or a partition of it."""

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        """The JSON of its rows by key."""


class Settled(Protocol):
    """What a comparison has decided; the fields are those of `Settling`."""

    same: int
    moving: set[bytes]
    different: dict[bytes, tuple[bytes, bytes]]
    differing: int

    def writes(self, key: bytes) -> int:
        """How often a row that is moving was written."""


def keep(settled: Settled, key: bytes, first: bytes, second: bytes) -> None:
    """Count a row that differs; the first ones are kept."""
    settled.differing += 1
    if len(settled.different) < MOST_ROWS:
        settled.different[key] = first, second


def by_list(
    first: Mapping[tuple[str, int], HasRows],
    second: Mapping[tuple[str, int], HasRows],
    settlings: Mapping[tuple[str, int], Settled],
) -> dict[str, ListComparison]:
    """What was decided, by the names of lists."""
    found: dict[str, ListComparison] = {}
    for at, settling in sorted(settlings.items()):
        name = at[0]
        before = found.get(name, ListComparison())
        firsts, seconds = first[at].rows, second[at].rows
        different = [
            row
            for key in sorted(settling.different)
            for row in compare_rows(name, *map(_rows, settling.different[key])).different
        ]
        moving = [
            MovingRow(row_key(name, row), settling.writes(key))
            for key in nsmallest(MOST_ROWS, settling.moving)
            for row in _rows(firsts.get(key) or seconds.get(key))[:1]
        ]
        all_different = sorted([*before.different, *different], key=_sorted_by(name))
        all_moving = [*before.moving, *moving]
        found[name] = ListComparison(
            before.same + settling.same,
            all_different[:MOST_ROWS],
            all_moving[:MOST_ROWS],
            before.more_different
            + (settling.differing - len(settling.different))
            + len(all_different[MOST_ROWS:]),
            before.more_moving
            + max(0, len(settling.moving) - MOST_ROWS)
            + len(all_moving[MOST_ROWS:]),
        )
    return found


def _sorted_by(name: str) -> Callable[[DifferentRow], tuple[str, ...]]:
    key_of = sort_key(name)
    return lambda row: key_of(row.first or row.second or {})


def _rows(encoded: bytes | None) -> list[ReportRow]:
    return msgspec.json.decode(encoded, type=list[ReportRow]) if encoded else []
