"""Compares the topics of rows, such as `product-sales`, with the tables: the last row of each key.

The changelogs were read up to their marks, the topics are read later. A row is published in the
transaction that changes its table, so the last one of a key that was not written since is the row
of the mark. Keys that were written since are left out, and counted.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from operations.replaying.differences import Compared, differing
from operations.replaying.live_tables import positions_of
from operations.replaying.row_keys import UNREADABLE
from operations.replaying.row_store import RowStore, anew
from schemas.published import COMPLETE_KEY, ProductSales, ShopSales
from streams.marks import MARK_KEY
from streams.topics import changelog
from tables import sales
from tables.catalogue import STAGES, split_cycle_key
from tables.publishing import Publisher
from tables.sales import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

    from operations.replaying.work import Report, Work
    from schemas.envelope import Record
    from tables.catalogue import Table
    from tables.publishing import Records

BATCH_ROWS: Final = 10_000
"""So many rows of a table are made and written at once."""

_decode: Final = msgspec.json.Decoder(ProductSales | ShopSales).decode


class TopicResult(Compared):
    """The comparison of a partition of a topic of rows, which is named without prefix.

    `left_out` counts the rows that were written meanwhile, or can't be read in the table. In
    `shown`, `live` is the topic's row and `replayed` the table's.
    """

    topic: str
    partition: int
    left_out: int = 0


async def check_published(work: Work, name: str, partition: int, report: Report) -> TopicResult:
    """Compare a partition of the topic of rows that the stage `name` publishes."""
    check = _Check(work, name, partition)
    try:
        return await check.result(report)
    finally:
        check.close()


class _Check:
    """One comparison: the topic's rows and those that the tables make, in two stores."""

    def __init__(self, work: Work, name: str, partition: int) -> None:
        spec = next(one for one in STAGES if one.name == name)
        self._work, self._partition = work, partition
        self._publisher = Publisher(spec, work.settings.terms.calendar, work.settings.partitions)
        self._tables = [table for table in spec.tables if table.form == "sales"]
        self._space = self._tables[0].name
        """Where both stores keep the rows of all tables, by the keys of the topic."""

        self._live = RowStore(work.live_path(name, partition))
        lane = f"{name}-{partition}"
        self._published = RowStore(anew(work.directory / f"published-{lane}"))
        self._expected = RowStore(anew(work.directory / f"expected-{lane}"))

    def close(self) -> None:
        """Release all files."""
        for store in (self._live, self._published, self._expected):
            store.close()

    async def result(self, report: Report) -> TopicResult:
        """Read and compare."""
        result = TopicResult(self._publisher.topic, self._partition)
        topic = self._work.settings.topic(self._publisher.topic)
        async with aclosing(self._records(topic, 0, report)) as parts:
            async for records in parts:
                rows = {one.key or b"": one.value for one in records if one.key != COMPLETE_KEY}
                await asyncio.to_thread(self._published.write, {self._space: rows})
        left_out = await self._written(report)  # read later than the topic: it misses no key
        await asyncio.to_thread(self._expect, left_out)
        await asyncio.to_thread(self._compare, result, left_out)
        result.left_out = len(left_out)
        return result

    async def _records(
        self, topic: str, start: int, report: Report
    ) -> AsyncGenerator[Sequence[Record], None]:
        """The records of this partition of a topic, from an offset to its present end."""
        at, log = (topic, self._partition), self._work.log
        beginnings, ends = await log.bounds([topic])
        first = max(start, beginnings[at])
        async with aclosing(log.spans({at: first}, {at: ends[at]})) as steps:
            async for step in steps:
                records = step.records.get(at, [])
                yield records
                report(len(records))

    async def _written(self, report: Report) -> set[bytes]:
        """The topic's keys of the rows that were written since the marks."""
        starts, keys = positions_of(self._live), set()
        for table in self._tables:
            log = changelog(self._work.settings, table.name)
            async with aclosing(self._records(log, starts[log], report)) as parts:
                async for records in parts:
                    rows = {one.key or b"" for one in records if one.key != MARK_KEY}
                    keys |= {key for key, _ in self._rows(table, dict.fromkeys(rows, Tally()))}
        return keys

    def _rows(self, table: Table, tallies: Mapping[bytes, Tally]) -> Records:
        """Those of keys that a worker can have written: the others differ in their table."""
        made = ((key, tally) for key, tally in tallies.items() if self._is_made(table, key))
        return self._publisher.rows(table, made)

    def _is_made(self, table: Table, key: bytes) -> bool:
        try:
            if table.windowed:
                self._publisher.span(split_cycle_key(key)[1])
            key.decode()
        except (ValueError, OverflowError):
            return False
        return True

    def _expect(self, left_out: set[bytes]) -> None:
        """Make the topic's rows of the tables'. One that can't be read differs there already."""
        for table in self._tables:
            rows = self._live.rows(table.name)
            while some := dict(islice(rows, BATCH_ROWS)):
                tallies = {key: _tally(row) for key, row in some.items()}
                known = {key: tally for key, tally in tallies.items() if tally is not None}
                self._expected.write({self._space: dict(self._rows(table, known))})
                unread = dict.fromkeys(tallies.keys() - known.keys(), Tally())
                left_out |= {key for key, _ in self._rows(table, unread)}

    def _compare(self, result: TopicResult, left_out: Collection[bytes]) -> None:
        both = differing(self._published.rows(self._space), self._expected.rows(self._space))
        for key, published, expected in both:
            if key in left_out:
                continue
            result.rows += 1
            if published != expected and not _same(published, expected):
                result.differs(result.topic, result.partition, key, published, expected)


def _tally(row: bytes) -> Tally | None:
    try:
        return sales.decode(row)
    except UNREADABLE:
        return None


def _same(published: bytes | None, expected: bytes | None) -> bool:
    """Whether two rows have the same content: that of an older build may have another form."""
    if published is None or expected is None:
        return False
    try:
        return bool(_decode(published) == _decode(expected))
    except UNREADABLE:
        return False
