"""A Faust transport that hands over one message per fetched chunk of a partition's records.

Faust's per-event path costs about 300 microseconds an event; per chunk it is paid once for
thousands. Assignment, rebalancing, agents and tables stay Faust's. Offsets are not: they are
committed by the chunk's own transaction, so Faust's acks, gaps and commits never see these topics
(`acks=False`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import faust
from aiokafka.consumer.fetcher import FetchError, FetchResult
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, ConsumerMessage

from schemas.envelope import ChatMessage, Received
from streams import batches
from streams.fetched import Fetched
from streams.pipeline import Fatal
from tables.product_stage import ProductAddition
from tables.shop_stage import ShopAddition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import AIOKafkaConsumer

    from streams.batches import TolerantRecords
    from tables.outcome import Readings


FETCH_WAIT_MS = 100
"""How long a broker may hold back a fetch for which it has nothing, where Faust has 1,500.

aiokafka has one fetch under way with each broker, and leaves out partitions of which records are at hand. So those that run dry in
the meantime wait for the others to get something: a second and a half, with nothing to do.
"""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the records of one partition say, in order.

    `start` and `end` are fetch positions (half-open).

    Transactions leave control records that are never delivered, so `end` may lie behind the last
    record's offset + 1, and the first record behind `start`: only the chain of positions shows that
    nothing is missing.
    """

    tp: TP
    readings: Readings
    start: int
    end: int
    fetched: TolerantRecords
    """Where the records themselves can be looked up again, to park them."""

    def cut(self, most: int) -> tuple[Chunk, Chunk | None]:
        """Its first records, at most so many, and the rest, which continues them.

        None where nothing is left.
        """
        if len(self.readings) <= most:
            return self, None
        at = self.readings[most - 1][0] + 1
        return replace(self, readings=self.readings[:most], end=at), replace(
            self, readings=self.readings[most:], start=at
        )

    def __str__(self) -> str:
        """For messages: which records of which partition, and what most of them are about, if there is such a thing."""
        count, place = (
            len(self.readings),
            f"{self.tp.topic}-{self.tp.partition}@{self.start}..{self.end}",
        )
        subjects = Counter(map(_subject, (what for _, what in self.readings)))
        subject, most = max(subjects.items(), key=itemgetter(1), default=(None, 0))
        if subject is None or 2 * most < count:
            return f"{place}: {count:,} records"
        return f"{place}: {most:,} of {count:,} records are of {subject}"


def _subject(what: object) -> str | None:
    """What a record is about that was read by a stage: that of which one state is kept."""
    if isinstance(what, Received):
        return f"order {what.order_id}"
    if isinstance(what, ChatMessage):
        return f"the conversation of {what.shop_id} and {what.buyer_id}"
    if isinstance(what, ProductAddition):
        return f"product {what.key.decode()}"
    return f"shop {what.key.decode()}" if isinstance(what, ShopAddition) else None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Fetch positions of a partition, half-open."""

    start: int
    end: int


class ChunkSchema(faust.Schema):
    """Passes chunks through untouched.

    Keys and values are decoded in the pure core, where bad ones can be parked.
    """

    def loads_key(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """Nothing: a chunk has no key."""
        return None

    def loads_value(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """The chunk itself."""
        return message.value


class ChunkThread(AIOKafkaConsumerThread):
    """Faust's consumer thread, fetching committed records only.

    What it has fetched, the worker's own thread reads (`ChunkConsumer`).
    """

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        batches.tolerate()
        consumer = super()._create_worker_consumer(transport)
        # Faust couples this to its own exactly_once, which we don't use; it is read when the
        # consumer starts
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - no public setter
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - as above
        return consumer

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,  # noqa: ARG002 - as above
    ) -> dict[TP, FetchResult]:
        """What is fetched by now and waits to be read, by partition."""
        fetcher = consumer._fetcher  # noqa: SLF001 - Faust itself fetches here, `getmany` adds an auto-commit
        waiting = self._waiting(fetcher, active_partitions)
        if not waiting and self.consumer.flow_active:
            waiter = fetcher._create_fetch_waiter()  # noqa: SLF001 - as above
            done, _ = await asyncio.wait([waiter], timeout=timeout)
            waiter.cancel()
            for fetched in done:
                fetched.result()  # an authorization error ends the consumer, it must not be lost
            waiting = self._waiting(fetcher, active_partitions)
        return waiting

    def _waiting(self, fetcher: Any, active: set[TP]) -> dict[TP, FetchResult]:
        # while partitions are assigned anew, what was fetched may not be ours any more
        if (
            not self.consumer.flow_active
            or not active
            or fetcher._subscriptions.reassignment_in_progress  # noqa: SLF001 - no public way
        ):
            return {}
        waiting = {tp: fetched for tp, fetched in fetcher._records.items() if tp in active}  # noqa: SLF001 - as above
        for tp, fetched in waiting.items():
            if isinstance(fetched, FetchError):
                self._forget(fetched, tp)
                fetched.check_raise()
        return waiting

    def advance(self, fetched: FetchResult, tp: TP, read: Stretch) -> None:
        """From the worker's thread: this stretch was read of what was fetched."""
        self.thread_loop.call_soon_threadsafe(
            self._advance,
            fetched._assignment.state_value(tp),  # noqa: SLF001 - no public way
            read,
        )

    def forget(self, fetched: FetchResult, tp: TP) -> None:
        """From the worker's thread: of this no more can be read, so the next can be fetched."""
        self.thread_loop.call_soon_threadsafe(self._forget, fetched, tp)

    def _advance(self, state: Any, read: Stretch) -> None:
        if (
            state.has_valid_position and state.position == read.start
        ):  # else somebody has sought in the meantime
            state.consumed_to(read.end)

    def _forget(self, fetched: FetchResult | FetchError, tp: TP) -> None:
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001 - as above
        if fetcher._records.get(tp) is fetched:  # noqa: SLF001 - as above
            del fetcher._records[tp]  # noqa: SLF001 - as above
            fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001 - as above

    def last_stable_offset(self, tp: TP) -> int | None:
        """The end of what can be read now, as last heard."""
        stable: int | None = self._ensure_consumer().last_stable_offset(tp)
        return stable

    def request_rejoin(self) -> None:
        """Make the group rebalance: everything is revoked, assigned and checked anew."""
        consumer = self._ensure_consumer()
        self.thread_loop.call_soon_threadsafe(consumer._coordinator.request_rejoin)  # noqa: SLF001 - no public way


class ChunkConsumer(Consumer):
    """Reads what was fetched, chunk by chunk; leaves seeking to the positions that the lanes hold.

    It reads in the worker's own thread, which folds what it has read: only one of two threads
    computes at a time, and each has to fetch from memory what the other has touched (decision 24).
    """

    _thread: ChunkThread

    def _new_consumer_thread(self) -> ChunkThread:
        self._fetched: dict[TP, Fetched] = {}
        self._undelivered: dict[
            TP, Stretch
        ] = {}  # behind each partition's last chunk: control records only
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's
        """One message per partition of which something was fetched, its next chunk.

        None while the flow is stopped.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = self._get_active_partitions()
        waiting = await self._getmany(
            active, timeout
        )  # not Faust's way round it, which sleeps a second while none is active
        generation = self.app.consumer_generation_id
        for tp, result in sorted(waiting.items()):
            if (
                self.should_stop
                or not self.flow_active
                or generation != self.app.consumer_generation_id
            ):
                return
            if tp in active:
                try:
                    chunk = self._chunk(tp, result)
                except Fatal as error:
                    self._forget(self._fetched[tp])  # what was begun must not be gone on with
                    self.app.leave(error)
                    return
                if chunk is not None:
                    yield chunk.tp, self._to_message(chunk.tp, chunk)

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: partitions take turns, and whoever brings a chunk waits until the agent has room for it.

        Faust would leave out this one until the agent's queue is empty, which one other partition that has much to bring can put off
        for ever.
        """

    def _chunk(self, tp: TP, result: FetchResult) -> Chunk | None:
        """The next chunk of what was fetched.

        None if it holds no more, or isn't what comes next any more. Raises Fatal.
        """
        fetched = self._fetched.get(tp)
        if fetched is None or fetched.result is not result:
            fetched = self._fetched[tp] = Fetched(tp, result)
        start = fetched.position
        if not fetched.is_next():
            self._forget(fetched)
            return None
        readings = fetched.take(
            self.app.pipeline.most_records(tp), self.app.pipeline.opener.reading(tp)
        )
        end = fetched.position
        self._thread.advance(result, tp, Stretch(start, end))
        if not fetched.more:
            self._forget(fetched)
        before = self._undelivered.get(tp)
        joined = (
            before.start if before is not None and before.end == start else start
        )  # else somebody has sought
        self._undelivered[tp] = Stretch(end if readings else joined, end)
        return (
            Chunk(TP(tp.topic, tp.partition), readings, joined, end, fetched.records)
            if readings
            else None
        )

    def _forget(self, fetched: Fetched) -> None:
        del self._fetched[fetched.tp]
        self._thread.forget(fetched.result, fetched.tp)

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
        if stable is None:
            return None
        stretch = self._undelivered.get(tp)
        return max(
            0,
            stable
            - (stretch.end if stretch is not None and stretch.start == position else position),
        )

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
