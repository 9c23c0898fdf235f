"""Faust's consumer, made to deliver chunks."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, Mock

import pytest
from faust.transport.conductor import ConductorCompiler
from faust.types import TP
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from streams.app import build_app
from streams.chunk_reader import ChunkReader
from streams.chunks import ChunkConsumer
from streams.paced_buffer import PacedBuffer
from streams.settings import Kafka, Settings
from tests.fetching import SALES, Fetches, batch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def consumer(tmp_path: Path) -> ChunkConsumer:
    """A worker's consumer, never connected, whose flow is open."""
    kafka = Kafka(bootstrap_servers="127.0.0.1:1")
    settings = Settings(_env_file=None, data_dir=tmp_path, kafka=kafka)
    consumer = build_app(settings, "w", "cluster", {}).consumer
    assert isinstance(consumer, ChunkConsumer)
    consumer.resume_flow()
    return consumer


async def test_a_fault_while_decoding_ends_the_worker(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chunk is made of later records, which would skip the record."""
    fetches, ends = Fetches(), list[str]()
    monkeypatch.setattr(
        consumer,
        "_reader",
        ChunkReader(PacedBuffer(fetches.fetcher, 0, lambda _: False, lambda _: True)),
    )
    monkeypatch.setattr(consumer, "_active_partitions", {TP(*SALES)})
    monkeypatch.setattr(consumer.app, "leave", lambda error: ends.append(str(error)))
    monkeypatch.setattr(
        consumer.transport.lanes, "decoder_of", lambda _: lambda record: 1 // int(record.value)
    )
    fetches.fetch(batch(0, b"1", b"0", b"2"))
    waiting = PacedBuffer(fetches.fetcher, 0, lambda _: False, lambda _: True).waiting({SALES})
    monkeypatch.setattr(consumer, "_getmany", AsyncMock(return_value=waiting))
    assert [message async for message in consumer.getmany(1.0)] == []
    (end,) = ends
    assert end.startswith("sales-0@1: ZeroDivisionError(")
    assert fetches.state.position == 0


async def test_nothing_is_read_while_the_flow_is_stopped(consumer: ChunkConsumer) -> None:
    """During a rebalance no position moves."""
    fetches = Fetches()
    fetches.fetch(batch(0, b"a"))
    thread, buffer = (
        consumer._thread,
        PacedBuffer(fetches.fetcher, 0, lambda _: False, lambda _: True),
    )
    assert list(thread._waiting(buffer, {TP(*SALES)})) == [SALES]
    consumer.stop_flow()
    assert thread._waiting(buffer, {TP(*SALES)}) == {}


async def test_committed_records_are_fetched_and_no_others(consumer: ChunkConsumer) -> None:
    """A fetch without records is answered soon.

    Other partitions needn't wait for it.
    """
    made = consumer._thread._create_worker_consumer(consumer.transport)
    assert made._isolation_level == "read_committed"


async def test_every_partition_has_its_turn(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No partition is skipped or waits longer than the others.

    All have more chunks than the agent's queue has room for. Chunks reach it by Faust's own code.
    """
    partitions = [TP("sales", number) for number in range(4)]
    monkeypatch.setattr(consumer, "_active_partitions", set(partitions))
    queue = ThrowableQueue(maxsize=1, flow_control=FlowControlEvent(initially_suspended=False))
    channel = Mock(
        key_type=None,
        value_type=None,
        queue=queue,
        put=queue.put,
        decode=AsyncMock(side_effect=lambda message, **_: message),
    )
    app = Mock(consumer=consumer)
    app.flow_control.acquire = app.producer.buffer.wait_until_ebb = AsyncMock()
    deliver = {tp: ConductorCompiler().build(Mock(app=app), tp, {channel}) for tp in partitions}

    async def fetch() -> None:
        while True:
            for tp in sorted(consumer._get_active_partitions()):
                await deliver[tp](Mock(tp=tp))
            await asyncio.sleep(0)

    fetching = asyncio.create_task(fetch())
    delivered: Counter[TP] = Counter()
    async with asyncio.timeout(5.0):
        for _ in range(40):
            delivered[(await queue.get()).tp] += 1
            await asyncio.sleep(0)  # the next chunk is delivered during a fold
            await asyncio.sleep(0)
    fetching.cancel()
    assert delivered == dict.fromkeys(partitions, 10)
