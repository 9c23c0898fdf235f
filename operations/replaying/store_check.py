"""Compares the local stores of workers and of the reader with the changelogs, row by row.

A running process has newer rows in memory than in its files. So rows that were written between the
position of the files and that of the changelogs are left out, and counted.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import ExitStack, aclosing, asynccontextmanager
from tempfile import gettempdir
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from operations.replaying.differences import Compared, differing
from operations.replaying.live_tables import positions_of
from operations.replaying.row_store import RowStore
from streams.local_stores import (
    opened,
    reader_app,
    reader_position,
    reader_store,
    stored_rows,
    worker_position,
    worker_stores,
)
from streams.rocks import is_damage
from streams.topics import changelog
from tables.catalogue import READER_TABLES, TABLES
from tables.reader_rows import space, stored_key, table_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping
    from pathlib import Path

    from rocksdict import Rdict

    from operations.replaying.work import Report, Work
    from streams.local_stores import WorkerStore
    from streams.log import At
    from tables.catalogue import Table
    from tables.outcome import Stored


_LINKS: Final = re.compile(re.escape(f"{gettempdir()}/netsold-") + r"[^/\s]+/")
"""Where `streams/local_stores.py` opens a store's files."""


class _AheadError(Exception):
    """A store has read more of a changelog than there is."""


_OF_CONTENT: Final = (msgspec.DecodeError, ValueError, _AheadError)
"""Errors of what a store's files contain."""


class StoreResult(Compared):
    """The comparison of a table in a store of a worker or reader with the changelogs.

    `left_out` counts the keys that were written meanwhile. `unreadable` is why the files can't be
    read; `damaged`: they never can. In `shown`, `live` is the changelog's row and `replayed` the
    store's.
    """

    path: str
    table: str
    of: Literal["worker", "reader"] = "worker"
    left_out: int = 0
    unreadable: str | None = None
    damaged: bool = False

    def unread(self, why: str, *, damaged: bool) -> None:
        """Record why the files can't be read: of the store, not of the links that were opened."""
        self.unreadable = _LINKS.sub(lambda _: f"{self.path}/", why)
        self.damaged = damaged

    def fails(self, error: Exception) -> None:
        """Record the error of a reading."""
        self.unread(str(error), damaged=isinstance(error, _OF_CONTENT) or is_damage(error))

    def compare(
        self, partition: int, key: bytes, changelog_row: bytes | None, stored: bytes | None
    ) -> None:
        """Compare a row."""
        self.rows += 1
        if changelog_row != stored:
            self.differs(self.table, partition, key, changelog_row, stored)


class _LiveTables:
    """The tables of one stage as their changelogs have them, and where these begin."""

    def __init__(self, work: Work, stage: str, beginnings: Mapping[At, int]) -> None:
        self.work, self.beginnings = work, beginnings
        self._stage = stage
        self._stores: dict[int, RowStore] = {}

    def of(self, partition: int) -> RowStore:
        """The store with the rows of a partition of the stage's tables."""
        if partition not in self._stores:
            self._stores[partition] = RowStore(self.work.live_path(self._stage, partition))
        return self._stores[partition]

    def close(self) -> None:
        """Release all files."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()


@asynccontextmanager
async def _live_tables(work: Work, stage: str) -> AsyncIterator[_LiveTables]:
    names = [changelog(work.settings, table.name) for table in TABLES if table.stage == stage]
    beginnings, _ = await work.log.bounds(names)
    live = _LiveTables(work, stage, beginnings)
    try:
        yield live
    finally:
        live.close()


async def check_workers(
    work: Work, stage: str, partition: int, report: Report
) -> list[StoreResult]:
    """Compare the stores of workers in the data directory: a partition of a stage's tables."""
    of = {(table.name, partition) for table in TABLES if table.stage == stage}
    results = []
    async with _live_tables(work, stage) as live:
        for store in worker_stores(work.settings, of):
            result = StoreResult(str(store.path), store.table)
            if store.failed is not None:
                result.unread(store.failed, damaged=store.damaged)
            results.append(result)
            if store.position is not None:
                await _check_worker(live, store, result, report)
    return results


async def _check_worker(
    live: _LiveTables, store: WorkerStore, result: StoreResult, report: Report
) -> None:
    with ExitStack() as stack:
        try:
            db = stack.enter_context(opened(store.path))
            position = worker_position(db)  # of these files: those of a running worker change
        except Exception as error:  # noqa: BLE001 - rocksdict has no exception types of its own
            result.fails(error)
            return
        try:
            written = await _written_between(live, store.table, store.partition, position, report)
        except _AheadError as error:
            result.fails(error)
            return
        result.left_out = len(written)
        rows = live.of(store.partition).rows(store.table)
        await asyncio.to_thread(_compare, rows, db, store.partition, result, written)


def _compare(
    rows: Iterable[tuple[bytes, bytes]],
    db: Rdict,
    partition: int,
    result: StoreResult,
    written: Collection[bytes],
) -> None:
    try:
        for key, ours, stored in differing(rows, stored_rows(db)):
            if key not in written:
                result.compare(partition, key, ours, stored)
    except Exception as error:  # noqa: BLE001 - rocksdict has no exception types of its own
        result.fails(error)


async def check_reader(work: Work, stage: str, report: Report) -> list[StoreResult]:
    """Compare the store of the reader in the data directory: all partitions of a stage's tables."""
    tables = [table for table in READER_TABLES if table.stage == stage]
    path = reader_store(work.settings)
    if path is None or not tables:
        return []
    async with _live_tables(work, stage) as live:
        return await _check_reader(live, path, tables, report)


async def _check_reader(
    live: _LiveTables, path: Path, tables: Iterable[Table], report: Report
) -> list[StoreResult]:
    work = live.work
    results = {table: StoreResult(str(path), table.name, of="reader") for table in tables}
    numbers = range(work.settings.partitions)
    with ExitStack() as stack:
        try:
            db = stack.enter_context(opened(path))
            if reader_app(db) != work.settings.app:
                return []
            for table, result in results.items():
                written: set[bytes] = set()
                for number in numbers:
                    topic = changelog(work.settings, table.name)
                    position = reader_position(db, topic, number)
                    written |= await _written_between(
                        live, table.name, number, position or 0, report
                    )
                await asyncio.to_thread(_check_reader_table, live, db, table, result, written)
        except Exception as error:
            if not isinstance(error, _OF_CONTENT) and "Corruption" not in str(error):
                raise
            for result in results.values():
                result.fails(error)
    return list(results.values())


def _check_reader_table(
    live: _LiveTables, db: Rdict, table: Table, result: StoreResult, written: Collection[bytes]
) -> None:
    """First each row of the changelogs, then whether the store has more."""
    result.left_out = len(written)
    stores = {number: live.of(number) for number in range(live.work.settings.partitions)}
    views: dict[int, Stored] = {number: one.view(table.name) for number, one in stores.items()}
    for number, store in stores.items():
        for key, row in store.rows(table.name):
            if key in written:
                continue
            try:
                at = stored_key(table, key)
            except (ValueError, OverflowError):
                continue  # no reader can keep it; it is listed as a difference of its table
            result.compare(number, key, row, db.get(at))
    for stored, row in stored_rows(db, space(table)):
        key = table_key(table, stored)
        if key not in written and all(view[key] is None for view in views.values()):
            result.compare(0, key, None, row)


async def _written_between(
    live: _LiveTables, table: str, partition: int, position: int, report: Report
) -> set[bytes]:
    """The keys written between a position and that of the changelogs that were compared.

    Raises _AheadError where the position never comes.
    """
    at = (changelog(live.work.settings, table), partition)
    _, ends = await live.work.log.bounds([at[0]])
    if position > ends[at]:
        raise _AheadError(
            f"it has {at[0]}-{partition} up to offset {position}, and that ends before {ends[at]}"
        )
    ours = positions_of(live.of(partition))[at[0]]
    first, end = max(min(ours, position), live.beginnings[at]), max(ours, position)
    keys: set[bytes] = set()
    async with aclosing(live.work.log.spans({at: first}, {at: end})) as steps:
        async for step in steps:
            records = step.records.get(at, [])
            keys.update(record.key or b"" for record in records)
            report(len(records))
    return keys
