"""One suite over the log in memory and over real Kafka.

Both have the properties that netsold's commit and recovery rely on.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Protocol

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import OffsetAndMetadata

from streams import log
from streams.producers import StrictProducer, is_fenced
from streams.settings import Kafka, Settings
from tests.memory_log import MemoryLog, MemoryProducer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from operations.local.kafka import LocalKafka


Producer = StrictProducer | MemoryProducer


class Cluster(Protocol):
    """What the suite needs: producers by transactional id, and three queries."""

    tp: TopicPartition

    async def started(self, transactional_id: str) -> Producer: ...
    async def committed(self) -> int | None: ...
    async def high_watermark(self) -> int: ...
    async def values(self) -> list[bytes]: ...


GROUP = "contract"


class InMemory:
    def __init__(self) -> None:
        self.log, self.tp = MemoryLog(), TopicPartition("t", 0)

    async def started(self, transactional_id: str) -> Producer:
        async def step(_what: str) -> None:
            pass

        producer = MemoryProducer(self.log, transactional_id, step)
        await producer.start()
        return producer

    async def committed(self) -> int | None:
        return self.log.committed(GROUP, self.tp)

    async def high_watermark(self) -> int:
        return self.log.high_watermark(self.tp)

    async def values(self) -> list[bytes]:
        records, _ = self.log.read(self.tp, 0, 1000)
        return [record.value or b"" for record in records]


class OnKafka:
    def __init__(self, settings: Settings, tp: TopicPartition) -> None:
        self.settings, self.tp = settings, tp

    async def started(self, transactional_id: str) -> Producer:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        await admin.start()
        try:
            # the second time the topic exists, which is no error
            await admin.create_topics([NewTopic(self.tp.topic, 1, 1)])
        finally:
            await admin.close()
        producer = StrictProducer(self.settings, f"{self.tp.topic}-{transactional_id}")
        await producer.start()
        return producer

    async def committed(self) -> int | None:
        group = f"{self.tp.topic}-{GROUP}"
        async with AIOKafkaConsumer(
            **self.settings.client_options(), group_id=group, enable_auto_commit=False
        ) as consumer:
            offset: int | None = await consumer.committed(self.tp)
            return offset

    async def high_watermark(self) -> int:
        return (await log.ends(self.settings, [self.tp.topic]))[self.tp.topic, self.tp.partition]

    async def values(self) -> list[bytes]:
        return [
            record.value or b""
            async for some in log.records(self.settings, self.tp.topic)
            for record in some
        ]


@pytest.fixture
def on_kafka(kafka: LocalKafka) -> OnKafka:
    """The run's Kafka, with a topic that no other test uses."""
    settings = Settings(
        _env_file=None, app="contract", kafka=Kafka(bootstrap_servers=kafka.status().bootstrap)
    )
    return OnKafka(settings, TopicPartition(f"contract-{uuid.uuid4().hex[:10]}", 0))


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The log in memory, then real Kafka."""
    found: Cluster = (
        InMemory() if request.param == "memory" else request.getfixturevalue("on_kafka")
    )
    return found


async def _write(cluster: Cluster, producer: Producer, *values: bytes) -> int:
    """Write values in one batch of the open transaction; returns the first one's offset."""
    batch = producer.batch_for(cluster.tp.topic)
    for value in values:
        batch.append(timestamp=1, key=b"k", value=value)
    future = await producer.send_batch(batch, cluster.tp.topic, partition=cluster.tp.partition)
    return int((await future).offset)


async def _offset(cluster: Cluster, producer: Producer, offset: int) -> None:
    group = GROUP if isinstance(cluster, InMemory) else f"{cluster.tp.topic}-{GROUP}"
    await producer.send_offsets_to_transaction({cluster.tp: OffsetAndMetadata(offset, "")}, group)


async def test_a_committed_transaction_shows_its_records_and_its_offset(cluster: Cluster) -> None:
    """Both appear at once.

    The control record takes an offset that is never delivered.
    """
    producer = await cluster.started("a")
    await producer.begin_transaction()
    assert await _write(cluster, producer, b"1", b"2") == 0
    await _offset(cluster, producer, 7)
    assert await cluster.committed() is None
    await producer.commit_transaction()
    assert await cluster.values() == [b"1", b"2"]
    assert await cluster.high_watermark() == 3
    assert await cluster.committed() == 7
    await producer.begin_transaction()
    assert await _write(cluster, producer, b"3") == 3
    await producer.commit_transaction()
    await producer.abandon()
    assert await cluster.values() == [b"1", b"2", b"3"]


async def test_a_new_producer_of_the_id_aborts_what_the_old_one_left_open(cluster: Cluster) -> None:
    """The old producer's records are never delivered.

    Its offsets are not committed. Its abort marker takes an offset too.
    """
    old = await cluster.started("a")
    await old.begin_transaction()
    await _write(cluster, old, b"lost")
    await _offset(cluster, old, 9)
    new = await cluster.started("a")
    assert await cluster.high_watermark() == 2
    assert await cluster.values() == []
    assert await cluster.committed() is None
    await old.abandon()
    await new.abandon()


@pytest.mark.parametrize("act", ["write", "offsets", "commit"])
async def test_an_old_producer_of_the_id_is_fenced(cluster: Cluster, act: str) -> None:
    """Whatever request it sends next, none of its records is delivered."""
    old = await cluster.started("a")
    await old.begin_transaction()
    await _write(cluster, old, b"lost")
    new = await cluster.started("a")
    todo: dict[str, Callable[[], Awaitable[object]]] = {
        "write": lambda: _write(cluster, old, b"more"),
        "offsets": lambda: _offset(cluster, old, 9),
        "commit": old.commit_transaction,
    }
    with pytest.raises(Exception) as raised:  # noqa: PT011 - aiokafka has several errors for it, see `is_fenced`
        await todo[act]()
    assert is_fenced(raised.value)
    assert await cluster.values() == []
    assert await cluster.committed() is None
    await old.abandon()
    await new.abandon()


async def test_an_open_transaction_hides_all_later_records(cluster: Cluster) -> None:
    """Readers of committed records stop at the last stable offset.

    Records that others have committed at later offsets are not delivered either.
    """
    one, two = await cluster.started("a"), await cluster.started("b")
    await one.begin_transaction()
    await _write(cluster, one, b"open")
    await two.begin_transaction()
    await _write(cluster, two, b"later")
    await two.commit_transaction()
    if isinstance(
        cluster, InMemory
    ):  # a reader of the real log waits for the end of the open transaction
        assert await cluster.values() == []
    await one.commit_transaction()
    assert await cluster.values() == [b"open", b"later"]
    await one.abandon()
    await two.abandon()
