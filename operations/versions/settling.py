"""Compares tables of two versions row by row while both are written.

The tables of a partition are read from both changelogs up to their marks. A row that differs is
compared again once both have passed the further of the two marks: if nobody has written it beyond
that, both hold it at one vector, and it differs. Otherwise it is still moving. Of two logs, of
which one is a copy of the other, tables are compared as a whole, at moments that the copier has
recorded.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from operations.versions.comparison import DifferentRow, ListComparison, compare_rows, row_key
from streams import log, topics
from streams.marks import MARK_KEY, decode_mark
from tables import catalogue
from tables.catalogue import EVENT_TOPICS, REPORT_LISTS, STAGES
from tables.cycles import Calendar
from tables.report import ReportRow, rows_of, sort_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from schemas.envelope import Record
    from streams.marks import Mark
    from streams.settings import Settings

POLL_SECONDS: Final = 0.1

Vector = dict[str, int]
"""The last offset applied of each source partition, such as `orders-3`."""

Moment = tuple[Vector, Vector]
"""One moment of a log, as the vectors of two versions that read it or a copy of it."""

Moments = Callable[[], Awaitable[Moment | None]]
"""Reads the last moment that both logs have; None where there is none yet."""


def vector_of(mark: Mark) -> Vector:
    """The source offsets that a table's partition holds."""
    if mark.sources:
        return {name: one.offset for name, one in mark.sources.items()}
    return {f"{mark.topic}-{mark.partition}": mark.offset}


@dataclass(slots=True)
class TablePartition:
    """The rows of a table's partition that a report has, at its last mark.

    `rows` has their JSON by key. `written` are the keys that were written by marks beyond the
    `floor`, with the vector of the last one; none before a floor is set.
    """

    rows: dict[bytes, bytes] = field(default_factory=dict)
    vector: Vector = field(default_factory=dict)
    floor: Vector | None = None
    written: dict[bytes, Vector] = field(default_factory=dict)
    _unmarked: dict[bytes, bytes] = field(default_factory=dict)

    def put(self, key: bytes, row: bytes) -> None:
        """A row that counts from the next mark on; empty where the report has none."""
        self._unmarked[key] = row

    def mark(self, vector: Vector) -> None:
        """The rows since the last mark are complete."""
        for key, row in self._unmarked.items():
            if row:
                self.rows[key] = row
            else:
                self.rows.pop(key, None)
        if self.floor is not None and not is_within(vector, self.floor):
            self.written.update(dict.fromkeys(self._unmarked, vector))
        self._unmarked.clear()
        self.vector = vector

    def raise_floor(self, floor: Vector) -> None:
        """Forget the writes up to a floor."""
        self.floor = floor
        self.written = {
            key: vector for key, vector in self.written.items() if not is_within(vector, floor)
        }


def is_within(vector: Vector, bound: Vector) -> bool:
    """Whether a vector is nowhere beyond another one."""
    return all(offset <= bound.get(name, -1) for name, offset in vector.items())


class TableView:
    """Partitions of one table as one, of which `topics` are the sources by name on the cluster.

    `is_first`: whether its stage reads events, so each partition has a source of its own.
    """

    def __init__(
        self,
        parts: Sequence[TablePartition],
        topics: Collection[str] = (),
        *,
        is_first: bool = True,
    ) -> None:
        self._parts, self._topics, self._is_first = parts, topics, is_first
        self.rows: Mapping[bytes, bytes] = (
            parts[0].rows if len(parts) == 1 else ChainMap(*(part.rows for part in parts))
        )

    @property
    def vector(self) -> Vector:
        """The furthest offsets that any of its partitions holds."""
        found: Vector = {}
        for part in self._parts:
            found |= {name: max(at, found.get(name, -1)) for name, at in part.vector.items()}
        return found

    def of_sources(self, vector: Vector) -> Vector:
        """The part of a vector of all topics that the table depends on."""
        return {name: at for name, at in vector.items() if name.rpartition("-")[0] in self._topics}

    def has_reached(self, vector: Vector) -> bool:
        """Whether these offsets are applied."""
        found = self.vector if self._is_first else self._least()
        return is_within(vector, found)

    def _least(self) -> Vector:
        names = set[str]().union(*(part.vector for part in self._parts))
        return {name: min(part.vector.get(name, -1) for part in self._parts) for name in names}

    def is_written_beyond(self, key: bytes, vector: Vector) -> bool:
        """Whether a row was written by a mark beyond a vector, which is no less than a floor."""
        marks = (part.written.get(key) for part in self._parts)
        return any(mark is not None and not is_within(mark, vector) for mark in marks)

    def raise_floor(self, floor: Vector) -> None:
        """Forget the writes up to a floor."""
        for part in self._parts:
            part.raise_floor(floor)


class Settling:
    """The comparison of one table, or of a partition of it; call `again` as both are written on.

    `moment` has one moment of the log as a vector of each version, where their logs differ; else
    both are at one vector where both have its offsets.
    """

    def __init__(self, first: TableView, second: TableView, moment: Moment | None = None) -> None:
        self._first, self._second = first, second
        keys = first.rows.keys() | second.rows.keys()
        self.moving = {key for key in keys if first.rows.get(key) != second.rows.get(key)}
        self.same = len(keys) - len(self.moving)
        self.different: set[bytes] = set()
        self._targets: Moment = ({}, {})
        self._begin_round(moment)

    def _begin_round(self, moment: Moment | None) -> None:
        if moment is None:
            first, second = self._first.vector, self._second.vector
            furthest = {
                name: max(first.get(name, -1), second.get(name, -1)) for name in first | second
            }
            self._targets = furthest, furthest
        else:
            self._targets = self._first.of_sources(moment[0]), self._second.of_sources(moment[1])
        self._first.raise_floor(self._targets[0])
        self._second.raise_floor(self._targets[1])

    def again(self, moment: Moment | None = None) -> bool:
        """Decide about rows that can be compared by now; whether none is left to decide."""
        (first, of_first), (second, of_second) = zip(
            (self._first, self._second), self._targets, strict=True
        )
        if self.moving and first.has_reached(of_first) and second.has_reached(of_second):
            equal = {key for key in self.moving if first.rows.get(key) == second.rows.get(key)}
            quiet = {
                key
                for key in self.moving - equal
                if not first.is_written_beyond(key, of_first)
                and not second.is_written_beyond(key, of_second)
            }
            self.same += len(equal)
            self.different |= quiet
            self.moving -= equal | quiet
            self._begin_round(moment)
        return not self.moving


class TableReader:
    """Follows the changelogs of some lists' tables of one version."""

    def __init__(
        self, settings: Settings, lists: Collection[str], floor: Vector | None = None
    ) -> None:
        """Writes beyond the `floor` are remembered, where there is one."""
        self._settings, self._floor = settings, floor
        self._calendar = Calendar(settings.cycle_ms, settings.anchor_ms)
        self._lists = {topics.changelog(settings, REPORT_LISTS[name].name): name for name in lists}
        self.parts: dict[tuple[str, int], TablePartition] = {}
        """By list and partition."""

        self.is_live = False
        """Whether the changelogs are read to the ends that they had at first."""

    async def follow(self, read: Callable[[int], None]) -> None:
        """Read for ever; `read` gets numbers of records. Raises as `log.follow`."""
        starts, _ = await log.bounds(self._settings, self._lists)
        for topic, number in starts:
            self.parts[self._lists[topic], number] = TablePartition(floor=self._floor)
        async with aclosing(log.follow(self._settings, starts)) as steps:
            async for step in steps:
                for (topic, number), records in step.records.items():
                    read(len(records))
                    self._apply(self._lists[topic], number, records)
                self.is_live = not step.behind

    def views(self, *, whole: bool) -> dict[tuple[str, int], TableView]:
        """By list and partition; or, with `whole`, each list's partitions as one, of number 0."""
        if not whole:
            return {at: TableView([part]) for at, part in self.parts.items()}
        found = {}
        for name in self._lists.values():
            stage = next(one for one in STAGES if one.name == REPORT_LISTS[name].stage)
            is_first = stage.source in EVENT_TOPICS
            topics_of = [stage.source] if is_first else [*EVENT_TOPICS]
            parts = [part for (of, _), part in self.parts.items() if of == name]
            sources = {self._settings.topic(topic) for topic in topics_of}
            found[name, 0] = TableView(parts, sources, is_first=is_first)
        return found

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
    first: TableReader,
    second: TableReader,
    within_s: float,
    read: Callable[[int], None],
    moments: Moments | None = None,
) -> dict[str, ListComparison]:
    """The comparison of two versions' lists; it ends `within_s` after both are read.

    `moments` are those of two logs where they have two. Raises as `log.follow`.
    """
    following = [asyncio.create_task(one.follow(read)) for one in (first, second)]
    try:
        while not (first.is_live and second.is_live):
            await _pause(following)
        whole = moments is not None
        views = first.views(whole=whole), second.views(whole=whole)
        moment = None if moments is None else await moments()
        settlings = {at: Settling(view, views[1][at], moment) for at, view in views[0].items()}
        deadline = asyncio.get_running_loop().time() + within_s
        while True:
            left = [one for one in settlings.values() if not one.again(moment)]
            if not left or asyncio.get_running_loop().time() > deadline:
                break
            await _pause(following)
            if moments is not None:
                moment = await moments() or moment
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    return _by_list(views, settlings)


async def _pause(following: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(following, timeout=POLL_SECONDS)
    for task in done:
        task.result()


_Views = dict[tuple[str, int], TableView]


def _by_list(
    views: tuple[_Views, _Views], settlings: Mapping[tuple[str, int], Settling]
) -> dict[str, ListComparison]:
    found: dict[str, ListComparison] = {}
    for at, settling in sorted(settlings.items()):
        before = found.get(at[0], ListComparison())
        firsts, seconds = views[0][at].rows, views[1][at].rows
        different = [
            row
            for key in sorted(settling.different)
            for row in _different(at[0], firsts.get(key), seconds.get(key))
        ]
        moving = [
            row_key(at[0], row)
            for key in sorted(settling.moving)
            for row in _rows(firsts.get(key) or seconds.get(key))[:1]
        ]
        key_of = sort_key(at[0])
        found[at[0]] = ListComparison(
            before.same + settling.same,
            sorted(
                [*before.different, *different],
                key=lambda row: key_of(row.first or row.second or {}),
            ),
            [*before.moving, *moving],
        )
    return found


def _rows(encoded: bytes | None) -> list[ReportRow]:
    return msgspec.json.decode(encoded, type=list[ReportRow]) if encoded else []


def _different(name: str, first: bytes | None, second: bytes | None) -> list[DifferentRow]:
    """The rows of one key that differ: an order may have several anomalies."""
    return list(compare_rows(name, _rows(first), _rows(second)).different)
