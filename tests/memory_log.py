"""Kafka's log in memory: partitions, transactions, fencing, control records, committed offsets.

It has no network and no clock. It implements what netsold relies on and no more:
`tests/contracts/test_log_contract.py` runs one suite over it and over a real broker.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder

from schemas import limits
from streams.batches import TolerantRecords

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiokafka.structs import OffsetAndMetadata

T = TypeVar("T")

NO_COMPRESSION = 0


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """A record as a consumer receives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class _Entry:
    """One offset of a partition: a record, or the control record (None) that ends a transaction."""

    record: MemoryRecord | None
    transaction: _Transaction | None = None


@dataclass(slots=True, eq=False)
class _Transaction:
    """A transaction; `committed` is None while it is open."""

    committed: bool | None = None
    partitions: dict[TopicPartition, int] = field(default_factory=dict)
    """The first offset of the transaction in each partition that it has written to."""

    offsets: dict[tuple[str, TopicPartition], OffsetAndMetadata] = field(default_factory=dict)


class MemoryLog:
    """One cluster. Every method is atomic; the caller decides what runs between two calls."""

    def __init__(self) -> None:
        self._partitions: defaultdict[TopicPartition, list[_Entry]] = defaultdict(list)
        self._epochs: dict[str, int] = {}
        self._open: dict[str, _Transaction] = {}
        self._committed: dict[tuple[str, TopicPartition], OffsetAndMetadata] = {}

    # --- requests of a transactional producer

    def init(self, transactional_id: str) -> int:
        """A new epoch for this id: fences its older producers and aborts their transaction."""
        self._epochs[transactional_id] = self._epochs.get(transactional_id, -1) + 1
        self._end(transactional_id, commit=False)
        return self._epochs[transactional_id]

    def append(
        self, transactional_id: str, epoch: int, tp: TopicPartition, records: Iterable[MemoryRecord]
    ) -> int:
        """Write records in the transaction; returns the first offset. Raises ProducerFenced."""
        self._refuse_older(transactional_id, epoch)
        transaction = self._open.setdefault(transactional_id, _Transaction())
        return self._append(tp, records, transaction)

    def add_offsets(
        self,
        transactional_id: str,
        epoch: int,
        group: str,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
    ) -> None:
        """Add offsets that are committed with the transaction. Raises ProducerFenced."""
        self._refuse_older(transactional_id, epoch)
        transaction = self._open.setdefault(transactional_id, _Transaction())
        transaction.offsets |= {(group, tp): offset for tp, offset in offsets.items()}

    def end(self, transactional_id: str, epoch: int, *, commit: bool) -> None:
        """Commit or abort the open transaction; without one, nothing. Raises ProducerFenced."""
        self._refuse_older(transactional_id, epoch)
        self._end(transactional_id, commit=commit)

    def _refuse_older(self, transactional_id: str, epoch: int) -> None:
        if epoch != self._epochs[transactional_id]:
            raise ProducerFenced

    def _end(self, transactional_id: str, *, commit: bool) -> None:
        transaction = self._open.pop(transactional_id, None)
        if transaction is None:
            return
        transaction.committed = commit
        for tp in transaction.partitions:
            self._partitions[tp].append(_Entry(None))
        if commit:
            self._committed |= transaction.offsets

    def _append(
        self, tp: TopicPartition, records: Iterable[MemoryRecord], transaction: _Transaction | None
    ) -> int:
        entries = self._partitions[tp]
        base = len(entries)
        if transaction is not None:
            transaction.partitions.setdefault(tp, base)
        for number, one in enumerate(records, base):
            entries.append(
                _Entry(
                    MemoryRecord(number, one.timestamp, one.key, one.value, one.headers),
                    transaction,
                )
            )
        return base

    # --- requests of other clients

    def write(self, tp: TopicPartition, record: MemoryRecord) -> int:
        """Write one record outside of any transaction; returns its offset."""
        return self._append(tp, [record], None)

    def committed(self, group: str, tp: TopicPartition) -> int | None:
        """The group's committed offset."""
        found = self._committed.get((group, tp))
        return None if found is None else found.offset

    def group_offsets(self, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
        """All that a group has committed, with the metadata beside it."""
        return {tp: found for (name, tp), found in self._committed.items() if name == group}

    def high_watermark(self, tp: TopicPartition) -> int:
        """The offset of the next record."""
        return len(self._partitions[tp])

    def last_stable_offset(self, tp: TopicPartition) -> int:
        """The offset at which a reader of committed records must stop.

        It is the first offset of an open transaction, or else the high watermark.
        """
        firsts = [
            transaction.partitions[tp]
            for transaction in self._open.values()
            if tp in transaction.partitions
        ]
        return min([*firsts, self.high_watermark(tp)])

    def read(self, tp: TopicPartition, position: int, most: int) -> tuple[list[MemoryRecord], int]:
        """At most `most` committed records from a position on, and the position after them.

        That position passes control records and aborted records.
        """
        found: list[MemoryRecord] = []
        stable, entries = self.last_stable_offset(tp), self._partitions[tp]
        while position < stable and len(found) < most:
            entry = entries[position]
            if entry.record is not None and (
                entry.transaction is None or entry.transaction.committed
            ):
                found.append(entry.record)
            position += 1
        return found, position


class MemoryProducer:
    """Used in place of `streams.producers.StrictProducer`.

    `step` is awaited before and after each request, with a text such as `before init`. So a
    schedule can run others in between, lose a request (raise before it), lose an answer (raise
    after it), or end the process.
    """

    def __init__(
        self, log: MemoryLog, transactional_id: str, step: Callable[[str], Awaitable[None]]
    ) -> None:
        self._log = log
        self._id = transactional_id
        self._step = step
        self._epoch: int | None = None
        self._in_transaction = False
        self.fault: BaseException | None = None

    async def _request(self, what: str, carry_out: Callable[[], T]) -> T:
        await self._step(f"before {what}")
        result = carry_out()
        await self._step(f"after {what}")
        return result

    def _known_epoch(self) -> int:
        if self._epoch is None:
            raise IllegalOperation("the producer was not started, or is given up")
        return self._epoch

    async def start(self) -> None:
        """Fence older producers of the id and abort their open transaction."""
        self._epoch = await self._request("init", lambda: self._log.init(self._id))

    async def begin_transaction(self) -> None:
        """Sends no request: Kafka learns of a transaction by its first write."""
        if self._in_transaction:
            raise IllegalOperation("a transaction is open already")
        self._in_transaction = True

    def batch_for(self, topic: str) -> BatchBuilder:  # noqa: ARG002 - the real one compresses by topic
        """An empty batch, as aiokafka makes it."""
        return BatchBuilder(limits.BATCH_BYTES, NO_COMPRESSION, is_transactional=True)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[Any]:
        """Write a batch; the future is done, with the base offset or the error."""
        records, left = [], TolerantRecords(bytes(batch._build()))
        while left.has_next():
            records += [
                MemoryRecord(0, one.timestamp, one.key, one.value, tuple(one.headers))
                for one in left.next_batch().records()
            ]
        return await self._write(TopicPartition(topic, partition), records)

    async def send(
        self, topic: str, value: bytes, key: bytes, partition: int
    ) -> asyncio.Future[Any]:
        """Write one record."""
        return await self._write(TopicPartition(topic, partition), [MemoryRecord(0, 0, key, value)])

    async def _write(self, tp: TopicPartition, records: list[MemoryRecord]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        epoch = self._known_epoch()
        try:
            base = await self._request(
                f"produce to {tp.topic}-{tp.partition}",
                lambda: self._log.append(self._id, epoch, tp, records),
            )
        except Exception as error:  # noqa: BLE001 - the batch's future gets any error, as aiokafka's does
            future.set_exception(error)
        else:
            future.set_result(MemoryMetadata(base))
        return future

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group: str
    ) -> None:
        """Add offsets that are committed with the transaction."""
        epoch = self._known_epoch()
        await self._request(
            "offsets", lambda: self._log.add_offsets(self._id, epoch, group, offsets)
        )

    async def commit_transaction(self) -> None:
        """Commit the open transaction."""
        epoch = self._known_epoch()
        await self._request("commit", lambda: self._log.end(self._id, epoch, commit=True))
        self._in_transaction = False

    async def abort_transaction(self) -> None:
        """Abort the open transaction."""
        epoch = self._known_epoch()
        await self._request("abort", lambda: self._log.end(self._id, epoch, commit=False))
        self._in_transaction = False

    async def abandon(self) -> None:
        """End its use; an open transaction stays open until the next producer of the id."""
        self._epoch = None


@dataclass(frozen=True, slots=True)
class MemoryMetadata:
    """The result of a written batch's future."""

    offset: int
