"""Writing and reading topics on a real broker.

Order, headers, transactions, and the ends of logs.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import OffsetOutOfRangeError

from streams import log, topics
from streams.errors import KafkaUnreachable
from streams.log_writer import WriteFailed, Writer
from streams.partitioning import partition_of
from streams.settings import Kafka, Settings
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka.structs import ConsumerRecord

LONG_S = 20.0


@pytest.fixture
async def orders(settings: Settings) -> str:
    """The name of a source topic of this test, which is created."""
    await topics.create(settings)
    return settings.topic(catalogue.ORDERS_TOPIC)


async def _all(chunks: AsyncIterator[list[ConsumerRecord]]) -> list[ConsumerRecord]:
    async with asyncio.timeout(LONG_S):
        return [record async for chunk in chunks for record in chunk]


async def test_what_is_written_is_read(settings: Settings, orders: str) -> None:
    """Keys, values, headers, timestamps and tombstones are unchanged, in order by partition."""
    sent = [
        (f"o-{number}".encode(), f"v{number}".encode(), [("h", b"1"), ("h", b"2")], 1000 + number)
        for number in range(5000)
    ]
    async with Writer(settings) as writer:
        for key, value, headers, timestamp_ms in sent:
            await writer.send(orders, key, value, headers, timestamp_ms=timestamp_ms)
        await writer.send(orders, b"gone", None, partition=1)
    records = await _all(log.records(settings, orders))
    expected: dict[int, list[Any]] = {0: [], 1: []}
    for key, value, headers, timestamp_ms in sent:
        expected[partition_of(key, 2)].append((key, value, tuple(headers), timestamp_ms))
    for partition in (0, 1):
        found = [
            (r.key, r.value, r.headers, r.timestamp) for r in records if r.partition == partition
        ]
        if partition == 1:
            assert found.pop()[:3] == (b"gone", None, ())
        assert found == expected[partition]
    assert await log.ends(settings, [orders]) == {
        (orders, 0): len(expected[0]),
        (orders, 1): len(expected[1]) + 1,
    }


async def test_records_without_a_key_go_to_all_partitions_in_turn(
    settings: Settings, orders: str
) -> None:
    """Two partitions get equally many records."""
    async with Writer(settings) as writer:
        for _ in range(10):
            await writer.send(orders, None, b"v")
    assert await log.ends(settings, [orders]) == {(orders, 0): 5, (orders, 1): 5}


async def test_a_part_is_read_from_start_to_end(settings: Settings, orders: str) -> None:
    """Bounds are half-open offsets per partition.

    A partition without bounds is read whole; an empty span is not read.
    """
    async with Writer(settings) as writer:
        for number in range(20):
            await writer.send(orders, None, str(number).encode(), partition=number % 2)
    records = await _all(log.records(settings, orders, start={0: 3}, end={0: 6}))
    assert [record.offset for record in records if record.partition == 0] == [3, 4, 5]
    assert [record.offset for record in records if record.partition == 1] == list(range(10))
    assert await _all(log.records(settings, orders, start={0: 10, 1: 7}, end={1: 7})) == []


async def test_bounds_do_not_wait_for_new_records(settings: Settings, orders: str) -> None:
    """A consumer's own fetch of an idle topic would delay each answer by half a second."""
    seconds = []
    for _ in range(4):
        started_s = time.monotonic()
        beginnings, ends = await log.bounds(settings, [orders])
        seconds.append(time.monotonic() - started_s)
        assert beginnings == ends == {(orders, 0): 0, (orders, 1): 0}
    assert min(seconds) < 0.4


async def test_an_instant_is_an_offset_of_each_partition(settings: Settings, orders: str) -> None:
    """The first record written at or after it; the end where all records are older."""
    async with Writer(settings) as writer:
        for number in range(10):
            await writer.send(orders, None, b"v", partition=0, timestamp_ms=1000 * number)
        await writer.send(orders, None, b"v", partition=1, timestamp_ms=3500)
    for at_ms, offsets in {
        -1: (0, 0),
        3000: (3, 0),
        3001: (4, 0),
        3501: (4, 1),
        9000: (9, 1),
        9001: (10, 1),
    }.items():
        found = await log.offsets_at(settings, [orders], at_ms)
        assert found == {(orders, 0): offsets[0], (orders, 1): offsets[1]}, at_ms


async def test_a_start_that_the_log_never_had_is_an_error(settings: Settings, orders: str) -> None:
    """A reader never resets its position silently."""
    with pytest.raises(OffsetOutOfRangeError):
        await _all(log.records(settings, orders, start={0: 50}, end={0: 60}))


async def _transaction(
    settings: Settings, topic: str, values: list[bytes], *, commit: bool
) -> None:
    async with AIOKafkaProducer(
        **settings.client_options(), transactional_id=f"{settings.app}-t"
    ) as producer:
        await producer.begin_transaction()
        for value in values:
            await producer.send(topic, value, partition=0)
        await (producer.commit_transaction() if commit else producer.abort_transaction())


async def test_a_log_that_ends_in_control_records_ends(settings: Settings, orders: str) -> None:
    """The last offset is a transaction's marker, which is never delivered.

    Aborted records are not delivered either.
    """
    await _transaction(settings, orders, [b"a", b"b"], commit=True)
    await _transaction(settings, orders, [b"x"] * 100, commit=False)
    began = time.monotonic()
    assert [record.value for record in await _all(log.records(settings, orders))] == [b"a", b"b"]
    assert time.monotonic() - began < LONG_S / 2
    assert (await log.ends(settings, [orders]))[orders, 0] == 2 + 1 + 100 + 1


async def test_a_log_of_control_records_alone_ends(settings: Settings, orders: str) -> None:
    """Nothing was ever committed: the result is empty, and reading ends."""
    await _transaction(settings, orders, [b"x"], commit=False)
    assert await _all(log.records(settings, orders)) == []


async def test_an_open_transaction_at_the_end_is_waited_for(
    settings: Settings, orders: str
) -> None:
    """A transaction that is open at the call is read once it is committed."""
    async with AIOKafkaProducer(
        **settings.client_options(), transactional_id=f"{settings.app}-t"
    ) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(orders, b"late", partition=0)
        reading = asyncio.create_task(_all(log.records(settings, orders)))
        await asyncio.sleep(1.5)
        assert not reading.done()
        await producer.commit_transaction()
        assert [record.value for record in await reading] == [b"late"]


async def test_following_gives_records_positions_and_lag(settings: Settings, orders: str) -> None:
    """New records arrive, and the lag ends at 0.

    Steps without records arrive each half second.
    """
    starts = {(orders, 0): 0, (orders, 1): 0}
    values: list[bytes | None] = []
    async with asyncio.timeout(LONG_S), aclosing(log.follow(settings, starts)) as steps:
        step = await anext(steps)
        assert step.records == {}
        assert step.positions == starts
        await _transaction(settings, orders, [b"a", b"b"], commit=True)
        async with Writer(settings) as writer:
            await writer.send(orders, None, b"c", partition=1)
        last = time.monotonic()
        async for step in steps:
            assert time.monotonic() - last < 1.0
            last = time.monotonic()
            values += [record.value for records in step.records.values() for record in records]
            if step.positions == {(orders, 0): 3, (orders, 1): 1} and step.ends == step.positions:
                break
    assert sorted(filter(None, values)) == [b"a", b"b", b"c"]


async def test_following_continues_from_given_positions(settings: Settings, orders: str) -> None:
    """A reader with positions receives only later records.

    It receives them of the partitions that it names.
    """
    async with Writer(settings) as writer:
        for number in range(10):
            await writer.send(orders, None, str(number).encode(), partition=0)
            await writer.send(orders, None, b"other", partition=1)
    async with asyncio.timeout(LONG_S), aclosing(log.follow(settings, {(orders, 0): 7})) as steps:
        found: list[bytes | None] = []
        async for step in steps:
            found += [record.value for records in step.records.values() for record in records]
            if step.positions == {(orders, 0): 10}:
                break
    assert found == [b"7", b"8", b"9"]


async def test_a_batch_that_the_broker_refuses_raises(settings: Settings, orders: str) -> None:
    """A record larger than the topic's limit isn't lost silently."""
    noise = bytes(
        byte
        for number in range(5000)
        for byte in number.to_bytes(2, "little") + (number * 7919 % 65536).to_bytes(2, "big")
    )
    big = b"".join(bytes((byte * factor) % 256 for byte in noise) for factor in range(1, 256, 2))
    with pytest.raises(WriteFailed, match="MessageSizeTooLarge"):
        async with Writer(settings) as writer:
            await writer.send(orders, b"k", big)


async def test_without_a_broker_everything_raises(settings: Settings) -> None:
    """Writing, reading and following raise KafkaUnreachable instead of waiting."""
    nowhere = settings.model_copy(update={"kafka": Kafka(bootstrap_servers="127.0.0.1:1")})
    with pytest.raises(KafkaUnreachable):
        async with Writer(nowhere):
            pass
    with pytest.raises(KafkaUnreachable):
        await _all(log.records(nowhere, "orders"))
    with pytest.raises(KafkaUnreachable):
        await anext(log.follow(nowhere, {("orders", 0): 0}))


async def test_first_records_of_many_partitions(settings: Settings) -> None:
    """Where control records alone are left, that is known soon; an open transaction stops none."""
    wide = settings.model_copy(update={"partitions": 16})
    await topics.create(wide)
    name = wide.topic("orders")
    producer = AIOKafkaProducer(**wide.client_options(), transactional_id=f"{wide.app}-first")
    await producer.start()
    try:
        async with producer.transaction():
            for number in range(16):
                await producer.send(name, b"v", partition=number)
        await producer.begin_transaction()
        await producer.send_and_wait(name, b"open", partition=0)
        starts = {(name, number): 1 for number in range(16)}
        _, ends = await log.bounds(wide, [name])
        found = await log.first(wide, starts, ends, 3.0)
        await producer.abort_transaction()
    finally:
        await producer.stop()
    assert found == dict.fromkeys(list(starts)[1:])
