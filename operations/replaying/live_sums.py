"""The sums of products as the live journal has them, of events before the end of a replay.

Tables are of now. The rows of `sales` name the event that caused them, so their sums are known at
any earlier vector. A row counts once the progress mark of its transaction was read.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing
from typing import TYPE_CHECKING

from operations.replaying.live_tables import NoTables
from operations.replaying.plan import TableMark, cause_of, id_of, mark_of
from operations.replaying.row_fold import ImpossibleResult, RowFold
from operations.replaying.row_store import RowStore, anew
from schemas.columns import RULES
from tables.catalogue import PRODUCT_STAGE, SALES_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterable

    from operations.replaying.row_files import JournalRow
    from operations.replaying.work import Report, Work
    from schemas.envelope import Record


async def load_sums(
    work: Work, partition: int, report: Report
) -> tuple[list[TableMark], ImpossibleResult]:
    """Fold the live rows of a partition of `sales`; what the tables of their sums include.

    Raises NoTables where the journal has no mark, and RowRefused.
    """
    at = (work.settings.topic(SALES_TOPIC), partition)
    store = RowStore(anew(work.live_path(PRODUCT_STAGE.name, partition)))
    try:
        loading = _Loading(work, store)
        beginnings, ends = await work.log.bounds([at[0]])
        async with aclosing(work.log.spans({at: beginnings[at]}, {at: ends[at]})) as steps:
            async for step in steps:
                records = step.records.get(at, [])
                await asyncio.to_thread(loading.add, records)
                report(len(records))
        await asyncio.to_thread(loading.fold.end)
    finally:
        store.close()
    if not loading.vector:
        raise NoTables(f"{at[0]}-{partition} has no progress mark: start `netsold worker`")
    terms = work.stage(PRODUCT_STAGE.name).terms
    marks = [
        TableMark(table.name, partition, loading.offset, loading.vector, terms, RULES, "")
        for table in PRODUCT_STAGE.tables
    ]
    return marks, loading.fold.impossible


class _Loading:
    """Folds the rows up to each transaction's mark; `vector` is what they include."""

    def __init__(self, work: Work, store: RowStore) -> None:
        self._ends = work.known_ends()
        self.fold = RowFold(work, PRODUCT_STAGE.name, store)
        self.offset = -1
        self.vector: dict[str, int] = {}
        self._unmarked: defaultdict[str, list[JournalRow]] = defaultdict(list)

    def add(self, records: Iterable[Record]) -> None:
        """Add the next records of the journal."""
        for record in records:
            value = record.value or b""
            if record.key is not None:
                source = id_of(value).rpartition("@")[0]
                if cause_of(value) < self._ends.get(source, 0):
                    self._unmarked[source].append((record.key, value))
                continue
            mark = mark_of(value)
            source = "" if mark is None else f"{mark.topic}-{mark.partition}"
            if mark is not None and source in self._ends:
                self.fold.add(self._unmarked.pop(source, []))
                self.vector[source] = min(mark.offset, self._ends[source] - 1)
                self.offset = record.offset
