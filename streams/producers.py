"""A transactional aiokafka producer that is given up at the first unknown outcome, never reused.

aiokafka speaks transaction protocol v0 and retries a request whose answer was lost in the same
producer epoch. A copy of the request that arrives late can then end or tear a *later* transaction
(Jepsen on Bufstream 0.1.0, Kafka's KIP-890). Here a lost answer within a transaction ends the
producer. The next producer of the same transactional id has a new epoch and commits or aborts the
open transaction; the mark in the changelog shows which of the two happened.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import CoordinationType
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.sender import (
    BACKOFF_OVERRIDE,
    AddOffsetsToTxnHandler,
    AddPartitionsToTxnHandler,
    EndTxnHandler,
    Sender,
    SendProduceReqHandler,
    TxnOffsetCommitHandler,
)
from aiokafka.util import commit_structure_validate

from schemas import limits
from streams import compression
from tables.catalogue import PUBLIC_TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiokafka import TopicPartition
    from aiokafka.structs import OffsetAndMetadata

    from streams.settings import Settings

BROKEN = (KafkaError, TimeoutError, OSError, IllegalOperation, AssertionError)
"""Errors within a transaction, after which its outcome is unknown. aiokafka raises the last two
at the call after the failed one."""


class OutcomeUnknown(KafkaError):
    """A request within a transaction got no answer: it may or may not have been carried out."""


def _unanswered(request: object, error: KafkaError) -> OutcomeUnknown:
    return OutcomeUnknown(f"no answer to {type(request).__name__}: {error!r}")


class _Strict:
    """Mixed into aiokafka's transaction handlers.

    A lost answer is raised instead of retried in the same epoch.
    """

    _sender: Any
    _default_backoff: float
    group: Any

    async def do(self, node_id: int) -> bool:
        request = self.create_request()  # type: ignore[attr-defined]  # of the aiokafka handler
        try:
            response = await self._sender.client.send(node_id, request, group=self.group)
        except KafkaError as error:
            raise _unanswered(request, error) from error
        backoff = self.handle_response(response)  # type: ignore[attr-defined]  # of the aiokafka handler
        if backoff is None:
            return True
        await asyncio.sleep(backoff)
        return False


class _AddPartitions(_Strict, AddPartitionsToTxnHandler):
    pass


class _AddOffsets(_Strict, AddOffsetsToTxnHandler):
    def __init__(self, sender: Sender, group_id: str) -> None:
        super().__init__(sender, group_id)
        # markers of the transaction before are being written: as long as for partitions
        self._default_backoff = BACKOFF_OVERRIDE


class _OffsetCommit(_Strict, TxnOffsetCommitHandler):
    pass


class _EndTransaction(_Strict, EndTxnHandler):
    pass


class _Produce(SendProduceReqHandler):
    async def do(self, node_id: int) -> None:
        request = self.create_request()
        try:
            response = await self._client.send(node_id, request)
        except KafkaError as error:
            raise _unanswered(request, error) from error
        self.handle_response(response)
        if self._to_reenqueue:
            # answered and retriable: the same epoch and sequence numbers, so the outcome is known
            await asyncio.sleep(self._default_backoff)
            for batch in self._to_reenqueue:
                self._sender._message_accumulator.reenqueue(batch)  # noqa: SLF001 - as aiokafka's own handler does
            await self._client._maybe_wait_metadata()  # noqa: SLF001 - as above


class _StrictSender(Sender):
    def _maybe_do_transactional_request(self) -> asyncio.Task[Any] | None:
        manager = self._txn_manager
        added, group_id = manager.partitions_to_add(), manager.consumer_group_to_add()
        if added and group_id is not None:
            return asyncio.create_task(self._begin_with_offsets(added, group_id))
        task: asyncio.Task[Any] | None = super()._maybe_do_transactional_request()
        return task

    async def _begin_with_offsets(self, added: Any, group_id: str) -> None:
        """Send both requests at once: a broker carries out those of a connection in their order."""
        results = await asyncio.gather(
            self._do_add_partitions_to_txn(added),
            self._do_add_offsets_to_txn(group_id),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _do_add_partitions_to_txn(self, tps: Any) -> Any:
        return await _AddPartitions(self, tps).do(await self._transaction_coordinator())

    async def _do_add_offsets_to_txn(self, group_id: str) -> Any:
        return await _AddOffsets(self, group_id).do(await self._transaction_coordinator())

    async def _do_txn_offset_commit(self, offsets: Any, group_id: str) -> None:
        node = await self._find_coordinator(CoordinationType.GROUP, group_id)
        await _OffsetCommit(self, offsets, group_id).do(node)

    async def _do_txn_commit(self, commit_result: bool) -> None:  # noqa: FBT001 - aiokafka's signature
        await self._message_accumulator.flush_for_commit()
        if self._txn_manager.is_empty_transaction():
            self._txn_manager.complete_transaction()
            return
        await _EndTransaction(self, commit_result).do(await self._transaction_coordinator())

    async def _send_produce_req(self, node_id: int, batches: Any) -> None:
        await _Produce(self, batches).do(node_id)
        self._in_flight.remove(node_id)
        for tp in batches:
            self._muted_partitions.remove(tp)

    async def _transaction_coordinator(self) -> int:
        node: int = await self._find_coordinator(
            CoordinationType.TRANSACTION, self._txn_manager.transactional_id
        )
        return node


class StrictProducer(AIOKafkaProducer):
    """One transactional producer.

    `start` fences every older producer of the same id and commits or aborts its open transaction.
    """

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        compression.quicken()
        self._public = {settings.topic(topic.name) for topic in PUBLIC_TOPICS}
        self._compression = settings.compression
        super().__init__(
            **settings.client_options(),
            transactional_id=transactional_id,
            transaction_timeout_ms=settings.transaction_timeout_ms,
            compression_type=compression.CHANGELOGS,
            max_batch_size=limits.BATCH_BYTES,
            max_request_size=limits.REQUEST_BYTES,
            request_timeout_ms=settings.transaction_timeout_ms,
        )
        self._sender = _StrictSender(
            self.client,
            acks=-1,
            txn_manager=self._txn_manager,
            retry_backoff_ms=50,
            message_accumulator=self._message_accumulator,
            request_timeout_ms=settings.transaction_timeout_ms,
        )

    def batch_for(self, topic: str) -> BatchBuilder:
        """An empty batch, compressed in a way that the topic's readers can read."""
        used = self._compression if topic in self._public else compression.CHANGELOGS
        return compression.batch(limits.BATCH_BYTES, used, transactional=True)

    async def begin_transaction(self) -> None:
        """Begin a transaction; as aiokafka's."""
        await super().begin_transaction()
        self._txn_manager.wait_for_transaction_end().add_done_callback(retrieve)

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_id: str
    ) -> None:
        """Send a group's offsets within the transaction; as aiokafka's."""
        if not self._txn_manager.is_in_transaction():  # an error has ended it
            raise IllegalOperation("Not in the middle of a transaction")
        sent = self._txn_manager.add_offsets_to_txn(commit_structure_validate(offsets), group_id)
        # one that is given up by a time-out may fail later, as its producer was fenced meanwhile
        sent.add_done_callback(retrieve)
        await asyncio.shield(sent)

    async def abandon(self) -> None:
        """Close the connections and drop what is unsent.

        The next producer of this id commits or aborts an open transaction.
        """
        await abandon(self)
        _ = self.fault  # or asyncio warns that nobody retrieved it

    @property
    def fault(self) -> BaseException | None:
        """What ended the transaction, if that is known. A call after it raises another error."""
        waiter = self._txn_manager._transaction_waiter  # noqa: SLF001 - no public way
        is_known = waiter is not None and waiter.done() and not waiter.cancelled()
        fault: BaseException | None = waiter.exception() if is_known else None
        return fault


async def abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer's connections within about a second and drop what is not confirmed.

    Its own `stop` waits for the confirmations without end.
    """
    producer._closed = True  # noqa: SLF001 - no public way
    task = producer._sender.sender_task  # noqa: SLF001 - as above
    if task is not None:
        task.remove_done_callback(producer._sender._fail_all)  # noqa: SLF001 - no task waits for its batches
        task.add_done_callback(retrieve)
        task.cancel()
    await producer.client.close()
    if task is not None:
        await asyncio.wait([task], timeout=1.0)
    unsent = producer._message_accumulator  # noqa: SLF001 - as above
    for batch in chain(unsent._pending_batches, *unsent._batches.values()):  # noqa: SLF001 - as above
        waiter = batch._drain_waiter  # noqa: SLF001 - as above
        if waiter.done():
            retrieve(waiter)


def retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve the error of what nobody may wait for any more, or asyncio logs it as forgotten."""
    if not future.cancelled():
        future.exception()


Headers = list[tuple[str, bytes]]
Item = tuple[tuple[bytes | None, bytes | None], Headers]
"""A record's key and value, and its headers."""


def fill(batch: BatchBuilder, items: Iterator[Item], now_ms: int) -> Item | None:
    """Append records to a batch until it is full; the first that did not fit, or None if all did.

    Does what `BatchBuilder.append` does for each record, without a result object a record: events
    cause several records each.
    """
    append, count, unfit = batch._builder.append, batch.record_count(), None  # noqa: SLF001 - no public way
    for item in items:
        (key, value), headers = item
        if append(count, now_ms, key, value, headers) is None:
            unfit = item
            break
        count += 1
    batch._relative_offset = count  # noqa: SLF001 - as above
    return unfit


def begin_batch(batch: BatchBuilder, first: Item, timestamp_ms: int | None) -> None:
    """Append the record that begins a batch: an empty batch accepts a record of any size."""
    (key, value), headers = first
    batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)


def is_fenced(error: BaseException) -> bool:
    """Whether an error, or its cause, means that a newer producer of the same id exists."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (ProducerFenced, InvalidProducerEpoch)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
