"""The tables as their changelogs have them, each at its last mark.

Rows are taken over at marks alone, so that a table's partition is never between two transactions.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from operations.replaying.plan import TableMark, from_mark
from operations.replaying.row_store import RowStore
from schemas.errors import NetsoldError
from streams import topics
from streams.marks import MARK_KEY, decode_mark
from tables.catalogue import PRODUCT_SALES_TOPIC, SHOP_SALES_TOPIC, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from operations.replaying.work import Report, Work
    from schemas.envelope import Record
    from streams.log import At
    from streams.marks import Mark
    from streams.settings import Settings


class NoTables(NetsoldError):
    """There are no tables to compare with."""

    exit_code = 5


class WrongMark(NetsoldError):
    """A changelog has a mark that no worker wrote, so what its rows include is not known."""

    exit_code = 5


async def require_tables(settings: Settings) -> None:
    """Raises NoTables where a table's changelog, or its public topic, is missing.

    And KafkaUnreachable.
    """
    ids = await topics.topic_ids(settings)
    for table in TABLES:
        if (topic := topics.changelog(settings, table.name)) not in ids:
            raise NoTables(f"topic {topic} is missing: no worker has made the tables yet")
    for name in (PRODUCT_SALES_TOPIC, SHOP_SALES_TOPIC):
        if (topic := settings.topic(name)) not in ids:
            raise NoTables(f"topic {topic} is missing: create it by `netsold topics create`")


class _Loaded(msgspec.Struct):
    """How far the changelogs are taken over: the position behind the last mark, and that mark."""

    positions: dict[str, int]
    marks: dict[str, TableMark]


async def load(work: Work, name: str, partition: int, report: Report) -> list[TableMark]:
    """Take over the rows of a partition of the tables of the stage `name`; the marks they are at.

    Raises NoTables where a changelog has no mark, and WrongMark.
    """
    names = {
        topics.changelog(work.settings, table.name): table.name
        for table in TABLES
        if table.stage == name
    }
    store = RowStore(work.live_path(name, partition))
    try:
        loading = _Loading(store, partition, names)
        # A record that a newer one has replaced may be compacted away, so the end is fixed only
        # when all before it was read: the second span is short.
        for _ in range(2):
            beginnings, ends = await work.log.bounds(names)
            starts = {
                (topic, partition): max(beginnings[topic, partition], loading.read_to.get(topic, 0))
                for topic in names
            }
            async with aclosing(work.log.spans(starts, ends)) as steps:
                async for step in steps:
                    before = dict(loading.read_to)
                    await asyncio.to_thread(loading.add, step.records, step.positions)
                    report(
                        sum(
                            position - max(before.get(at[0], 0), starts[at])
                            for at, position in step.positions.items()
                        )
                    )
        return loading.complete()
    finally:
        store.close()


def positions_of(store: RowStore) -> dict[str, int]:
    """By changelog: the offset behind the last mark that was taken over."""
    found = store.progress
    return {} if found is None else msgspec.json.decode(found, type=_Loaded).positions


class _Loading:
    """Takes over the changelogs of one partition of all tables; continues where a store is."""

    def __init__(self, store: RowStore, partition: int, names: Mapping[str, str]) -> None:
        self._store, self._partition, self._names = store, partition, names
        found = store.progress
        self._loaded = (
            _Loaded({}, {}) if found is None else msgspec.json.decode(found, type=_Loaded)
        )
        self.read_to = dict(self._loaded.positions)
        """The next offset of each changelog; rows behind its last mark were only read."""

        self._unmarked: dict[str, list[Record]] = {topic: [] for topic in names}

    def add(self, records: Mapping[At, Iterable[Record]], positions: Mapping[At, int]) -> None:
        """Add the next records of some changelogs, up to each one's last mark. Raises WrongMark."""
        writes: dict[str, dict[bytes, bytes | None]] = {}
        for (topic, _), found in records.items():
            rows = writes.setdefault(self._names[topic], {})
            unmarked = self._unmarked[topic]
            for record in found:
                if record.key != MARK_KEY:
                    unmarked.append(record)
                    continue
                for one in unmarked:
                    rows[one.key or b""] = one.value
                unmarked.clear()
                mark = _mark(f"{topic}-{self._partition}", record)
                table = self._names[topic]
                self._loaded.marks[topic] = from_mark(table, self._partition, mark)
                self._loaded.positions[topic] = record.offset + 1
        self.read_to |= {topic: position for (topic, _), position in positions.items()}
        self._store.write(writes, msgspec.json.encode(self._loaded))

    def complete(self) -> list[TableMark]:
        """The marks. Raises NoTables."""
        missing = sorted(self._names.keys() - self._loaded.marks.keys())
        if missing:
            raise NoTables(
                f"{missing[0]}-{self._partition} has no mark: no worker has made this table yet; "
                "start `netsold worker`"
            )
        return [self._loaded.marks[topic] for topic in self._names]


def _mark(log: str, record: Record) -> Mark:
    try:
        return decode_mark(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WrongMark(
            f"{log}@{record.offset} is no mark of a worker ({error}): find out"
            " who writes to this topic, and make the tables anew by `netsold rebuild`"
        ) from error
