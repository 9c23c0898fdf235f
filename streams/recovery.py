"""Opening of lanes: at every assignment and after every doubt, in the order that alone is safe.

    INIT      new producer of the same transactional id: fences older owners, settles what they left
    open COMMITTED the group's committed source offset c, asked after INIT RESTORE   the local
    stores up to the changelogs' high watermark (taken after INIT), committed records only CHECK
    every table's mark m says m + 1 = c, or nothing exists yet; else a loud stop with both numbers

A zombie that gets as far as INIT fences the rightful owner, but it can't pass CHECK with stale
state.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import TopicPartition

from streams import groups
from streams.admission import of_events
from streams.failpoints import Point, reach
from streams.lanes import Lane
from streams.marks import decode_mark, progress_of
from streams.stores import Identity, PartitionStore, StoreDamaged
from streams.topics import changelog
from streams.transactions import begin
from streams.unfit import another_count, why_unfit
from tables.catalogue import STAGES, TABLES
from tables.watermarks import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from pathlib import Path

    from schemas.envelope import Record
    from streams.cluster import Cluster
    from streams.lanes import Stage
    from streams.marks import Mark
    from streams.producers import StrictProducer
    from streams.settings import Settings

log = structlog.get_logger()

OFFSETS_SECONDS: Final = 10.0
"""How long committed offsets may stay behind the marks before that is taken for a loss."""

STILL_SECONDS: Final = 10.0
"""How long INIT or a restore may stand still before that is said: INIT takes moments, and has
then settled all our transactions."""

LOOK_SECONDS: Final = 1.0
"""How often INIT is looked at while it waits, and how long it waits for the others when one
producer fails."""

KEPT_WAITING: Final = "the broker doesn't let these transactional ids begin, waiting (docs/runbook.md, Transactional ids kept waiting)"
HANGING: Final = "a transaction there has neither been committed nor aborted, waiting (docs/runbook.md, Hanging transaction)"


class Phase(StrEnum):
    """Where the opening of a lane is."""

    INIT = "init"
    COMMITTED = "committed"
    RESTORE = "restore"
    CHECK = "check"


WAITS: Final = {
    Phase.INIT: "the transaction coordinator to let this worker's transactional ids begin",
    Phase.COMMITTED: "the group's committed offsets, and the ends of all logs",
    Phase.RESTORE: "the changelogs to be read up to their ends",
    Phase.CHECK: "the group's committed offsets to come up to the state's marks, or a first transaction",
}


class StateUnfit(Exception):
    """State and source don't belong together; going on would count twice or lose.

    Says both numbers and the remedy.
    """


@dataclass(slots=True)
class _Opening:
    """One lane while it is being opened."""

    fold: Stage
    source: TopicPartition
    producer: StrictProducer
    stores: dict[str, PartitionStore] = field(default_factory=dict)
    committed: int | None = None
    beginning: int = 0
    end: int = 0

    async def abandon(self) -> None:
        await self.producer.abandon()
        for store in self.stores.values():
            store.close()


class _Standstill:
    """Says so, once a while, when what is waited for stays the same."""

    def __init__(self, message: str, what: str) -> None:
        self._message, self._what = message, what
        self._known: list[str] = []
        self._since = time.monotonic()

    def look(self, waiting: Iterable[str]) -> None:
        now, known = time.monotonic(), sorted(waiting)
        if known != self._known:
            self._known, self._since = known, now
        elif now - self._since > STILL_SECONDS:
            self._since = now
            log.warning(self._message, **{self._what: known})


class Opener:
    """Opens lanes for one worker: knows the cluster, the topics' ids and where stores lie."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a worker knows of where it runs
        self,
        settings: Settings,
        folds: Iterable[Stage],
        state_dir: Path,
        cluster: str,
        topic_ids: Mapping[str, str],
        kafka: Cluster,
        open_store: Callable[[Path, Identity], PartitionStore] = PartitionStore,
    ) -> None:
        self.settings = settings
        self.kafka = kafka
        self._open_store = open_store
        self.by_topic = {settings.topic(fold.spec.source): fold for fold in folds}
        self.state_dir = state_dir
        self.cluster = cluster
        self.topic_ids = topic_ids
        self._readings: dict[TopicPartition, Callable[[Record], Any]] = {}
        self.phase = Phase.INIT
        self._beginnings: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    async def open(self, sources: Iterable[TopicPartition]) -> list[Lane]:
        """The lanes of some source partitions, restored and checked; other topics are passed over.

        All or none. Raises StateUnfit or StoreUnopened, or what is worth another try: KafkaError,
        KafkaUnreachable, StoreDamaged (that store is wiped).
        """
        began, self.phase = time.monotonic(), Phase.INIT
        ours = [
            (fold, source)
            for source in sources
            if (fold := self.by_topic.get(source.topic)) is not None
        ]
        self._refuse_new_partitions(source for _, source in ours)
        openings = [
            _Opening(fold, source, self.kafka.producer(self._transactional_id(fold, source)))
            for fold, source in ours
        ]
        try:
            await self._init(openings)
            reach(Point.IN_INIT)
            self.phase = Phase.COMMITTED
            await self._ask_offsets(openings)
            self.phase = Phase.RESTORE
            restored = await self._restore(openings)
            self.phase = Phase.CHECK
            await self._await_offsets(openings)
            lanes = await _all(self._checked(opening) for opening in openings)
        except BaseException as error:
            log.info("lanes not opened", phase=self.phase.value, error=repr(error))
            if isinstance(error, StoreDamaged):
                error.store.wipe(str(error))
            await asyncio.gather(*(opening.abandon() for opening in openings))
            raise
        log.info(
            "lanes open",
            lanes=len(lanes),
            restored_records=restored,
            seconds=round(time.monotonic() - began, 2),
        )
        return lanes

    def reading(self, tp: TopicPartition) -> Callable[[Record], Any]:
        """How the records of a source partition are read.

        Of events, those that don't belong there are refused.
        """
        if tp not in self._readings:
            fold = self.by_topic[tp.topic]
            read = (
                of_events(fold.read, fold.spec.source, tp.partition, self.settings)
                if fold.spec.sends
                else fold.read
            )
            self._readings[tp] = read
        return self._readings[tp]

    def waits_for(self) -> str:
        """What the opening under way waits for."""
        return WAITS[self.phase]

    def _transactional_id(self, fold: Stage, source: TopicPartition) -> str:
        return f"{self.settings.app}-{fold.spec.name}-{source.partition}"

    def _refuse_new_partitions(self, sources: Iterable[TopicPartition]) -> None:
        """Topics fit when this worker started, so a partition beyond the settings was added to its topic since."""
        for topic, partition in sources:
            if partition >= self.settings.partitions:
                raise StateUnfit(
                    f"topic {topic} now has more than the {self.settings.partitions} partitions that netsold needs, so keys have moved: "
                    "rebuild under another NETSOLD_APP and NETSOLD_TOPIC_PREFIX (docs/runbook.md, Topics unfit)"
                )

    async def _init(self, openings: list[_Opening]) -> None:
        """Start all producers.

        When one fails, the others have ended before that is raised, so that none runs on behind our
        back.
        """
        starts = {
            asyncio.create_task(one.producer.start()): self._transactional_id(one.fold, one.source)
            for one in openings
        }
        left, standstill = set(starts), _Standstill(KEPT_WAITING, "transactional_ids")
        try:
            while left:
                done, left = await asyncio.wait(
                    left, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION
                )
                for start in done:
                    start.result()
                standstill.look(starts[start] for start in left)
        except Exception:
            if left:  # a request that the broker carries out late would fence the next try
                await asyncio.wait(left, timeout=LOOK_SECONDS)
            raise
        finally:
            for start in left:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    async def _ask_offsets(self, openings: list[_Opening]) -> None:
        """The group's committed offset of each source (None.

        None), and where all logs begin and end.

        The ends are asked first: what our own workers wrote before is committed by then.
        """
        settings = self.settings
        names = {
            settings.topic(name)
            for stage in STAGES
            for name in (stage.source, *stage.sends, *stage.emits)
        }
        names |= {changelog(settings, table.name) for table in TABLES}
        self._beginnings, self._ends = await self.kafka.bounds(names)
        committed = await self.kafka.committed(opening.source for opening in openings)
        for opening in openings:
            opening.committed = committed[opening.source]
            opening.beginning, opening.end = (
                self._beginnings[opening.source],
                self._ends[opening.source],
            )
        if all(offset is None for offset in committed.values()):
            await self._refuse_anothers_journal()
        if None in committed.values():
            await self._refuse_another_count()

    async def _refuse_anothers_journal(self) -> None:
        """A new application must not write into a journal that has records.

        Every sale would stand in it, every alert be told, twice.

        It is new while it has neither changelogs nor committed offsets.
        """
        settings = self.settings
        writing = [fold.spec for fold in self.by_topic.values() if fold.spec.sends]
        written = self._begun(
            {settings.topic(name) for stage in writing for name in (*stage.sends, *stage.emits)}
        )
        if not written or self._begun(
            {changelog(settings, table.name) for stage in writing for table in stage.tables}
        ):
            return
        sources = [
            TopicPartition(settings.topic(stage.source), number)
            for stage in writing
            for number in range(settings.partitions)
        ]
        if all(offset is None for offset in (await self.kafka.committed(sources)).values()):
            read = " and ".join(
                f"NETSOLD_{stage.source.upper()}_TOPIC={settings.topic(stage.source)}"
                for stage in writing
            )
            raise StateUnfit(
                f"group {settings.app} is new, but {written[0]} already has another application's records, and every sale would stand "
                f"there twice: give this one a NETSOLD_TOPIC_PREFIX of its own, and {read} to read the same log (docs/runbook.md, Rebuild)"
            )

    async def _refuse_another_count(self) -> None:
        """Partitions that begin here must not stand beside others' state of another number of partitions: all were made more since."""
        settings = self.settings
        before = groups.other_count(settings, await self.kafka.group_offsets())
        if before is not None:
            raise StateUnfit(another_count(f"group {settings.app}", before, settings.partitions))

    def _begun(self, topics: set[str]) -> list[str]:
        """Those of some topics that have ever had a record."""
        return sorted({tp.topic for tp, end in self._ends.items() if end and tp.topic in topics})

    async def _restore(self, openings: list[_Opening]) -> int:
        """Open the stores and bring them up to their changelogs' ends.

        Returns how many records that took.
        """
        stores: dict[TopicPartition, PartitionStore] = {}
        for opening in openings:
            partition = opening.source.partition
            for table in (table.name for table in opening.fold.spec.tables):
                topic = changelog(self.settings, table)
                identity = Identity(
                    self.cluster,
                    self.settings.app,
                    f"{table}/{self.topic_ids[topic]}",
                    partition,
                    self.settings.partitions,
                )
                store = self._open_store(self.state_dir / table / str(partition), identity)
                stores[TopicPartition(topic, partition)] = opening.stores[table] = store
        beginnings, ends = (
            self._beginnings,
            self._ends,
        )  # taken after INIT, uncommitted: high watermarks, not last stable offsets
        for tp, store in stores.items():
            if store.position is not None and not beginnings[tp] <= store.position <= ends[tp]:
                store.wipe(
                    f"its position {store.position} lies outside of {tp.topic}-{tp.partition}@{beginnings[tp]}-{ends[tp]}"
                )
        reached = {tp: store.position or beginnings[tp] for tp, store in stores.items()}
        behind = [tp for tp in stores if reached[tp] < ends[tp]]
        restored = 0
        if not behind:
            return restored
        async with self.kafka.changelogs({tp: reached[tp] for tp in behind}) as changelogs:
            standstill = _Standstill(HANGING, "changelogs")
            while any(reached[tp] < ends[tp] for tp in behind):
                # a log that ends in control records never delivers its last offset, so only
                # positions tell the end
                fetched, positions = await changelogs.fetch()
                reached |= positions
                for tp, records in fetched.items():
                    stores[tp].write(
                        ((record.key, record.value) for record in records), reached[tp]
                    )
                    restored += len(records)
                    reach(Point.IN_RECOVERY)
                standstill.look(
                    f"{tp.topic}-{tp.partition}@{reached[tp]}"
                    for tp in behind
                    if reached[tp] < ends[tp]
                )
        return restored

    async def _await_offsets(self, openings: list[_Opening]) -> None:
        """Ask for committed offsets again while they are behind the marks.

        They belong to one transaction, which INIT has settled; but a group coordinator that has
        just come back may still be about to take in its part of it, and answers with the offset
        before, or that there is none. What stays behind is told by the check.
        """
        deadline = time.monotonic() + OFFSETS_SECONDS
        while time.monotonic() < deadline:
            late = [opening for opening in openings if _is_behind(opening)]
            if not late:
                return
            log.info("committed offsets are behind the marks, asking again", lanes=len(late))
            await asyncio.sleep(0.5)
            committed = await self.kafka.committed(opening.source for opening in late)
            for opening in late:
                opening.committed = committed[opening.source]

    async def _checked(self, opening: _Opening) -> Lane:
        """A lane, if its state and its source belong together."""
        topic, partition = opening.source
        lane = Lane(
            opening.fold,
            topic,
            self.topic_ids[topic],
            partition,
            opening.producer,
            opening.stores,
            Progress(offset=opening.beginning - 1),
            0,
            partitions=self.settings.partitions,
            partitioner=self.settings.partitioner_of(topic),
        )
        marks = {
            table: None if store.mark is None else decode_mark(store.mark)
            for table, store in opening.stores.items()
        }
        if opening.committed is None and not any(marks.values()):
            lane.position = opening.beginning
            await begin(lane, self.settings)
        else:
            self._check(lane, marks, opening)
        return lane

    def _check(self, lane: Lane, marks: Mapping[str, Mark | None], opening: _Opening) -> None:
        """Go on only where committed = mark + 1 in every table.

        Sets the lane's progress and position.
        """
        why = why_unfit(
            lane, marks, opening.committed, (opening.beginning, opening.end), self.settings.app
        )
        if why is not None:
            raise StateUnfit(why)
        (mark, *_) = filter(None, marks.values())
        lane.progress = progress_of(
            mark
        ).resumed()  # to open a paused partition anew is to let it go on
        lane.position = lane.progress.offset + 1


async def _all(checks: Iterable[Coroutine[Any, Any, Lane]]) -> list[Lane]:
    """The results of all, once all have ended.

    None runs on behind a failure, on stores that are closed. Raises the first failure.
    """
    results = await asyncio.gather(*checks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, Lane)]


def _is_behind(opening: _Opening) -> bool:
    """Whether the group's committed offset is before what all of the tables' marks say, or there is none."""
    marks = [
        None if store.mark is None else decode_mark(store.mark) for store in opening.stores.values()
    ]
    return all(
        mark is not None and (opening.committed is None or mark.offset + 1 > opening.committed)
        for mark in marks
    )
