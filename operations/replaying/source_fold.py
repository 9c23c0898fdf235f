"""Folds a source partition of events again: its tables, and the journal rows that follow from it.

A chunk ends where a table or a transaction of the live application ended, so each side can be
compared at exactly the same offset.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from contextlib import aclosing
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.replaying.differences import TableResult, compare
from operations.replaying.row_files import RowFiles, rows_path
from operations.replaying.row_store import RowStore
from operations.replaying.work import Task
from schemas.errors import NetsoldError
from schemas.positions import offset_after
from streams.admission import of_events
from streams.partitioning import partition_of
from tables.watermarks import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from operations.replaying.row_files import JournalRow
    from operations.replaying.work import Report, Work
    from schemas.envelope import Record

CHUNK_RECORDS: Final = 40_000
"""How many records are folded at once, at most twice as many. Larger chunks cost less a record."""

_OFFSET: Final = itemgetter(0)


class LogCut(NetsoldError):
    """The log no longer has all that the tables were made of."""

    exit_code = 5


class _Folded(msgspec.Struct):
    """How far a source partition is folded, with what its tables and row files have by then."""

    progress: Progress
    lengths: dict[str, int] = msgspec.field(default_factory=dict)
    limits: list[int] = msgspec.field(default_factory=list)
    """Those that are reached."""

    results: list[TableResult] = msgspec.field(default_factory=list)


async def fold_source(work: Work, name: str, partition: int, report: Report) -> list[TableResult]:
    """Fold a partition of events as far as the plan needs, and compare the stage's tables.

    Continues where an earlier run was interrupted. Raises LogCut.
    """
    topic = work.settings.topic(work.stage(name).spec.source)
    at = (topic, partition)
    source = work.source(name, partition)
    first = max(work.known_plan().beginnings[source], work.starts.get(source, 0))
    fold = _Fold(work, Task(name, partition), first, report)
    try:
        await asyncio.to_thread(fold.reach)
        start, end = offset_after(fold.folded.progress.offset), offset_after(fold.last)
        async with aclosing(work.log.spans({at: start}, {at: end})) as steps:
            position = start
            async for step in steps:
                await asyncio.to_thread(fold.add, step.records.get(at, []))
                report(step.positions[at] - position)
                position = step.positions[at]
        await asyncio.to_thread(fold.end)
        return fold.folded.results
    finally:
        fold.close()


class _Fold:
    """Folds the records of one partition; `folded` is how far it is."""

    def __init__(self, work: Work, task: Task, first: int, report: Report) -> None:
        name, partition = task
        self._work, self._partition, self._report = work, partition, report
        self._stage = stage = work.stage(name)
        self._source = source = work.source(name, partition)
        lane = str(task)
        plan = work.known_plan()
        self._store = RowStore(work.directory / lane)
        found = self._store.progress
        self.folded = (
            _Folded(Progress(offset=first - 1))
            if found is None
            else msgspec.json.decode(found, type=_Folded)
        )
        limits = plan.limits_of(lane, source)
        self._limits = [one for one in limits if one not in self.folded.limits]
        self.last = max([*self._limits, self.folded.progress.offset])
        self._wholes = plan.wholes_of(source)
        self._stops = {stop.offset: stop.tables for stop in plan.stops.get(lane, ())}
        self._live = RowStore(work.live_path(name, partition))
        count = work.settings.partitions
        self._files = RowFiles(
            {
                f"{topic}-{number}": rows_path(work.directory, lane, topic, number)
                for topic in stage.spec.sends
                for number in range(count)
            },
            self.folded.lengths,
        )
        self._views = {table.name: self._store.view(table.name) for table in stage.spec.tables}
        self._read = of_events(stage.read, stage.spec.source, partition, work.settings)
        self._pending: list[tuple[int, Any]] = []

    def close(self) -> None:
        """Release all files."""
        self._files.close()
        self._store.close()
        self._live.close()

    def add(self, records: Iterable[Record]) -> None:
        """Fold the next records, apart from some that wait for those that follow."""
        read = self._read
        self._pending += [(record.offset, read(record)) for record in records]
        while self._limits and self._pending and self._pending[-1][0] >= self._limits[0]:
            cut = bisect_right(self._pending, self._limits[0], key=_OFFSET)
            self._fold(self._pending[:cut])
            del self._pending[:cut]
            self.reach()
        if len(self._pending) >= CHUNK_RECORDS and not self._is_within_a_transaction():
            self._fold(self._pending)
            self._pending.clear()

    def reach(self) -> None:
        """Compare the tables whose marks are reached."""
        while self._limits and self._limits[0] <= self.folded.progress.offset:
            limit = self._limits.pop(0)
            self.folded.limits.append(limit)
            for table in self._stops.get(limit, ()):
                self.folded.results.append(
                    compare(
                        table,
                        self._partition,
                        self._live,
                        self._store,
                        self._report,
                        adds_up=self._work.adds_up,
                    )
                )
            self._store.write({}, msgspec.json.encode(self.folded))

    def end(self) -> None:
        """Everything was read. Raises LogCut where a mark's record is no longer in the log."""
        if self._limits:
            raise LogCut(
                f"{self._source}@{self._limits[0]} is no longer in the log, and the tables were "
                "made of it: they cannot be compared with a replay"
            )

    def _is_within_a_transaction(self) -> bool:
        """Whether the chunk that is pending must not end before the next limit."""
        return self.folded.progress.offset in self._wholes

    def _fold(self, readings: Sequence[tuple[int, Any]]) -> None:
        while readings:
            start = self.folded.progress.offset
            outcome = self._stage.fold(self._source, readings, self._views, self.folded.progress)
            self._append(start, outcome.progress.offset, outcome.sends)
            # a paused partition continues when a worker opens it again
            self.folded.progress = (
                outcome.progress.resumed() if outcome.paused else outcome.progress
            )
            self._store.write(outcome.writes, msgspec.json.encode(self.folded))
            readings = readings[outcome.records_covered :]

    def _append(self, start: int, end: int, sends: dict[str, list[JournalRow]]) -> None:
        """Append the rows to the files of the partitions that workers choose."""
        count = self._work.settings.partitions
        for topic in self._stage.spec.sends:
            by_partition: defaultdict[int, list[JournalRow]] = defaultdict(list)
            for row in sends[topic]:
                by_partition[partition_of(row[0], count)].append(row)
            for number, rows in by_partition.items():
                self._files.append(f"{topic}-{number}", start, end, rows)
        self._files.flush()
        self.folded.lengths = dict(self._files.lengths)
