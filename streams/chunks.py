"""A Faust transport that hands over one message per chunk of a partition's records.

Faust's way of one message per event costs several times what folding the event does
(`python -m bench`); with chunks it is paid once for thousands. Assignment, rebalancing, agents and
tables stay Faust's. Offsets don't: the chunk's own transaction commits them, so Faust's acks, gaps
and commits never see these topics (`acks=False`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import faust
from aiokafka import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, ConsumerMessage

from streams import batches, tracing
from streams.chunk_reader import ChunkReader
from streams.errors import Fatal
from streams.paced_buffer import PacedBuffer
from streams.traced import TracedDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from aiokafka import AIOKafkaConsumer
    from aiokafka.consumer.fetcher import FetchResult

    from schemas.envelope import Record
    from streams.chunk_reader import FetchRange
    from streams.fetched import Chunk
    from streams.settings import Settings


class Lanes(Protocol):
    """What the consumer must know of this worker's lanes: a `streams.pipeline.Pipeline`."""

    settings: Settings

    def positions(self) -> Mapping[TopicPartition, int]:
        """The fetch position at which each lane continues."""

    def most_records(self, partition: TopicPartition, /) -> int:
        """Most records of a partition's next chunk."""

    def is_busy(self, partition: TopicPartition, /) -> bool:
        """Whether a chunk of the partition is being committed; from any thread."""

    def has_events(self, partition: TopicPartition, /) -> bool:
        """Whether the partition is of a topic of events; from any thread."""

    def decoder_of(self, partition: TopicPartition, /) -> Callable[[Record], Any]:
        """The decoder of a partition's records."""


class ChunkSchema(faust.Schema):
    """Passes chunks through: records are decoded in the pure core, where they can be refused."""

    def loads_key(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """Nothing: a chunk has no key."""
        return None

    def loads_value(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """The chunk itself."""
        return message.value


class ChunkThread(AIOKafkaConsumerThread):
    """Faust's consumer thread, which fetches committed records and leaves reading to the worker's.

    It is the `FetchedRecords` of the `ChunkReader`, which runs in the worker's own thread.
    """

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        batches.tolerate()
        consumer = super()._create_worker_consumer(transport)
        # Faust couples this to its own exactly_once, which isn't used here; the consumer reads it
        # when it starts
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - no public setter
        return consumer

    async def on_start(self) -> None:
        """Start the consumer, and with it its fetcher."""
        await super().on_start()
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001 - no public way
        lanes = self.transport.lanes
        every_ms = lanes.settings.fetch_every_ms
        self._buffer = PacedBuffer(fetcher, every_ms, lanes.is_busy, lanes.has_events)

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,  # noqa: ARG002 - as above
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,  # noqa: ARG002 - as above
    ) -> dict[TP, FetchResult]:
        """The fetches that wait to be read, by partition."""
        # Faust fetches here by the fetcher as well: `getmany` adds an auto-commit
        waiting = self._waiting(self._buffer, active_partitions)
        if not waiting and self.consumer.flow_active:
            await self._buffer.wait(timeout)
            waiting = self._waiting(self._buffer, active_partitions)
        return waiting

    def _waiting(self, buffer: PacedBuffer, active: set[TP]) -> dict[TP, FetchResult]:
        return buffer.waiting(active) if self.consumer.flow_active and active else {}

    def advance(self, result: FetchResult, partition: TopicPartition, read: FetchRange) -> None:
        """From the worker's thread: these positions were read of a fetch."""
        self.thread_loop.call_soon_threadsafe(self._buffer.advance, result, partition, read)

    def end(self, result: FetchResult, partition: TopicPartition) -> None:
        """From the worker's thread: nothing more is read of a fetch."""
        self.thread_loop.call_soon_threadsafe(self._buffer.end, result, partition)

    def last_stable_offset(self, partition: TP) -> int | None:
        """The end of what can be read now, as of the last fetch."""
        stable: int | None = self._ensure_consumer().last_stable_offset(partition)
        return stable

    def request_rejoin(self) -> None:
        """Make the group rebalance: everything is revoked, assigned and checked anew."""
        consumer = self._ensure_consumer()
        self.thread_loop.call_soon_threadsafe(consumer._coordinator.request_rejoin)  # noqa: SLF001 - no public way


class ChunkConsumer(Consumer):
    """Delivers what was fetched chunk by chunk, and seeks to the lanes' own positions.

    It reads in the worker's own thread, which also folds: only one of two threads computes at a
    time, and each would have to load from memory what the other has touched (decision 24).
    """

    transport: ChunkTransport
    _thread: ChunkThread

    def _new_consumer_thread(self) -> ChunkThread:
        thread = ChunkThread(self, loop=self.loop, beacon=self.beacon)
        self._reader = ChunkReader(thread)
        return thread

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's
        """One message per partition that has a fetch: its next chunk.

        None while the flow is stopped.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = self._get_active_partitions()
        # not by Faust's own loop around it, which sleeps a second while no partition is active
        waiting = await self._getmany(active, timeout)
        generation = self.app.consumer_generation_id
        for tp, result in sorted(waiting.items()):
            stopped = self.should_stop or not self.flow_active
            if stopped or generation != self.app.consumer_generation_id:
                return
            if tp not in active:
                continue
            try:
                chunk = self._next_chunk(tp, result)
            except Fatal as error:
                self.app.leave(error)
                return
            if chunk is not None:
                yield tp, self._to_message(tp, chunk)

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: partitions take turns, and each waits until the agent has room for its chunk.

        Faust would leave this one out until the agent's queue is empty, which another partition
        with many chunks can put off for ever.
        """

    def _next_chunk(self, tp: TP, result: FetchResult) -> Chunk | None:
        partition = TopicPartition(*tp)
        lanes = self.transport.lanes
        most, decode = lanes.most_records(partition), lanes.decoder_of(partition)
        if tracing.spans() is None:
            return self._reader.next_chunk(partition, result, most, decode)
        traced = TracedDecoder(decode)
        chunk = self._reader.next_chunk(partition, result, most, traced)
        return None if chunk is None else replace(chunk, reading=traced.reading())

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        last, _ = record.readings[-1]
        return ConsumerMessage(  # without a time of its own: windows are by events' times
            tp.topic, tp.partition, last, 0.0, 0, None, None, record, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def lag(self, partition: TopicPartition, position: int) -> int | None:
        """Records from a lane's position to the last stable offset; None while it isn't known."""
        tp = TP(*partition)
        stable = self._thread.last_stable_offset(tp) if tp in self.assignment() else None
        return None if stable is None else self._reader.lag(partition, position, stable)

    async def perform_seek(self) -> None:
        """Seek every source partition to its lane's position.

        Faust's own way ignores offset 0 and partitions without a committed offset.
        """
        positions = {TP(*one): at for one, at in self.transport.lanes.positions().items()}
        if positions:
            await self.seek_wait(positions)

    async def create_topic(self, topic: str, *_args: Any, **_kwargs: Any) -> None:
        """Nothing: `streams/topics.py` checks all topics before the worker starts."""

    def request_rejoin(self) -> None:
        """See `ChunkThread.request_rejoin`."""
        self._thread.request_rejoin()


class ChunkTransport(Transport):
    """Faust's aiokafka transport with the chunk consumer, which reads for these lanes."""

    Consumer = ChunkConsumer

    def __init__(self, url: list[Any], app: Any, lanes: Lanes) -> None:
        super().__init__(url, app)
        self.lanes = lanes
