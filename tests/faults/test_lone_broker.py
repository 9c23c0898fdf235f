"""A lone broker that restarts has every record that it confirmed.

Workers rely on this. Run the test before changing Kafka's version.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams import topics
from streams.producers import BROKEN, StrictProducer
from tables import catalogue
from tests.faults.brokers import READY_S
from tests.faults.evidence import committed, unstable

if TYPE_CHECKING:
    from operations.local.kafka import LocalKafka
    from streams.settings import Settings

pytestmark = [pytest.mark.faults, pytest.mark.long]

PARTITIONS = 12
ROUNDS = 3
SETTLED_S = 30.0
"""The bound until a restarted broker has written the ends of all transactions."""


async def commit_on(settings: Settings, partition: int, confirmed: dict[int, int]) -> None:
    """Commit small transactions one by one until one fails because the broker ended."""
    producer, source = (
        StrictProducer(settings, f"{settings.app}-{partition}"),
        TopicPartition(settings.topic(catalogue.ORDERS_TOPIC), partition),
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(producer.abandon)
        stack.enter_context(contextlib.suppress(*BROKEN))
        await producer.start()
        while True:
            await producer.begin_transaction()
            for name in (catalogue.SALES_TOPIC, catalogue.CHATS_TOPIC):
                await producer.send(settings.topic(name), b"{}", partition=partition)
            await producer.send_offsets_to_transaction(
                {source: OffsetAndMetadata(confirmed[partition] + 1, "")}, settings.app
            )
            await producer.commit_transaction()
            confirmed[partition] += 1


async def settle(settings: Settings, partition: int) -> None:
    """Start a producer as a worker does first.

    A new producer of an id waits until the previous transaction of that id is ended.
    """
    producer = StrictProducer(settings, f"{settings.app}-{partition}")
    await producer.start()
    await producer.abandon()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_lone_broker_restarts_with_what_it_confirmed(
    settings: Settings, kafka: LocalKafka, how: str
) -> None:
    """It is ended again and again in the middle of commits."""
    settings = settings.model_copy(update={"partitions": PARTITIONS})
    await topics.create(settings)
    confirmed = dict.fromkeys(range(PARTITIONS), 0)
    for number in range(ROUNDS):
        started = dict(confirmed)
        committing = [
            asyncio.create_task(commit_on(settings, partition, confirmed))
            for partition in range(PARTITIONS)
        ]
        deadline = time.monotonic() + SETTLED_S
        while any(confirmed[partition] < started[partition] + 3 for partition in range(PARTITIONS)):
            assert time.monotonic() < deadline, f"round {number}: {started} -> {confirmed}"
            await asyncio.sleep(0.05)
        await asyncio.to_thread(kafka.kill if how == "kill" else kafka.stop)
        await asyncio.to_thread(kafka.start, READY_S)
        for task in committing:
            task.cancel()  # some would wait for the broker and commit more
        await asyncio.gather(*committing, return_exceptions=True)
        async with asyncio.timeout(SETTLED_S):
            await asyncio.gather(*(settle(settings, partition) for partition in range(PARTITIONS)))
        deadline = time.monotonic() + SETTLED_S
        while True:
            found = {
                partition: at or 0
                for (name, partition), at in (await committed(settings)).items()
                if name == catalogue.ORDERS_TOPIC
            }
            hanging = await unstable(settings)
            lost = {
                partition: (at, confirmed[partition])
                for partition, at in found.items()
                if at < confirmed[partition]
            }
            if not hanging and not lost:
                break
            assert time.monotonic() < deadline, f"round {number}: hanging {hanging}, lost {lost}"
            await asyncio.sleep(0.2)
        confirmed = found  # one more than was confirmed if only the answer was lost
