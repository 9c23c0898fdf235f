"""A replay without Kafka: the logs and changelogs of a pipeline in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operations.replaying.row_keys import UNREADABLE
from operations.replaying.running import replay
from operations.replaying.source_log import SpanStep
from operations.replaying.work import Work
from schemas import journal
from streams import topics
from streams.cut_transactions import CutTransaction
from tables import catalogue
from tests.flow import PARTITIONS, Record
from tests.reading import Changelogs, settings_in

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
    from pathlib import Path
    from random import Random

    from operations.replaying.differences import RowDifference, TableResult
    from operations.replaying.tasks import LaneResult
    from streams.log import At
    from streams.settings import Settings


def settings_of(directory: Path) -> Settings:
    """Settings under which a worker would refuse no record of a pipeline in memory."""
    changes = {"partitioner": "crc32", "max_ahead_seconds": 0}
    return settings_in(directory).model_copy(update=changes)


class AllChangelogs(Changelogs):
    """A pipeline in memory that keeps the changelogs of all tables.

    With `chance` each lane makes only some steps of what there is to do, at random.
    """

    def __init__(
        self,
        settings: Settings,
        chunk: Callable[[], int] = lambda: 4000,
        chance: Random | None = None,
    ) -> None:
        super().__init__(settings, chunk)
        self._chance = chance
        self.settings = settings
        for table in catalogue.TABLES:
            self.topics[table.name] = topics.changelog(settings, table.name)
            for partition in range(PARTITIONS):
                self.changelogs.setdefault((self.topics[table.name], partition), [])

    def begin(self) -> AllChangelogs:
        """Every lane's first transaction, before any record."""
        chance, self._chance = self._chance, None
        for topic in {spec.source for spec in catalogue.STAGES}:
            for partition in range(PARTITIONS):
                self.logs.setdefault((topic, partition), [])
        self.run()
        self._chance = chance
        return self

    def _step(self, stage: Any, at: tuple[str, int]) -> bool:  # noqa: ANN401 - any stage
        if self._chance is not None and self._chance.random() < 0.3:
            return False
        return super()._step(stage, at)


class ReplayedLogs:
    """The logs of a pipeline in memory, as a replay reads them."""

    def __init__(self, flow: AllChangelogs, most: int = 1000) -> None:
        self._flow = flow
        self._most = most

    def _records(self, at: At) -> list[Record]:
        return self._flow.logs.get(at) or self._flow.changelogs.get(at, [])

    async def bounds(self, names: Iterable[str]) -> tuple[dict[At, int], dict[At, int]]:
        """Logs begin at 0."""
        ats = [(name, partition) for name in names for partition in range(PARTITIONS)]
        return dict.fromkeys(ats, 0), {at: len(self._records(at)) for at in ats}

    async def spans(
        self, starts: Mapping[At, int], ends: Mapping[At, int]
    ) -> AsyncGenerator[SpanStep, None]:
        """Some records at a time."""
        positions = dict(starts)
        while any(positions[at] < ends[at] for at in positions):
            after = {at: min(position + self._most, ends[at]) for at, position in positions.items()}
            yield SpanStep(
                {at: self._records(at)[positions[at] : after[at]] for at in positions}, after
            )
            positions = after

    async def cuts(self, at: At, offset: int) -> list[CutTransaction]:
        """In memory the rows of a transaction stand together, with its mark behind them."""
        rows: list[tuple[bytes, bytes]] = []
        included = 0
        for record in self._records(at):
            try:
                row = journal.decode(record.value or b"")
            except UNREADABLE:
                continue
            if not isinstance(row, journal.ProgressMark):
                rows.append((record.key or b"", record.value or b""))
                included += record.offset <= offset
                continue
            if record.offset > offset:
                source = f"{row.topic}-{row.partition}"
                return [CutTransaction(source, row.offset, rows, included)] if included else []
            rows, included = [], 0
        return []


async def replayed(
    flow: AllChangelogs,
    directory: Path,
    settings: Settings | None = None,
    most: int = 1000,
    ends: Mapping[str, int] | None = None,
    *,
    stores: bool = False,
) -> dict[str, LaneResult]:
    """The results of a replay of a pipeline, by task; with other settings, if they are given.

    It reads `most` records of a partition at a time, of orders up to `ends`. `stores`: those in the
    data directory are compared, too.
    """
    work = Work(
        settings or flow.settings,
        directory,
        ReplayedLogs(flow, most),
        compares_journal=settings is None and ends is None,
        compares_stores=stores,
        adds_up=True,
        ends=ends,
    )
    _, results = await replay(work, 1, lambda _what, _total: lambda _done: None)
    return results


def tables_of(results: Mapping[str, LaneResult]) -> list[TableResult]:
    """The comparisons of all tables' partitions."""
    return [table for result in results.values() for table in result.tables]


def differences_of(results: Mapping[str, LaneResult]) -> list[RowDifference]:
    """All differing rows that are shown."""
    return [row for table in tables_of(results) for row in table.shown]
