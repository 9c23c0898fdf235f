"""A Faust transport that hands over one message per fetched chunk of a partition's records.

Faust's per-event path costs about 300 microseconds an event; per chunk it is paid once for thousands. Assignment,
rebalancing, agents and tables stay Faust's. Offsets are not: they are committed by the chunk's own transaction, so
Faust's acks, gaps and commits never see these topics (`acks=False`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, ConsumerMessage

from streams import batches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiokafka import AIOKafkaConsumer

    from schemas.envelope import Record
    from streams.batches import TolerantRecords
    from tables.outcome import Readings


FETCH_WAIT_MS = 100
"""How long a broker may hold back a fetch for which it has nothing, where Faust has 1,500.

aiokafka has one fetch under way with each broker, and leaves out partitions of which records are at hand. So those that run dry in
the meantime wait for the others to get something: a second and a half, with nothing to do.
"""

TURN_CHUNKS = 2
"""So many full chunks are taken from what was fetched before they are handed over: one to fold while another commits."""


class ReadingFailed(Exception):
    """A stage's `read` raised, which it never may; the worker ends."""


def _reading(read: Callable[[Record], Any]) -> Callable[[TP, Record], tuple[int, Any]]:
    """In place of aiokafka's `PartitionRecords._consumer_record`: a record is read as soon as it is parsed, and forgotten.

    That takes a quarter less time than to look again, chunk by chunk, at records that are in nobody's cache any more.
    """

    def taken(tp: TP, record: Record) -> tuple[int, Any]:
        try:
            return record.offset, read(record)
        except Exception as error:
            message = (
                f"{tp.topic}-{tp.partition}@{record.offset}: {error!r} while reading, nothing of it is written: a fault of ours, report it"
            )
            raise ReadingFailed(message) from error

    return taken


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the records of one partition say, in order; `start` and `end` are fetch positions (half-open).

    Transactions leave control records that are never delivered, so `end` may lie behind the last record's offset
    + 1, and the first record behind `start`: only the chain of positions shows that nothing is missing.
    """

    tp: TP
    readings: Readings
    start: int
    end: int
    fetched: TolerantRecords
    """Where the records themselves can be looked up again, to park them."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Fetch positions (half-open) behind a partition's last chunk in which nothing was delivered: control records only."""

    start: int
    end: int


class ChunkSchema(faust.Schema):
    """Passes chunks through untouched: keys and values are decoded in the pure core, where bad ones can be parked."""

    def loads_key(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """Nothing: a chunk has no key."""
        return None

    def loads_value(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """The chunk itself."""
        return message.value


class ChunkThread(AIOKafkaConsumerThread):
    """Faust's consumer thread, reading committed records only and noting the positions around each fetch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stretches: dict[TP, Stretch] = {}
        self._next: TP | None = None

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        batches.tolerate()
        self._readers = {topic: _reading(fold.read) for topic, fold in self.consumer.app.pipeline.opener.by_topic.items()}
        consumer = super()._create_worker_consumer(transport)
        # Faust couples this to its own exactly_once, which we don't use; it is read when the consumer starts
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - no public setter
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - as above
        return consumer

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[TP, Chunk]:
        fetcher = consumer._fetcher  # noqa: SLF001 - Faust itself fetches here, `getmany` adds an auto-commit
        chunks = await self._fetched(fetcher, active_partitions, max_records)
        if not chunks and self.consumer.flow_active:
            waiter = fetcher._create_fetch_waiter()  # noqa: SLF001 - as above
            done, _ = await asyncio.wait([waiter], timeout=timeout)
            waiter.cancel()
            for fetched in done:
                fetched.result()  # an authorization error ends the consumer, it must not be lost
            chunks = await self._fetched(fetcher, active_partitions, max_records)
        return chunks

    async def _fetched(self, fetcher: Any, active: set[TP], max_records: int | None) -> dict[TP, Chunk]:
        """What is fetched by now; positions before and after are read without an await between, so they belong to it."""
        if not self.consumer.flow_active or not active:
            return {}
        assignment = fetcher._subscriptions.subscription.assignment  # noqa: SLF001 - as Faust does
        if assignment is None:
            return {}
        chunks: dict[TP, Chunk] = {}
        taken = 0
        for tp in self._in_turn(active):
            state = assignment.state_value(tp)
            if state is None or not state.has_valid_position:
                continue
            if taken >= TURN_CHUNKS * (max_records or 1):
                self._next = tp
                break
            position = state.position
            waiting = fetcher._records.get(tp)  # noqa: SLF001 - as above
            source: Any = getattr(waiting, "_partition_records", None)  # an error has none
            readings: list[tuple[int, Any]] = []
            # while partitions are assigned anew it would wait, and hand over others than those that are waiting now
            if waiting is not None and not fetcher._subscriptions.reassignment_in_progress:  # noqa: SLF001 - as above
                if source is not None:
                    source._consumer_record = self._readers[tp.topic]  # noqa: SLF001 - no public way
                with fetcher._subscriptions.fetch_context():  # noqa: SLF001 - as above
                    readings = (await fetcher.fetched_records({tp}, timeout=0, max_records=max_records)).get(tp, [])
            stretch = self.stretches.get(tp)
            start = stretch.start if stretch is not None and stretch.end == position else position  # else somebody has sought
            end = state.position
            if readings:
                chunks[tp] = Chunk(TP(tp.topic, tp.partition), readings, start, end, source._records)  # noqa: SLF001 - as above
                taken += len(readings)
                start = end
            self.stretches[tp] = Stretch(start, end)
        return chunks

    def _in_turn(self, active: set[TP]) -> list[TP]:
        """The partitions, beginning with the one that comes next.

        Left to itself aiokafka drains one before it looks at another, and a lane that waits for its commit overlaps with none.
        """
        order = sorted(active)
        first = next((index for index, tp in enumerate(order) if self._next is not None and tp >= self._next), 0)
        return order[first:] + order[:first]

    def last_stable_offset(self, tp: TP) -> int | None:
        """The end of what can be read now, as last heard."""
        stable: int | None = self._ensure_consumer().last_stable_offset(tp)
        return stable

    def request_rejoin(self) -> None:
        """Make the group rebalance: everything is revoked, assigned and checked anew."""
        consumer = self._ensure_consumer()
        self.thread_loop.call_soon_threadsafe(consumer._coordinator.request_rejoin)  # noqa: SLF001 - no public way


class ChunkConsumer(Consumer):
    """Yields chunks; leaves seeking to the positions that the lanes hold."""

    _thread: ChunkThread

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's
        """One message per partition chunk that was fetched; none while the flow is stopped."""
        chunks, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        for tp, chunk in (chunks or {}).items():
            if self.should_stop or not self.flow_active or generation != self.app.consumer_generation_id:
                return
            if active is None or tp in active or tp in self._buffered_partitions:
                yield chunk.tp, self._to_message(chunk.tp, chunk)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        last, _ = record.readings[-1]
        return ConsumerMessage(  # without a time of its own: windows are by events' times
            tp.topic, tp.partition, last, 0.0, 0, None, None, record, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def lag(self, tp: TP, position: int) -> int | None:
        """Records between a lane's position and the end of what can be read, control records there left out; None while not known.

        Behind the last stable offset lie open transactions of others: waiting for them is no standstill of ours.
        """
        stable = self._thread.last_stable_offset(tp) if tp in self.assignment() else None
        stretch = self._thread.stretches.get(tp)
        if stable is None or stretch is None:
            return None
        return max(0, stable - (stretch.end if stretch.start == position else position))

    async def perform_seek(self) -> None:
        """Seek every source partition to where its lane stands (Faust's own ignores offset 0 and unset ones)."""
        positions = self.app.pipeline.positions()
        if positions:
            await self.seek_wait(positions)

    async def create_topic(self, topic: str, *_args: Any, **_kwargs: Any) -> None:
        """Nothing: topics are declared and checked by `streams/topics.py` before the worker starts."""

    def request_rejoin(self) -> None:
        """See `ChunkThread.request_rejoin`."""
        self._thread.request_rejoin()


class ChunkTransport(Transport):
    """Faust's aiokafka transport with the chunk consumer."""

    Consumer = ChunkConsumer
