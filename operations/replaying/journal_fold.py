"""Folds the replayed rows of a journal's partition; compares the tables at each of their marks."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from operations.replaying.differences import TableResult, compare
from operations.replaying.plan import feeding
from operations.replaying.row_files import blocks, rows_path
from operations.replaying.row_store import RowStore
from tables.watermarks import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from operations.replaying.plan import Cut, Stop
    from operations.replaying.row_files import Block, JournalRow
    from operations.replaying.work import Report, Work

CHUNK_ROWS: Final = 20_000
"""How many rows are folded at once, at least."""


class _Row(NamedTuple):
    """What a stage of a journal reads of a record."""

    key: bytes
    value: bytes


class SourceRows:
    """The replayed rows of one source partition in a journal's partition, part after part."""

    def __init__(self, path: Path, report: Report) -> None:
        self._blocks: Iterator[Block] = blocks(path, report)
        self._next = next(self._blocks, None)
        self._used: set[int] = set()
        """The rows of the next block that were handed out, as a part of a cut."""

    def until(self, end: int) -> Iterator[list[JournalRow]]:
        """The rows of all chunks up to the source offset `end`, without those handed out."""
        while self._next is not None and self._next.end <= end:
            used, rows = self._used, self._next.rows
            yield [row for at, row in enumerate(rows) if at not in used] if used else rows
            self._used = set()
            self._next = next(self._blocks, None)

    def of_cut(self, cut: Cut) -> list[JournalRow]:
        """The rows of the next chunk, a transaction, that belong to the part that is included."""
        block = self._next
        if block is None or (block.start, block.end) != (cut.start, cut.end):
            return []  # nothing of this transaction follows from the log
        new = [at for at in cut.chosen(block.rows) if at not in self._used]
        self._used.update(new)
        return [block.rows[at] for at in new]


def fold_journal(work: Work, name: str, partition: int, report: Report) -> list[TableResult]:
    """Fold the rows for a lane of the stage `name`, and compare its tables."""
    stage = work.stage(name)
    sources = sources_of(work, stage.spec.source, partition, report)
    store, live = (
        RowStore(work.directory / f"{name}-{partition}"),
        RowStore(work.live_path(name, partition)),
    )
    fold = _RowFold(work, name, store)
    results = []
    try:
        for stop in work.known_plan().stops[f"{name}-{partition}"]:
            for rows in chain.from_iterable(
                included(stop, source, found) for source, found in sources.items()
            ):
                fold.add(rows)
            fold.end()
            results += [
                compare(table, partition, live, store, report, adds_up=work.adds_up)
                for table in stop.tables
            ]
    finally:
        store.close()
        live.close()
    return results


def sources_of(work: Work, journal: str, partition: int, report: Report) -> dict[str, SourceRows]:
    """The replayed rows of a journal's partition, by source partition."""
    return {
        work.source(feeder, number): SourceRows(
            rows_path(work.directory, f"{feeder}-{number}", journal, partition), report
        )
        for feeder in feeding(journal)
        for number in range(work.settings.partitions)
    }


def included(stop: Stop, source: str, found: SourceRows) -> Iterator[list[JournalRow]]:
    """The next rows of a source partition, up to those that the tables of a stop include."""
    yield from found.until(stop.vector.get(source, -1))
    if source in stop.cuts:
        yield found.of_cut(stop.cuts[source])


class _RowFold:
    """Folds rows, some thousand at a time; their order does not matter."""

    def __init__(self, work: Work, name: str, store: RowStore) -> None:
        self._stage = stage = work.stage(name)
        self._store = store
        self._place = f"replayed {stage.spec.source}"
        self._views = {table.name: store.view(table.name) for table in stage.spec.tables}
        self._rows: list[JournalRow] = []
        self._progress = Progress()

    def add(self, rows: list[JournalRow]) -> None:
        """Add rows."""
        self._rows += rows
        if len(self._rows) >= CHUNK_ROWS:
            self.end()

    def end(self) -> None:
        """Fold what was added."""
        read, first = self._stage.read, self._progress.offset + 1
        readings = [
            (offset, read(_Row(*row)))  # type: ignore[arg-type]  # journals read these two
            for offset, row in enumerate(self._rows, first)
        ]
        outcome = self._stage.fold(self._place, readings, self._views, self._progress)
        self._store.write(outcome.writes)
        self._progress = Progress(offset=outcome.progress.offset)
        self._rows.clear()
