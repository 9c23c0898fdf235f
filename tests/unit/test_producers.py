"""What a worker's producer leaves behind when it is given up."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from streams.producers import StrictProducer, is_fenced
from streams.settings import Kafka, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SETTINGS = Settings(_env_file=None, kafka=Kafka(bootstrap_servers="nowhere:1"))
OFFSETS = {TopicPartition("orders", 0): OffsetAndMetadata(7, "")}


@pytest.fixture
async def forgotten() -> AsyncIterator[list[dict[str, Any]]]:
    """What asyncio logs during a test as errors that nobody has retrieved."""
    loop, found = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


async def in_transaction() -> StrictProducer:
    """A producer within a transaction; it has no connection, so no request is answered."""
    producer = StrictProducer(SETTINGS, "netsold-order-0")
    producer._txn_manager.set_pid_and_epoch(1, 0)
    await producer.begin_transaction()
    return producer


async def test_a_fence_that_arrives_after_the_time_out_is_not_logged_as_forgotten(
    forgotten: list[dict[str, Any]],
) -> None:
    """As in a worker that was frozen: its clock runs out first, then the broker's answer comes."""
    producer = await in_transaction()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await producer.send_offsets_to_transaction(OFFSETS, "netsold")
    producer._txn_manager.error_transaction(KafkaError("the group's answer"))
    producer._txn_manager.fatal_error(ProducerFenced())
    await producer.abandon()
    assert producer.fault is not None
    assert is_fenced(producer.fault)
    del producer
    gc.collect()
    await asyncio.sleep(0)
    assert forgotten == []


async def test_a_sender_that_fails_while_it_is_given_up_is_not_logged_as_forgotten(
    forgotten: list[dict[str, Any]],
) -> None:
    """Its request under way ends in a fence, and nobody waits for its task any more."""
    producer = await in_transaction()

    async def sends() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ProducerFenced from None

    task = producer._sender._sender_task = asyncio.create_task(sends())
    await asyncio.sleep(0)
    await producer.abandon()
    assert task.done()
    del task, producer
    gc.collect()
    await asyncio.sleep(0)
    assert forgotten == []
