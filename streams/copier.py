"""Copies a log of events into one with another number of partitions, exactly once.

Each transaction has copied records, the log's offsets behind them, and beside these the offsets of
the copy: so a copier that is killed leaves neither a gap nor a repeat.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from schemas import limits
from schemas.errors import NetsoldError
from streams import log
from streams.copied import committed_vectors, copied_settings, copy_layout
from streams.copy_plan import CopyPlan, committed_beside
from streams.fenced_writer import FencedWriter
from streams.producers import StrictProducer, begin_batch, retrieve
from streams.transactions import end_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence

    from schemas.envelope import Record
    from streams.copy_plan import CopyPiece, Vectors
    from streams.log import At, FollowStep
    from streams.settings import Settings

_Batches = list[tuple[asyncio.Future[Any], int]]
"""The future of each batch, and the number of its records."""


class CopyInDoubt(NetsoldError):
    """It is not known whether the last transaction of a copier was committed."""


class CopyFenced(CopyInDoubt):
    """Another copier of the same log has started."""


class CopiedSource(Protocol):
    """The log that is copied, as a copier reads it."""

    async def vectors(self) -> Vectors:
        """Those of the last transaction."""

    def follow(
        self, starts: Mapping[At, int], wanted: Callable[[], Collection[At]]
    ) -> AsyncGenerator[FollowStep, None]:
        """As `log.follow`."""


class KafkaSource:
    """The log of an application's copy on its cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def vectors(self) -> Vectors:
        """Those of the last transaction. Raises KafkaUnreachable and KafkaError."""
        beginnings, _ = await log.bounds(self._settings, copy_layout(self._settings).topics)
        return await committed_vectors(self._settings, beginnings)

    def follow(
        self, starts: Mapping[At, int], wanted: Callable[[], Collection[At]]
    ) -> AsyncGenerator[FollowStep, None]:
        """As `log.follow`."""
        source = copied_settings(self._settings)
        return log.follow(source, starts, lambda: limits.COPY_RECORDS, wanted=wanted)


class Copier(FencedWriter):
    """The one process that copies a version's log; `settings` are the version's."""

    in_doubt = CopyInDoubt
    fenced = CopyFenced
    rival = "another copier of this log runs now"
    remedy = "see `netsold rebuild status`"

    def __init__(
        self,
        settings: Settings,
        source: CopiedSource | None = None,
        connect: Callable[[Settings, str], Any] = StrictProducer,
    ) -> None:
        super().__init__(settings, copied_settings(settings).app, connect)
        self._source = KafkaSource(settings) if source is None else source
        self.copied = 0
        """Records that this process has copied."""

        self.left: int | None = None
        """Offsets of the log that are not copied, as last read; None before the first reading."""

    async def run(self, stop: asyncio.Event, pause: Callable[[int], Awaitable[Any]]) -> None:
        """Copy until `stop` is set. `pause` is awaited with each piece's number of records.

        Raises CopyInDoubt, and as `log.follow`; then this copier is of no more use.
        """
        plan = CopyPlan(copy_layout(self._settings), await self._source.vectors())
        reading = self._source.follow(plan.vectors.positions, plan.wanted)
        async with aclosing(reading) as steps:
            async for step in steps:
                plan.add(step.records, step.positions, step.unread)
                for piece in plan.pieces():
                    await pause(piece.count)
                    plan.done(piece, await self._write(plan, piece))
                self.left = plan.left(step.ends)
                if stop.is_set():
                    break

    async def _write(self, plan: CopyPlan, piece: CopyPiece) -> dict[At, int]:
        """Write a piece in one transaction; the last offset of each partition of the copy."""
        async with self._transaction() as producer:
            await producer.begin_transaction()
            sent = {at: await _send(producer, at, some) for at, some in piece.records.items()}
            # aiokafka counts a failed batch as flushed, so each future is awaited
            written = {at: await end_of(batches) - 1 for at, batches in sent.items()}
            after = plan.vectors.after(piece, written)
            offsets = {
                TopicPartition(*at): OffsetAndMetadata(
                    after.positions[at], committed_beside(plan.layout, after, at)
                )
                for at in plan.layout.sources
            }
            await producer.send_offsets_to_transaction(offsets, copied_settings(self._settings).app)
            await producer.commit_transaction()
        self.copied += piece.count
        return written


async def _send(producer: StrictProducer, at: At, records: Sequence[Record]) -> _Batches:
    """Send records as they are to one partition, in as few batches as fit."""
    sent: _Batches = []

    async def hand_over() -> None:
        future = await producer.send_batch(batch, at[0], partition=at[1])
        future.add_done_callback(retrieve)
        sent.append((future, batch.record_count()))

    batch = producer.batch_for(at[0])
    for record in records:
        written_ms, headers = max(0, record.timestamp or 0), list(record.headers)
        fitted = batch.append(
            timestamp=written_ms, key=record.key, value=record.value, headers=headers
        )
        if fitted is None:
            if batch.record_count():
                await hand_over()
                batch = producer.batch_for(at[0])
            begin_batch(batch, ((record.key, record.value), headers), written_ms)
    await hand_over()
    return sent
