"""Plain writing of topics in batches, for tools and tests: idempotent, without transactions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from schemas import limits
from schemas.errors import NetsoldError
from streams import broker_access, compression
from streams.partitioning import partition_of
from streams.producers import abandon, begin_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.log import At
    from streams.partitioning import Partitioner
    from streams.settings import Settings


class WriteFailed(NetsoldError):
    """The brokers did not confirm a batch of records: some of what was sent may be missing."""


@dataclass(slots=True)
class _Batch:
    """Records of one partition on their way to the brokers.

    `first` is the number of records that were sent before its first one.
    """

    at: At
    builder: Any
    first: int
    records: int = 0


class Writer:
    """Writes records to topics in batches, idempotently; for one task at a time.

    A record waits in its partition's batch until the batch is full, or `push` or `flush` is called.
    The order within a partition is kept. While no broker accepts records, all three wait without
    end: the caller bounds that by cancelling. A failure raises WriteFailed at the next call.
    Records are numbered as they are sent: the first `in_order` of them are confirmed without a gap.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = _producer(settings)
        self._partitions = _Partitions(settings, self._producer)
        self._open: dict[At, _Batch] = {}
        self._unconfirmed: dict[asyncio.Future[Any], _Batch] = {}
        self._failure: WriteFailed | None = None
        self._sent = 0
        self.written: dict[At, int] = {}
        """How many records the brokers have confirmed."""

        self.positions: dict[At, int] = {}
        """The offset of the last confirmed record."""

    async def __aenter__(self) -> Self:
        """Connect. Raises KafkaUnreachable."""
        try:
            await broker_access.start(self._producer, self._settings)
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
        """How many of the sent records are not confirmed."""
        return self._sent - sum(self.written.values())

    @property
    def in_order(self) -> int:
        """How many of the sent records, counted from the first one, are confirmed without a gap."""
        waiting = [*self._open.values(), *self._unconfirmed.values()]
        return min((batch.first for batch in waiting), default=self._sent)

    async def send(  # noqa: PLR0913, PLR0917 - the parts of a record
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Add a record to its partition's batch.

        Waits only while that partition's earlier batches are under way.

        `topic` is the name on the cluster. Without `partition` the key decides, by the topic's
        partitioner; records without a key go to all partitions in turn. `timestamp_ms` is when the
        record was written, now if None.
        """
        if partition is None:
            partition = await self._partitions.of(topic, key)
        at = (topic, partition)
        # aiokafka's builder accepts only a list
        listed = headers if isinstance(headers, list) else list(headers)
        batch = self._open.get(at)
        fits = batch is not None and (
            batch.builder.append(timestamp=timestamp_ms, key=key, value=value, headers=listed)
            is not None
        )
        if batch is None or not fits:
            if batch is not None:
                await self._hand_over(batch)
            builder = self._producer.create_batch()
            begin_batch(builder, ((key, value), listed), timestamp_ms)
            batch = self._open[at] = _Batch(at, builder, self._sent)
        batch.records += 1
        self._sent += 1

    async def push(self) -> None:
        """Hand over all open batches; their confirmation is not waited for."""
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
        """Give a batch to the client.

        The client accepts at most two batches of a partition at a time, and makes us wait.
        """
        topic, partition = batch.at
        while True:
            self.check()
            try:
                future = await self._producer.send_batch(batch.builder, topic, partition=partition)
            except KafkaTimeoutError:  # earlier batches are still under way
                continue
            except KafkaError as error:
                raise WriteFailed(f"{topic}-{partition}: {error!r}") from error
            break
        del self._open[batch.at]
        self._unconfirmed[future] = batch
        future.add_done_callback(self._settle)

    def _settle(self, future: asyncio.Future[Any]) -> None:
        """Count a confirmed batch, or keep the first failure for the next call to raise."""
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


class _Partitions:
    """Chooses the partitions of records; a topic's partitions are read from the cluster once."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._layouts: dict[str, tuple[int, Partitioner]] = {}
        self._keyless = 0

    async def of(self, topic: str, key: bytes | None) -> int:
        """The partition of a key; without a key, each in turn. Raises WriteFailed."""
        count, partitioner = self._layouts.get(topic) or await self._layout(topic)
        if key is not None:
            return partition_of(key, count, partitioner)
        self._keyless += 1
        return self._keyless % count

    async def _layout(self, topic: str) -> tuple[int, Partitioner]:
        try:
            count = len(await self._producer.partitions_for(topic))
        except KafkaError as error:
            raise WriteFailed(f"{topic}: its partitions aren't known: {error!r}") from error
        layout = self._layouts[topic] = count, self._settings.partitioner_of(topic)
        return layout


def _producer(settings: Settings) -> AIOKafkaProducer:
    compression.quicken()
    producer = AIOKafkaProducer(
        **settings.client_options(),
        enable_idempotence=True,
        compression_type=compression.option(settings.compression),
        max_batch_size=limits.WRITE_BATCH_BYTES,
    )
    # A partition without a leader is waited for like a broker that is away: a batch that is given
    # up would leave a gap in its sequence.
    producer._message_accumulator._batch_ttl = inf  # noqa: SLF001 - no public way
    return producer
