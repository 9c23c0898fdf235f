"""Plain writing and reading of topics, for tools and readers.

No groups, no state, committed records only.

`read` ends at the log's end as it is when called, `follow` never ends. Neither moves any committed
offset.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError
from aiokafka.structs import ConsumerRecord

from schemas import limits
from streams import batches, compression
from streams.errors import KafkaUnreachable
from streams.partitioning import Partitioner, partition_of
from streams.producers import abandon
from streams.refused import why_not
from streams.settings import Settings

At = tuple[str, int]
"""A partition: the topic's name on the cluster, and the partition's number."""

Headers = Sequence[tuple[str, bytes]]

FETCH_WAIT_MS = 100
POLL_MS = 500
QUIET_ANSWERS = 2
"""So many answers without records, with everything before the end stable, and none comes any
more; a single answer's records may arrive just after `getmany` gave up waiting."""


READING_FAILS: Final = (KafkaUnreachable, KafkaError, OSError)
"""What reading raises where Kafka is the matter: not reachable, or unable to give what was asked
for."""


class WriteFailed(Exception):
    """A batch of records wasn't confirmed by the brokers: some of what was sent may be missing."""

    exit_code = 1


@dataclass(slots=True)
class _Batch:
    """Records of one partition on their way.

    `first` is how many records were sent before its first one.
    """

    at: At
    builder: Any
    first: int
    records: int = 0


class Writer:
    """Writes records to topics in batches, idempotently; for one task at a time.

    A record waits in its partition's batch until that is full, or `push` or `flush` is called. The
    order within a partition is kept. While no broker takes them, all three wait, without end: the
    caller bounds that by cancelling. A failure raises WriteFailed at the next of them. Records are
    counted as they are sent: `in_order` of them are confirmed without a gap.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        compression.quicken()
        self._producer = AIOKafkaProducer(
            **settings.client_options(),
            enable_idempotence=True,
            compression_type=compression.option(settings.compression),
            max_batch_size=limits.WRITE_BATCH_BYTES,
        )
        # A partition without a leader is waited for as a broker that is away: a batch given up
        # would leave a gap in its sequence.
        self._producer._message_accumulator._batch_ttl = inf  # noqa: SLF001 - no public way
        self._layouts: dict[str, tuple[int, Partitioner]] = {}
        self._open: dict[At, _Batch] = {}
        self._unconfirmed: dict[asyncio.Future[Any], _Batch] = {}
        self._failure: WriteFailed | None = None
        self._sent = 0
        self._keyless = 0
        self.written: dict[At, int] = {}
        """How many records the brokers have confirmed."""

        self.positions: dict[At, int] = {}
        """The offset of the last record that is confirmed."""

    async def __aenter__(self) -> Self:
        """Connect. Raises KafkaUnreachable."""
        try:
            await _start(self._producer, self._settings)
        except BaseException:
            await abandon(self._producer)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Flush, unless the block failed or was cancelled, and disconnect."""
        try:
            if kind is None:
                await self.flush()
        finally:
            await abandon(self._producer)

    @property
    def unconfirmed(self) -> int:
        """How many of the records sent aren't confirmed."""
        return self._sent - sum(self.written.values())

    @property
    def in_order(self) -> int:
        """So many of the records sent, from the first one on, are all confirmed."""
        return min(
            (
                batch.first
                for batches in (self._open, self._unconfirmed)
                for batch in batches.values()
            ),
            default=self._sent,
        )

    async def send(  # noqa: PLR0913, PLR0917 - the parts of a record
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Put a record into its partition's batch.

        Waits only while that partition's earlier batches are under way.

        `topic` is the name on the cluster. Without `partition` the key decides, by the topic's
        partitioner; records without a key take turns. `timestamp_ms` is when the record was
        written, now if None.
        """
        if partition is None:
            count, partitioner = self._layouts.get(topic) or await self._layout(topic)
            if key is None:
                self._keyless += 1
            partition = (
                self._keyless % count if key is None else partition_of(key, count, partitioner)
            )
        at = (topic, partition)
        listed = (
            headers if isinstance(headers, list) else list(headers)
        )  # aiokafka's builder takes nothing else
        batch = self._open.get(at)
        if (
            batch is None
            or batch.builder.append(timestamp=timestamp_ms, key=key, value=value, headers=listed)
            is None
        ):
            if batch is not None:
                await self._hand_over(batch)
            batch = self._open[at] = _Batch(at, self._producer.create_batch(), self._sent)
            batch.builder.append(
                timestamp=timestamp_ms, key=key, value=value, headers=listed
            )  # an empty batch takes any record
        batch.records += 1
        self._sent += 1

    async def push(self) -> None:
        """Hand over what waits for more records; its confirmation isn't waited for."""
        for batch in list(self._open.values()):
            await self._hand_over(batch)
        self.check()

    async def flush(self) -> None:
        """Wait until the brokers have confirmed everything sent so far."""
        await self.push()
        if self._unconfirmed:
            await asyncio.wait(self._unconfirmed)
        self.check()

    def check(self) -> None:
        """Raise WriteFailed if a batch has failed (aiokafka's own flush counts it as flushed)."""
        if self._failure is not None:
            raise self._failure

    async def _hand_over(self, batch: _Batch) -> None:
        """Give a batch to the client, which holds at most two of a partition and makes us wait for room."""
        topic, partition = batch.at
        while True:
            self.check()
            try:
                future = await self._producer.send_batch(batch.builder, topic, partition=partition)
            except KafkaTimeoutError:  # the ones before it are still under way
                continue
            except KafkaError as error:
                raise WriteFailed(f"{topic}-{partition}: {error!r}") from error
            break
        del self._open[batch.at]
        self._unconfirmed[future] = batch
        future.add_done_callback(self._settle)

    def _settle(self, future: asyncio.Future[Any]) -> None:
        """Count a batch that is confirmed.

        Remember the first failure, which is raised at the next chance.
        """
        if future.cancelled():
            return
        batch = self._unconfirmed[future]
        topic, partition = batch.at
        error = future.exception()
        if error is None:
            del self._unconfirmed[future]
            self.written[batch.at] = self.written.get(batch.at, 0) + batch.records
            self.positions[batch.at] = future.result().offset + batch.records - 1
        elif self._failure is None:
            self._failure = WriteFailed(
                f"{topic}-{partition}: the brokers didn't confirm a batch: {error!r}"
            )
            self._failure.__cause__ = error

    async def _layout(self, topic: str) -> tuple[int, Partitioner]:
        try:
            count = len(await self._producer.partitions_for(topic))
        except KafkaError as error:
            raise WriteFailed(f"{topic}: its partitions aren't known: {error!r}") from error
        layout = self._layouts[topic] = count, self._settings.partitioner_of(topic)
        return layout


async def ends(settings: Settings, topics: Iterable[str]) -> dict[At, int]:
    """The high watermark of every partition of topics (names on the cluster).

    Where the next record goes. Raises KafkaUnreachable.
    """
    return (await bounds(settings, topics))[1]


async def read(
    settings: Settings,
    topic: str,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
) -> AsyncGenerator[list[ConsumerRecord], None]:
    """Committed records of all partitions of a topic, `start` ≤ offset < `end`, in lists of one partition each, in its order.

    Partitions that `start` or `end` doesn't name go from the log's beginning to its high watermark at the call. A transaction
    open at the end is waited for. Leave the loop early only under `contextlib.aclosing`. Raises KafkaUnreachable, and
    aiokafka's OffsetOutOfRangeError where the log no longer has a start.
    """
    beginnings, highs = await bounds(settings, [topic])
    starts = {at: (start or {}).get(at[1], beginning) for at, beginning in beginnings.items()}
    targets = {at: (end or {}).get(at[1], high) for at, high in highs.items()}
    left = {
        at: _Remaining(targets[at], position)
        for at, position in starts.items()
        if position < targets[at]
    }
    if not left:
        return
    async with _reader(settings, {at: starts[at] for at in left}) as consumer:
        while left:
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            for at, remaining in list(left.items()):
                tp = TopicPartition(*at)
                records = fetched.get(tp, [])
                if records and records[-1].offset >= remaining.end:
                    records = [record for record in records if record.offset < remaining.end]
                if remaining.over(
                    await consumer.position(tp),
                    consumer.last_stable_offset(tp),
                    consumer.last_poll_timestamp(tp),
                ):
                    del left[at]
                    consumer.pause(tp)
                if records:
                    yield records


async def first(
    settings: Settings, starts: Mapping[At, int], ends: Mapping[At, int], within_s: float
) -> dict[At, ConsumerRecord | None]:
    """The first committed record of each partition, `start` ≤ offset < `end`.

    None where there is none, such as control records alone.

    Partitions of which that isn't known `within_s`, as a transaction is open there, are left out.
    Raises as `read`.
    """
    deadline = time.monotonic() + within_s
    found: dict[At, ConsumerRecord | None] = {}
    async with _reader(settings, {}, limits.FIRST_FETCH_BYTES) as consumer:
        # One partition at a time: a broker returns a whole batch of the first one at least, and of
        # the others none that is larger than the bound.
        for at, start in starts.items():
            tp, remaining = TopicPartition(*at), _Remaining(ends[at], start)
            consumer.assign([tp])
            consumer.seek(tp, start)
            while time.monotonic() < deadline:
                fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=1)
                records = [record for record in fetched.get(tp, []) if record.offset < ends[at]]
                position, stable = await consumer.position(tp), consumer.last_stable_offset(tp)
                if records or remaining.over(position, stable, consumer.last_poll_timestamp(tp)):
                    found[at] = records[0] if records else None
                    break
    return found


@dataclass(frozen=True, slots=True)
class Fetched:
    """One step of `follow`; `records` may be empty.

    `positions` are the offsets to go on from, after these records: use them, and not a record's
    offset + 1, as they also step over what is never delivered. `ends` are the high watermarks as
    last heard, so `ends[at] - positions[at]` is the lag. `behind` are the partitions not yet read
    to the end that their log had when the following began. `answered_ms` is when a broker last
    answered, be it that there is nothing new, by this machine's clock; None before it has.
    """

    records: dict[At, list[ConsumerRecord]]
    positions: dict[At, int]
    ends: dict[At, int]
    behind: frozenset[At]
    answered_ms: int | None = None


async def follow(settings: Settings, starts: Mapping[At, int]) -> AsyncGenerator[Fetched, None]:
    """Committed records from `starts` on, without end.

    Yields at least every half second, whether or not there are any.

    Only partitions that `starts` names are followed. Lost connections are mended by the client.
    Raises KafkaUnreachable at first, and aiokafka's OffsetOutOfRangeError where the log no longer
    has a position.
    """
    known = await ends(settings, {topic for topic, _ in starts})
    left = {at: _Remaining(known[at], start) for at, start in starts.items() if start < known[at]}
    async with _reader(settings, starts) as consumer:
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=limits.FOLLOW_RECORDS)
            positions = {at: await consumer.position(TopicPartition(*at)) for at in starts}
            heard = {at: consumer.highwater(TopicPartition(*at)) for at in starts}
            known |= {at: high for at, high in heard.items() if high is not None}
            answered = {at: consumer.last_poll_timestamp(TopicPartition(*at)) for at in starts}
            for at, remaining in list(left.items()):
                if remaining.over(
                    positions[at], consumer.last_stable_offset(TopicPartition(*at)), answered[at]
                ):
                    del left[at]
            yield Fetched(
                {(tp.topic, tp.partition): records for tp, records in fetched.items()},
                positions,
                {at: known[at] for at in starts},
                frozenset(left),
                max((at_ms for at_ms in answered.values() if at_ms is not None), default=None),
            )


class _Remaining:
    """Tells when a partition is read to `end`, although its last offset may never be delivered.

    Usually the position says so: it steps over transactions' control records. If the very last ones
    were cleaned away, it stands before the end for ever; then empty answers to fetches, with
    everything before the end stable, say so.
    """

    def __init__(self, end: int, position: int) -> None:
        self.end = end
        self._position = position
        self._answered_ms: int | None = None
        self._quiet = 0

    def over(self, position: int, stable: int | None, answered_ms: int | None) -> bool:
        """After each fetch: the position, the last stable offset, and when the last answer came (both None before the first)."""
        if position >= self.end:
            return True
        if position != self._position or stable is None or stable < self.end:
            self._position, self._quiet = position, 0
        elif answered_ms != self._answered_ms:
            self._quiet += 1
        self._answered_ms = answered_ms
        return self._quiet >= QUIET_ANSWERS


async def bounds(settings: Settings, topics: Iterable[str]) -> tuple[dict[At, int], dict[At, int]]:
    """Beginning and high watermark of every partition of topics (names on the cluster).

    Raises KafkaUnreachable.
    """
    # an uncommitted view: the ends of a read_committed client are the last stable offsets, before
    # any open transaction
    consumer = AIOKafkaConsumer(
        *topics,
        **settings.client_options(),
        isolation_level="read_uncommitted",
        enable_auto_commit=False,
    )
    try:
        await _start(consumer, settings)
        partitions = sorted(consumer.assignment())
        beginnings = await consumer.beginning_offsets(partitions)
        highs = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    return {(tp.topic, tp.partition): beginnings[tp] for tp in partitions}, {
        (tp.topic, tp.partition): highs[tp] for tp in partitions
    }


@asynccontextmanager
async def _reader(
    settings: Settings, starts: Mapping[At, int], fetch_bytes: int = limits.FETCH_BYTES
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of committed records that stands at `starts` and refuses to jump elsewhere."""
    batches.tolerate()
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    try:
        await _start(consumer, settings)
        if starts:
            consumer.assign([TopicPartition(*at) for at in starts])
        for at, offset in starts.items():
            consumer.seek(TopicPartition(*at), offset)
        yield consumer
    finally:
        await consumer.stop()


async def _start(client: AIOKafkaConsumer | AIOKafkaProducer, settings: Settings) -> None:
    try:
        await client.start()
    except KafkaConnectionError as error:
        await client.stop()
        raise KafkaUnreachable(await why_not(settings)) from error
