"""A lane: all that belongs to one source partition of one stage while this worker holds it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from streams import groups
from streams.build import this_build
from streams.marks import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.envelope import Record
    from streams.partitioning import Partitioner
    from streams.producers import StrictProducer
    from streams.stores import PartitionStore
    from tables.catalogue import StageSpec
    from tables.outcome import Outcome, Readings, States
    from tables.watermarks import Progress


class Fold(Protocol):
    """What a lane runs: one of `tables.stages`."""

    @property
    def stage(self) -> StageSpec:
        """Its place in the catalogue."""

    @property
    def terms(self) -> str:
        """The settings by which it makes its tables."""

    def read(self, record: Record) -> object:
        """What a record says."""

    def fold(
        self, place: str, readings: Readings, states: States, progress: Progress | None
    ) -> Outcome:
        """What a chunk of the partition `place` changes."""


@dataclass(slots=True, eq=False)
class Lane:
    """One source partition of one stage: its pure fold, producer, stores and how far it is.

    `position` is the next fetch position that continues what is applied or being committed; chunks
    that start elsewhere are not its own. At most one chunk is between fold and store write
    (`commit`). `recent` is what the last one wrote, by table: whatever happens to an order soon
    happens again. `partitions` is how many its topic has, as all others, and `partitioner` how
    their records were put into them.
    """

    fold: Fold
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
    closed: bool = False
    paused: bool = False
    commit: asyncio.Task[None] | None = None

    @property
    def stage(self) -> StageSpec:
        """Its stage in the catalogue."""
        return self.fold.stage

    @property
    def name(self) -> str:
        """For messages: `orders-3`."""
        return f"{self.topic}-{self.partition}"

    @property
    def terms(self) -> str:
        """The settings by which its tables are made."""
        return (
            f"{self.fold.terms}; keys by {self.partitioner}"
            if self.stage.sends
            else self.fold.terms
        )

    @property
    def layout(self) -> str:
        """What is committed beside its offsets."""
        return groups.layout(self.partitions)

    def mark(self, progress: Progress) -> Mark:
        """The mark that says `progress`."""
        return Mark(
            self.topic, self.topic_id, self.partition, progress.offset, progress.watermark_ms,
            {source: (at[0], at[1]) for source, at in progress.sources.items()}, progress.refused_in_a_row,
            terms=self.terms, partitions=self.partitions, confirmed_ms=progress.confirmed_ms, furthest=progress.furthest,
            build=str(this_build()),
        )  # fmt: skip

    async def idle(self) -> None:
        """Wait until no chunk is between fold and store write.

        Its errors were handled where it ran.
        """
        if self.commit is not None:
            await asyncio.wait([self.commit])

    async def close(self) -> None:
        """Give up the producer and the files.

        What was not committed is settled by the next owner.
        """
        self.closed = True
        await self.producer.abandon()
        for store in self.stores.values():
            store.close()
