"""Opening of lanes: at every assignment, and after every transaction with an unknown outcome.

The order of the phases is the only safe one:

    INIT       new producers of the same transactional ids: they fence older owners, and commit or
               abort the transactions that those left open
    COMMITTED  the group's committed source offsets, and the ends of all logs, read after INIT
    RESTORE    the local stores, up to their changelogs' high watermarks; committed records only
    CHECK      every table's mark m must satisfy m + 1 = committed offset, or nothing exists yet;
               else the worker stops with both numbers. A new group begins with one lane
               (`first_lane`)

A worker that lost its partitions and still gets as far as INIT fences the rightful owner, but it
cannot pass CHECK with stale state.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import TopicPartition

from schemas.positions import offset_after
from streams.admission import of_events
from streams.errors import StateUnfit
from streams.failpoints import Point, reach
from streams.first_lane import begun, first_source
from streams.lanes import Lane
from streams.marks import decode_mark
from streams.restore import StoreFolder, restore
from streams.standstill import Standstill
from streams.stores import Identity, PartitionStore, StoreDamaged
from streams.topics import changelog
from streams.transactions import begin
from streams.unfit import refuse_added_partitions, refuse_others_state, why_unfit
from tables.catalogue import STAGES, TABLES
from tables.watermarks import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from pathlib import Path

    from schemas.envelope import Record
    from streams.cluster import Bounds, Cluster
    from streams.lanes import Stage
    from streams.marks import Mark
    from streams.producers import StrictProducer
    from streams.settings import Settings

log = structlog.get_logger()

OFFSETS_SECONDS: Final = 10.0
"""Committed offsets that stay behind the marks for longer than this count as lost."""

RETRY_SECONDS: Final = 0.5
"""Between two requests for committed offsets that are behind the marks."""

INIT_SECONDS: Final = 1.0
"""Between two checks of INIT for a standstill, and how long it waits for the other producers when
one fails."""

KEPT_WAITING: Final = (
    "the broker doesn't let these transactional ids begin, waiting "
    "(docs/runbook.md, Transactional ids kept waiting)"
)


class Phase(Enum):
    """The phases of an opening, in order; each value completes the sentence "waiting for …".

    An opening may take minutes, so its worker logs the phase at intervals, and with every failure.
    """

    INIT = "the transaction coordinator to let this worker's transactional ids begin"
    COMMITTED = "the group's committed offsets, and the ends of all logs"
    RESTORE = "the changelogs to be read up to their ends"
    CHECK = "the group's committed offsets to come up to the state's marks, or a first transaction"


@dataclass(slots=True)
class _Opening:
    """One lane while it is being opened."""

    stage: Stage
    source: TopicPartition
    transactional_id: str
    producer: StrictProducer
    stores: dict[str, PartitionStore] = field(default_factory=dict)
    committed: int | None = None
    beginning: int = 0
    end: int = 0

    @property
    def marks(self) -> dict[str, Mark | None]:
        """The mark of each table, None in an empty store."""
        return {
            table: None if store.mark is None else decode_mark(store.mark)
            for table, store in self.stores.items()
        }

    @property
    def is_new(self) -> bool:
        """Whether nothing of it was ever committed."""
        return self.committed is None and not any(self.marks.values())

    @property
    def is_behind(self) -> bool:
        """Whether the committed offset lies before all of the tables' marks, or is missing."""
        return all(
            mark is not None
            and (self.committed is None or offset_after(mark.offset) > self.committed)
            for mark in self.marks.values()
        )

    async def abandon(self) -> None:
        """Close producer and stores."""
        await self.producer.abandon()
        for store in self.stores.values():
            store.close()


class Opener:
    """Opens lanes for one worker; knows its cluster, the topics' ids and the folder of its stores.

    For one opening at a time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a worker's surroundings
        self,
        settings: Settings,
        stages: Iterable[Stage],
        state_dir: Path,
        cluster: str,
        topic_ids: Mapping[str, str],
        kafka: Cluster,
        open_store: Callable[[Path, Identity], PartitionStore] = PartitionStore,
    ) -> None:
        self.settings = settings
        self.kafka = kafka
        self.by_topic = {settings.topic(stage.spec.source): stage for stage in stages}
        self.topic_ids = topic_ids
        self.phase = Phase.INIT
        self._folder = StoreFolder(settings, state_dir, cluster, topic_ids, open_store)
        self._readings: dict[TopicPartition, Callable[[Record], Any]] = {}

    async def open(self, sources: Iterable[TopicPartition]) -> list[Lane]:
        """The lanes of some source partitions, restored and checked; all of them or none.

        Partitions of other topics are skipped. Raises StateUnfit or StoreUnopened, or errors after
        which another try may succeed: KafkaError, KafkaUnreachable, StoreDamaged (that store is
        wiped).
        """
        began, self.phase = asyncio.get_running_loop().time(), Phase.INIT
        ours = [source for source in sources if source.topic in self.by_topic]
        refuse_added_partitions(self.settings, ours)
        openings = [self._opening(source) for source in ours]
        try:
            await _init(openings)
            reach(Point.IN_INIT)
            self.phase = Phase.COMMITTED
            beginnings, ends = await self._read_offsets(openings)
            self.phase = Phase.RESTORE
            stores = _opened_stores(self._folder, openings)
            restored = await restore(self.kafka, stores, beginnings, ends)
            self.phase = Phase.CHECK
            await self._await_offsets(openings)
            lanes = await self._lanes(openings)
        except BaseException as error:
            log.info("lanes not opened", phase=self.phase.name.lower(), error=repr(error))
            try:
                if isinstance(error, StoreDamaged):
                    error.wipe_store()
            finally:
                await asyncio.gather(*(opening.abandon() for opening in openings))
            raise
        log.info(
            "lanes open",
            lanes=len(lanes),
            restored_records=restored,
            seconds=round(asyncio.get_running_loop().time() - began, 2),
        )
        return lanes

    def reading(self, tp: TopicPartition) -> Callable[[Record], Any]:
        """The decoder of a source partition's records.

        It refuses events that do not belong in that partition.
        """
        if tp not in self._readings:
            stage = self.by_topic[tp.topic]
            read = (
                of_events(stage.read, stage.spec.source, tp.partition, self.settings)
                if stage.spec.sends
                else stage.read
            )
            self._readings[tp] = read
        return self._readings[tp]

    def waits_for(self) -> str:
        """What the opening under way waits for."""
        return self.phase.value

    def _opening(self, source: TopicPartition) -> _Opening:
        stage = self.by_topic[source.topic]
        transactional_id = f"{self.settings.app}-{stage.spec.name}-{source.partition}"
        return _Opening(stage, source, transactional_id, self.kafka.producer(transactional_id))

    async def _read_offsets(self, openings: list[_Opening]) -> tuple[Bounds, Bounds]:
        """Read the group's committed offset of each source, and where all logs begin and end.

        The ends are read first: what our own workers wrote before is committed by then.
        """
        beginnings, ends = await self.kafka.bounds(_all_topics(self.settings))
        committed = await self.kafka.committed(opening.source for opening in openings)
        for opening in openings:
            source = opening.source
            opening.committed = committed[source]
            opening.beginning, opening.end = beginnings[source], ends[source]
        writing = [stage.spec for stage in self.by_topic.values() if stage.spec.sends]
        await refuse_others_state(self.settings, self.kafka, writing, committed, ends)
        return beginnings, ends

    async def _await_offsets(self, openings: list[_Opening]) -> None:
        """Read committed offsets again while they are behind the marks.

        Both belong to one transaction, which INIT has settled. But a group coordinator that has
        just come back may still have to apply its part, and until then answers with the offset
        before, or with none. The check refuses what stays behind.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + OFFSETS_SECONDS
        while loop.time() < deadline:
            late = [opening for opening in openings if opening.is_behind]
            if not late:
                return
            log.info("committed offsets are behind the marks, reading them again", lanes=len(late))
            await asyncio.sleep(RETRY_SECONDS)
            committed = await self.kafka.committed(opening.source for opening in late)
            for opening in late:
                opening.committed = committed[opening.source]

    async def _lanes(self, openings: list[_Opening]) -> list[Lane]:
        """The lanes of all openings; those of a new group behind its first one."""
        first = first_source(self.settings)
        leading = [opening for opening in openings if opening.source == first]
        others = [opening for opening in openings if opening.source != first]
        lanes = await _all(self._checked(opening) for opening in leading)
        if not leading and any(opening.is_new for opening in others):
            await begun(self.settings, self.kafka)
        return lanes + await _all(self._checked(opening) for opening in others)

    async def _checked(self, opening: _Opening) -> Lane:
        """The lane of an opening, if its state and its source belong together."""
        topic, partition = opening.source
        lane = Lane(
            opening.stage,
            topic,
            self.topic_ids[topic],
            partition,
            opening.producer,
            opening.stores,
            Progress(offset=opening.beginning - 1),
            opening.beginning,
            partitions=self.settings.partitions,
            partitioner=self.settings.partitioner_of(topic),
        )
        if opening.is_new:
            await begin(lane, self.settings)
        else:
            _resume(lane, opening, self.settings.app)
        return lane


def _resume(lane: Lane, opening: _Opening, app: str) -> None:
    """Set the lane's progress and position from the marks. Raises StateUnfit."""
    marks = opening.marks
    span = (opening.beginning, opening.end)
    why = why_unfit(lane, marks, opening.committed, span, app)
    if why is not None:
        raise StateUnfit(why)
    (mark, *_) = filter(None, marks.values())
    lane.resume(mark)


def _all_topics(settings: Settings) -> set[str]:
    """The names on the cluster of all topics that stages read and write."""
    names = {
        settings.topic(name)
        for stage in STAGES
        for name in (stage.source, *stage.sends, *stage.emits)
    }
    return names | {changelog(settings, table.name) for table in TABLES}


def _opened_stores(
    folder: StoreFolder, openings: list[_Opening]
) -> dict[TopicPartition, PartitionStore]:
    """Open the stores of all lanes; by changelog partition. Raises StoreUnopened."""
    found: dict[TopicPartition, PartitionStore] = {}
    for opening in openings:
        partition = opening.source.partition
        for table in opening.stage.spec.tables:
            store = opening.stores[table.name] = folder.open(table.name, partition)
            found[TopicPartition(changelog(folder.settings, table.name), partition)] = store
    return found


async def _init(openings: list[_Opening]) -> None:
    """Start all producers.

    When one fails, the other starts end before the error is raised: none runs on unnoticed.
    """
    starts = {
        asyncio.create_task(opening.producer.start()): opening.transactional_id
        for opening in openings
    }
    left, standstill = set(starts), Standstill(KEPT_WAITING, "transactional_ids")
    try:
        while left:
            done, left = await asyncio.wait(
                left, timeout=INIT_SECONDS, return_when=asyncio.FIRST_EXCEPTION
            )
            for start in done:
                start.result()
            standstill.watch(starts[start] for start in left)
    except Exception:
        if left:  # a request that the broker carries out late would fence the next try
            await asyncio.wait(left, timeout=INIT_SECONDS)
        raise
    finally:
        for start in left:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)


async def _all(checks: Iterable[Coroutine[Any, Any, Lane]]) -> list[Lane]:
    """The results of all checks, once all have ended. Raises the first failure.

    No check continues after another one's failure, on stores that are closed by then.
    """
    results = await asyncio.gather(*checks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, Lane)]
