"""A lane: all that belongs to one source partition of one stage while this worker holds it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

from schemas.journal import RULES
from streams import groups
from tables.watermarks import Furthest, Progress, SourceProgress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.envelope import Record
    from streams.partitioning import Partitioner
    from streams.producers import StrictProducer
    from streams.stores import PartitionStore
    from tables.catalogue import StageSpec
    from tables.outcome import Outcome, Readings, States


MARK_KEY = b"\x00mark"
"""The reserved key of a mark in a changelog and in its store; ids have no control characters."""


class Mark(msgspec.Struct, frozen=True):
    """How far a table partition is.

    The same record in the changelog, in its store and, as `Progress`, in the stage.

    Every source offset up to and including `offset` is applied; -1 says "nothing yet, the log
    starts at 0". `terms` are the settings by which the table was made (cycles, for chats the
    service rules, and where events are read the partitioner of their keys); `partitions` is how
    many every topic had.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    watermark_ms: int | None
    sources: dict[str, SourceProgress]
    refused_in_a_row: int
    rules: int = RULES
    terms: str = ""
    partitions: int = 0
    confirmed_ms: int | None = None
    furthest: Furthest | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Mark)


def encode_mark(mark: Mark) -> bytes:
    """A mark as JSON, as it stands in changelog and store."""
    return _encoder.encode(mark)


def decode_mark(data: bytes) -> Mark:
    """The mark of a changelog record or store. Raises msgspec.ValidationError on anything else."""
    return _decoder.decode(data)


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
            progress.sources, progress.refused_in_a_row,
            terms=self.terms, partitions=self.partitions, confirmed_ms=progress.confirmed_ms, furthest=progress.furthest,
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


def progress_of(mark: Mark) -> Progress:
    """The stage's progress that a mark says."""
    return Progress(
        offset=mark.offset,
        watermark_ms=mark.watermark_ms,
        refused_in_a_row=mark.refused_in_a_row,
        sources=mark.sources,
        confirmed_ms=mark.confirmed_ms,
        furthest=mark.furthest,
    )
