"""What the opening of lanes needs of Kafka: producers, bounds of logs, offsets, changelogs.

`recovery` reaches aiokafka only through it, so that tests can put a log in memory in its place
(`tests/memory_log.py`).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import limits
from streams import broker_access, groups
from streams.log import bounds
from streams.producers import StrictProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

    from streams.settings import Settings

FETCH_TIMEOUT_MS: Final = 200

RESTORING: Final[dict[str, Any]] = {
    "isolation_level": "read_committed",
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "max_partition_fetch_bytes": 4 * 1024 * 1024,
    "fetch_max_wait_ms": 100,
}

Bounds = dict[TopicPartition, int]


class Changelogs:
    """Committed records of some changelog partitions, from given positions on."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = list(partitions)

    async def fetch(self) -> tuple[Mapping[TopicPartition, list[ConsumerRecord]], Bounds]:
        """The next records, and each partition's position after them.

        The position passes what is never delivered, such as control records.
        """
        fetched = await self._consumer.getmany(
            timeout_ms=FETCH_TIMEOUT_MS, max_records=limits.RESTORE_RECORDS
        )
        return fetched, {tp: await self._consumer.position(tp) for tp in self._partitions}


class Cluster:
    """The real cluster of some settings.

    Every method raises KafkaError or KafkaUnreachable where Kafka doesn't answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def producer(self, transactional_id: str) -> StrictProducer:
        """A producer that is not started yet."""
        return StrictProducer(self._settings, transactional_id)

    async def bounds(self, topics: Iterable[str]) -> tuple[Bounds, Bounds]:
        """Beginning and high watermark of every partition of topics (names on the cluster)."""
        beginnings, ends = await bounds(self._settings, topics)
        return _by_partition(beginnings), _by_partition(ends)

    async def committed(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int | None]:
        """The group's committed offset in each partition, None where there is none."""
        options = self._settings.client_options()
        async with _running(
            AIOKafkaConsumer(**options, group_id=self._settings.app, enable_auto_commit=False)
        ) as consumer:
            return {tp: await consumer.committed(tp) for tp in partitions}

    async def group_offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """All offsets that the group has committed, with their metadata."""
        return await groups.committed(self._settings)

    @asynccontextmanager
    async def changelogs(
        self, positions: Mapping[TopicPartition, int]
    ) -> AsyncIterator[Changelogs]:
        """A reader of changelog partitions, from these positions on."""
        async with _running(
            AIOKafkaConsumer(**self._settings.client_options(), **RESTORING)
        ) as consumer:
            consumer.assign(list(positions))
            for tp, position in positions.items():
                consumer.seek(tp, position)
            yield Changelogs(consumer, positions)


def _by_partition(offsets: Mapping[tuple[str, int], int]) -> Bounds:
    return {TopicPartition(*at): offset for at, offset in offsets.items()}


@asynccontextmanager
async def _running(consumer: AIOKafkaConsumer) -> AsyncIterator[AIOKafkaConsumer]:
    await consumer.start()
    try:
        yield consumer
    finally:
        await broker_access.stop(consumer)
