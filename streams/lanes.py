"""A lane: everything that belongs to one source partition of one stage while a worker owns it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Protocol

from schemas.positions import offset_after
from streams import groups
from streams.build import this_build
from streams.marks import Mark, progress_of
from tables import formats
from tables.journal_stage import JournalStage
from tables.terms import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemas.envelope import Record
    from streams.partitioning import Partitioner
    from streams.producers import StrictProducer
    from streams.stores import PartitionStore
    from tables.catalogue import StageSpec
    from tables.outcome import Outcome, Readings, States
    from tables.watermarks import Progress


class Stage(Protocol):
    """What a lane runs: one of `tables.stages`."""

    @property
    def spec(self) -> StageSpec:
        """Its row in the catalogue."""

    @property
    def terms(self) -> str:
        """The settings by which it makes its tables."""

    def read(self, record: Record) -> object:
        """Decode a record, or return its refusal."""

    def fold(
        self, place: str, readings: Readings, states: States, progress: Progress | None
    ) -> Outcome:
        """What a chunk of the partition `place` changes."""


def terms_of(stage: Stage, partitioner: Partitioner) -> str:
    """The settings by which a stage makes its tables, from keys that `partitioner` placed."""
    return f"{stage.terms}; keys by {partitioner}" if stage.spec.sends else stage.terms


class LaneState(StrEnum):
    """Whether a lane accepts chunks and may commit."""

    OPEN = "open"
    """It accepts the next chunk."""

    PAUSED = "paused"
    """It accepts no chunk, after too many refusals in a row; what is folded is still committed."""

    CLOSED = "closed"
    """It never begins or commits anything again; the next owner settles what is left open."""


@dataclass(slots=True, eq=False)
class Lane:
    """One source partition of one stage: its stage, producer, stores and progress.

    `position` is the fetch position that follows what is applied or being committed. A chunk that
    starts elsewhere is fetched again. At most one chunk is between fold and store write: `commit`
    is its task. `recent` is what the last chunk wrote, by table, since events of one order arrive
    close together. `partitions` is the number of partitions of every topic, `partitioner` the hash
    that put the records into them.
    """

    stage: Stage
    topic: str
    topic_id: str
    partition: int
    producer: StrictProducer
    stores: Mapping[str, PartitionStore]
    progress: Progress
    position: int
    recent: Mapping[str, Mapping[bytes, bytes | None]] = field(default_factory=dict)
    partitions: int = field(kw_only=True)
    partitioner: Partitioner = field(kw_only=True)
    format: int = formats.WRITTEN
    """The highest format that a row of its tables may have."""

    state: LaneState = LaneState.OPEN
    commit: asyncio.Task[None] | None = None
    folding: bool = False
    """Whether a chunk is there whose transaction has yet to begin."""

    unmarked: bool = False
    """Whether a downstream partition may lack the mark of this progress."""

    marked_at_s: float = -inf
    """When marks were last written to all downstream partitions, on the loop's clock."""

    announcement: asyncio.TimerHandle | None = None
    """Writes the marks that are lacking, when it is time."""

    @property
    def spec(self) -> StageSpec:
        """Its stage's row in the catalogue."""
        return self.stage.spec

    @property
    def name(self) -> str:
        """For messages: `orders-3`."""
        return f"{self.topic}-{self.partition}"

    @property
    def terms(self) -> str:
        """The settings by which its tables are made."""
        return terms_of(self.stage, self.partitioner)

    @property
    def layout(self) -> str:
        """The metadata that is committed with its offsets."""
        return groups.layout(self.partitions, name_of(self.stage.terms))

    @property
    def must_end_cycles(self) -> bool:
        """Whether cycles have ended whose ends were not sent yet."""
        stage = self.stage
        return isinstance(stage, JournalStage) and stage.must_end_cycles(self.progress)

    @property
    def closed(self) -> bool:
        """Whether it must not commit any more."""
        return self.state is LaneState.CLOSED

    @property
    def committing(self) -> bool:
        """Whether a chunk is between fold and store write."""
        return self.commit is not None and not self.commit.done()

    def mark(self, progress: Progress) -> Mark:
        """The mark that records `progress`."""
        return Mark(
            *[getattr(progress, name) for name in progress.__struct_fields__],
            topic=self.topic,
            topic_id=self.topic_id,
            partition=self.partition,
            terms=self.terms,
            partitions=self.partitions,
            build=str(this_build()),
            format=self.format,
        )

    def resume(self, mark: Mark) -> None:
        """Continue after the mark of the partition's last owner, if it paused or not."""
        progress = progress_of(mark).resumed()
        self.progress, self.position = progress, offset_after(progress.offset)
        self.format = max(self.format, mark.format)
        # that one may have ended before it wrote them; before the first event there are none
        self.unmarked = progress.watermark_ms is not None

    async def idle(self) -> None:
        """Wait until no chunk is between fold and store write; errors are handled in its task."""
        waited: asyncio.Task[None] | None = None
        while self.commit is not None and self.commit is not waited:
            waited = self.commit
            await asyncio.wait([waited])

    def marks_due_s(self, every_ms: int) -> float:
        """Seconds until marks may be written to all downstream partitions again."""
        return self.marked_at_s + every_ms / 1000 - asyncio.get_running_loop().time()

    def announce_in(self, seconds: float, announce: Callable[[], object]) -> None:
        """Call `announce` then; what was to be called before isn't."""
        if self.announcement is not None:
            self.announcement.cancel()
        self.announcement = asyncio.get_running_loop().call_later(seconds, announce)

    def give_up(self) -> None:
        """Begin and commit nothing any more."""
        self.state = LaneState.CLOSED
        if self.announcement is not None:
            self.announcement.cancel()

    async def close(self) -> None:
        """Close the producer and the files; the next owner settles what is not committed."""
        self.give_up()
        await self.producer.abandon()
        for store in self.stores.values():
            store.close()
