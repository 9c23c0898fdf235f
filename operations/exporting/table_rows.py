"""The tables as their changelogs have them: all tables of a lane at one mark.

A lane writes the mark of each transaction to all of its tables. So tables that were read up to
different marks are read on, until all are at the same one.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Final

from operations.exporting.forms import TABLE_DATASETS
from operations.exporting.manifest import LaneMark, OtherExport
from operations.exporting.scratch import scratch
from operations.exporting.threads import in_thread
from operations.replaying.live_tables import NoTables
from operations.replaying.row_store import RowStore
from schemas.columns import RULES
from schemas.errors import NetsoldError
from schemas.positions import offset_after
from streams import topics
from streams.marks import MARK_KEY, Mark, decode_mark
from tables.catalogue import ORDERS_TOPIC, PRODUCT_STAGE, SHOP_STAGE
from tables.terms import differing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from operations.replaying.source_log import ReplayLog
    from schemas.envelope import Record
    from streams.settings import Settings
    from tables.catalogue import StageSpec

    Report = Callable[[int], None]

WAIT_S: Final = 0.2
ATTEMPTS: Final = 50
"""How often tables are read on until they fit together, with a pause before each time."""


class LanesApart(NetsoldError):
    """The tables of products are behind those of shops, so no vector includes both."""

    exit_code = 5


class TableRows:
    """The rows of all tables of sales and service, in a store in `directory`.

    Each `read` reads on from the last one. After an error it is of no more use.
    """

    def __init__(self, settings: Settings, log: ReplayLog, directory: Path) -> None:
        self.settings, self._log = settings, log
        self.store = RowStore(directory / "rows")
        self._shops, self._products = (
            [_Lane(settings, log, self.store, spec, n) for n in range(settings.partitions)]
            for spec in (SHOP_STAGE, PRODUCT_STAGE)
        )

    async def read(self, report: Report) -> list[LaneMark]:
        """Take over what the changelogs have; the marks that the rows are at.

        The lanes of products include all events that those of shops include. Raises NoTables,
        LanesApart and OtherExport.
        """
        found = []
        for lane in self._shops:
            await lane.read(report)
            found.append(await _whole(self._log, lane, report))
        for lane in self._products:
            await lane.read(report)
            await _caught_up(self.settings, lane, found, report)
            found.append(lane.mark())
        return found

    def close(self) -> None:
        """Release the store."""
        self.store.close()


@contextmanager
def table_rows(settings: Settings, log: ReplayLog) -> Iterator[TableRows]:
    """Rows of tables in a directory of their own in the data directory, removed at the end."""
    with scratch(settings.data_dir, "export") as directory:
        rows = TableRows(settings, log, directory)
        try:
            yield rows
        finally:
            rows.close()


async def _whole(log: ReplayLog, lane: _Lane, report: Report) -> LaneMark:
    """A lane's mark at which it had read no transaction in part, if there soon is one."""
    for _ in range(ATTEMPTS):
        mark = lane.mark()
        cuts = await log.cuts((mark.topic, mark.partition), mark.offset)
        if not cuts:
            return mark
        await asyncio.sleep(WAIT_S)
        await lane.read(report)
    return lane.mark(in_part=True)


async def _caught_up(
    settings: Settings, lane: _Lane, shops: Iterable[LaneMark], report: Report
) -> None:
    """Read a lane of products on, until it includes the orders' events that lanes of shops do."""
    orders = settings.topic(ORDERS_TOPIC)
    needed = {
        source: max(shop.sources.get(source, -1) for shop in shops)
        for source in (f"{orders}-{number}" for number in range(settings.partitions))
    }
    for _ in range(ATTEMPTS):
        if not _behind(lane.mark(), needed):
            return
        await asyncio.sleep(WAIT_S)
        await lane.read(report)
    if behind := _behind(lane.mark(), needed):
        raise LanesApart(
            f"the tables of products are behind those of shops ({behind[0]}): is every worker"
            " running? See `netsold status`, and export again"
        )


def _behind(mark: LaneMark, needed: Mapping[str, int]) -> list[str]:
    """The source partitions of which a mark includes less than is needed."""
    return [source for source, offset in needed.items() if mark.sources.get(source, -1) < offset]


class _Lane:
    """Takes over the changelogs of one partition of a stage's tables."""

    def __init__(
        self, settings: Settings, log: ReplayLog, store: RowStore, spec: StageSpec, partition: int
    ) -> None:
        self._log, self._store, self._stage, self._partition = log, store, spec.name, partition
        self._terms = settings.terms.text
        self._changelogs = {
            topics.changelog(settings, one.table.name): _Changelog(one.table.name)
            for one in TABLE_DATASETS
            if one.table is not None and one.table.stage == spec.name
        }

    def mark(self, *, in_part: bool = False) -> LaneMark:
        """The mark that its tables are at."""
        mark = next(iter(self._changelogs.values())).known_mark()
        sources = {name: source.offset for name, source in mark.sources.items()}
        return LaneMark(
            self._stage,
            self._partition,
            mark.topic,
            mark.topic_id,
            mark.offset,
            mark.watermark_ms,
            sources,
            mark.build,
            in_part,
        )

    async def read(self, report: Report) -> None:
        """Read to the ends of the changelogs, and on to a common mark. Raises NoTables."""
        # A record that a newer one has replaced may be compacted away, so the end is fixed only
        # when all before it was read: the second span is short.
        for _ in range(2):
            await self._read(list(self._changelogs), None, report)
        for topic, one in self._changelogs.items():
            if one.mark is None:
                raise NoTables(
                    f"{topic}-{self._partition} has no mark: no worker has made this table yet; "
                    "start `netsold worker`"
                )
        while behind := self._behind():
            await self._read(*behind, report)
            await asyncio.sleep(WAIT_S / 10)
        self._refuse_other_terms()

    def _behind(self) -> tuple[list[str], int] | None:
        latest = max(one.known_mark().offset for one in self._changelogs.values())
        topics_behind = [
            topic for topic, one in self._changelogs.items() if one.known_mark().offset < latest
        ]
        return (topics_behind, latest) if topics_behind else None

    async def _read(self, names: list[str], until: int | None, report: Report) -> None:
        for topic in names:
            self._changelogs[topic].begin()
        beginnings, ends = await self._log.bounds(names)
        starts = {
            (topic, self._partition): max(
                beginnings[topic, self._partition], self._changelogs[topic].position
            )
            for topic in names
        }
        async with aclosing(self._log.spans(starts, ends)) as steps:
            async for step in steps:
                writes: dict[str, dict[bytes, bytes | None]] = {}
                for (topic, _), records in step.records.items():
                    changelog = self._changelogs[topic]
                    writes[changelog.table] = changelog.add(records, until)
                    report(len(records))
                    await in_thread(self._store.write, writes)

    def _refuse_other_terms(self) -> None:
        mark = next(iter(self._changelogs.values())).known_mark()
        if mark.rules != RULES or (mark.terms and self._terms not in mark.terms):
            before = mark.terms.partition("; keys by ")[0]
            lost, new = differing(f"rules {mark.rules}; {before}", f"rules {RULES}; {self._terms}")
            raise OtherExport(
                f"the tables were made by {', '.join(lost)}, here are {', '.join(new)}:"
                " use the rules file and the build of its workers"
            )


class _Changelog:
    """What was read of one partition of a changelog; `position` is behind the last mark."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.position = 0
        self.mark: Mark | None = None
        self._unmarked: dict[bytes, bytes | None] = {}

    def begin(self) -> None:
        """Forget the rows behind the last mark: they are read again."""
        self._unmarked.clear()

    def known_mark(self) -> Mark:
        """The mark, once there is one."""
        if self.mark is None:
            raise AssertionError("the changelog was read up to a mark")
        return self.mark

    def add(self, records: Iterable[Record], until: int | None) -> dict[bytes, bytes | None]:
        """The rows of the next records up to their last mark, or to the first one at `until`."""
        rows: dict[bytes, bytes | None] = {}
        for record in records:
            if until is not None and self.known_mark().offset >= until:
                break
            if record.key != MARK_KEY:
                self._unmarked[record.key or b""] = record.value
                continue
            rows |= self._unmarked
            self._unmarked.clear()
            self.mark = decode_mark(record.value or b"")
            self.position = offset_after(record.offset)
        return rows
