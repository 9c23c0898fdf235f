"""Compares tables of two versions row by row while both are written.

The tables of a partition are read from both changelogs up to their marks. A row that differs is
compared again once both have passed the further of the two marks: if nobody has written it since
then, both hold it at one vector, and it differs. Otherwise it is still moving.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from operations.versions.comparison import DifferentRow, ListComparison, compare_rows, row_key
from streams import log, topics
from streams.marks import MARK_KEY, decode_mark
from tables import catalogue
from tables.catalogue import REPORT_LISTS
from tables.cycles import Calendar
from tables.report import ReportRow, rows_of, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from schemas.envelope import Record
    from streams.marks import Mark
    from streams.settings import Settings

POLL_SECONDS: Final = 0.1

Vector = dict[str, int]
"""The last offset applied of each source partition, such as `orders-3`."""


def vector_of(mark: Mark) -> Vector:
    """The source offsets that a table's partition holds."""
    if mark.sources:
        return {name: one.offset for name, one in mark.sources.items()}
    return {f"{mark.topic}-{mark.partition}": mark.offset}


@dataclass(slots=True)
class TablePartition:
    """The rows of a table's partition that a report has, at its last mark.

    `rows` has their JSON by key. `written` are the keys written since `begin_round`.
    """

    rows: dict[bytes, bytes] = field(default_factory=dict)
    vector: Vector = field(default_factory=dict)
    written: set[bytes] = field(default_factory=set)
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
        self.written.update(self._unmarked)
        self._unmarked.clear()
        self.vector = vector

    def has_reached(self, vector: Vector) -> bool:
        """Whether these offsets are applied."""
        return all(self.vector.get(name, -1) >= offset for name, offset in vector.items())


class Settling:
    """The comparison of one table's partition; call `again` as both are written on."""

    def __init__(self, first: TablePartition, second: TablePartition) -> None:
        self._first, self._second = first, second
        keys = first.rows.keys() | second.rows.keys()
        self.moving = {key for key in keys if first.rows.get(key) != second.rows.get(key)}
        self.same = len(keys) - len(self.moving)
        self.different: set[bytes] = set()
        self._target: Vector = {}
        self._begin_round()

    def _begin_round(self) -> None:
        first, second = self._first.vector, self._second.vector
        self._target = {
            name: max(first.get(name, -1), second.get(name, -1)) for name in first | second
        }
        self._first.written.clear()
        self._second.written.clear()

    def again(self) -> bool:
        """Decide about rows that can be compared by now; whether none is left to decide."""
        first, second = self._first, self._second
        if self.moving and first.has_reached(self._target) and second.has_reached(self._target):
            equal = {key for key in self.moving if first.rows.get(key) == second.rows.get(key)}
            quiet = self.moving - equal - first.written - second.written
            self.same += len(equal)
            self.different |= quiet
            self.moving -= equal | quiet
            self._begin_round()
        return not self.moving


class TableReader:
    """Follows the changelogs of some lists' tables of one version."""

    def __init__(self, settings: Settings, lists: Collection[str]) -> None:
        self._settings = settings
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
            self.parts[self._lists[topic], number] = TablePartition()
        async with aclosing(log.follow(self._settings, starts)) as steps:
            async for step in steps:
                for (topic, number), records in step.records.items():
                    read(len(records))
                    self._apply(self._lists[topic], number, records)
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
            await _pause(following)
        settlings = {at: Settling(part, second.parts[at]) for at, part in first.parts.items()}
        deadline = asyncio.get_running_loop().time() + within_s
        while True:
            left = [one for one in settlings.values() if not one.again()]
            if not left or asyncio.get_running_loop().time() > deadline:
                break
            await _pause(following)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    return _by_list(first, second, settlings)


async def _pause(following: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(following, timeout=POLL_SECONDS)
    for task in done:
        task.result()


def _by_list(
    first: TableReader,
    second: TableReader,
    settlings: Mapping[tuple[str, int], Settling],
) -> dict[str, ListComparison]:
    found: dict[str, ListComparison] = {}
    for at, settling in sorted(settlings.items()):
        before = found.get(at[0], ListComparison())
        firsts, seconds = first.parts[at].rows, second.parts[at].rows
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
