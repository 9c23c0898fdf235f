"""Folds the replayed rows of a journal's partition; compares the tables at each of their marks."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from operations.replaying.differences import compare
from operations.replaying.plan import feeding
from operations.replaying.row_files import blocks, rows_path
from operations.replaying.row_fold import RowFold
from operations.replaying.row_store import RowStore, anew
from operations.replaying.shares import shares_of
from tables.catalogue import MARKETPLACE_SHARES, PRODUCT_CYCLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from operations.replaying.differences import TableResult
    from operations.replaying.plan import Cut, Stop
    from operations.replaying.row_files import Block, JournalRow
    from operations.replaying.row_fold import ImpossibleResult
    from operations.replaying.work import Report, Work


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


def fold_journal(
    work: Work, name: str, partition: int, report: Report
) -> tuple[list[TableResult], ImpossibleResult]:
    """Fold the rows for a lane of the stage `name`, and compare its tables."""
    stage = work.stage(name)
    sources = sources_of(work, stage.spec.source, partition, report)
    store, live = (
        RowStore(anew(work.directory / f"{name}-{partition}")),
        RowStore(work.live_path(name, partition)),
    )
    fold = RowFold(work, name, store)
    results = []
    try:
        for stop in work.known_plan().stops[f"{name}-{partition}"]:
            for rows in chain.from_iterable(
                included(stop, source, found) for source, found in sources.items()
            ):
                fold.add(rows)
            fold.end()
            if MARKETPLACE_SHARES.name in stop.tables:
                shares = shares_of(store.rows(PRODUCT_CYCLES.name), stop.ends)
                store.write({MARKETPLACE_SHARES.name: shares})
            results += [
                compare(table, partition, live, store, report, adds_up=work.adds_up)
                for table in stop.tables
            ]
    finally:
        store.close()
        live.close()
    return results, fold.impossible


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
