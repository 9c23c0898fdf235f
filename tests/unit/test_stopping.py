"""Stopping a consumer while a fetch of it pauses after an error."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer

from streams import broker_access
from tests.fetching import Fetches


def stuck() -> tuple[AIOKafkaConsumer, asyncio.Task[None]]:
    """A consumer, and a fetch of it that lets a cancellation through, as in its pause."""
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:9")
    consumer._fetcher = Fetches().fetcher
    fetch = asyncio.create_task(asyncio.sleep(60))
    consumer._fetcher._pending_tasks = {fetch}
    return consumer, fetch


async def test_a_fetch_that_pauses_does_not_end_the_stop() -> None:
    """Nobody cancelled the caller."""
    consumer, fetch = stuck()
    await broker_access.stop(consumer)
    assert fetch.cancelled()


async def test_a_cancelled_caller_is_cancelled() -> None:
    """It must not go on."""

    async def stopping() -> None:
        consumer, _ = stuck()
        asyncio.get_running_loop().call_soon(task.cancel)
        await broker_access.stop(consumer)

    task = asyncio.create_task(stopping())
    with pytest.raises(asyncio.CancelledError):
        await task
