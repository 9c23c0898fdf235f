"""What an operator does to topics and groups, by intention or by mistake."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError
from aiokafka.protocol.admin import DeleteGroupsRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.settings import Settings


@asynccontextmanager
async def administrator(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, closed with the block."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def forget_group(settings: Settings) -> None:
    """Delete the group and its offsets, as Kafka's defaults do after a week without members."""
    async with administrator(settings) as admin:
        coordinator = await admin.find_coordinator(settings.app)
        deadline = time.monotonic() + 30
        while True:
            response = await admin._client.send(coordinator, DeleteGroupsRequest([settings.app]))
            ((_, code),) = response.results
            if code == 0:
                return
            assert time.monotonic() < deadline, f"the group isn't empty: {code}"


async def put_back(settings: Settings, offsets: dict[TopicPartition, int]) -> None:
    """Commit offsets of the group, as `kafka-consumer-groups.sh --reset-offsets` does."""
    consumer = AIOKafkaConsumer(
        **settings.client_options(), group_id=settings.app, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(list(offsets))
        deadline = time.monotonic() + 30
        # A stopped worker is a member until its session ends, and until then Kafka accepts no
        # offsets of others.
        while True:
            try:
                await consumer.commit(offsets)
            except CommitFailedError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.2)
            else:
                return
    finally:
        await consumer.stop()
