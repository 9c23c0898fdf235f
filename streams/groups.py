"""What an application has left on its cluster.

Its group's committed offsets, and whether there is any state of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.structs import OffsetAndMetadata

    from streams.settings import Settings

_PARTITIONS: Final = "partitions="

UNKNOWN = (
    errors.GroupAuthorizationFailedError,
    errors.GroupCoordinatorNotAvailableError,
    errors.GroupLoadInProgressError,
    errors.NotCoordinatorForGroupError,
)
"""What asking for a group's offsets comes to where this user may not, or the cluster can't
answer yet."""


def layout(partitions: int) -> str:
    """What is committed beside an offset: with how many partitions the state was made.

    Whoever sets an offset by hand leaves it empty.
    """
    return f"{_PARTITIONS}{partitions}"


async def committed(settings: Settings) -> dict[TopicPartition, OffsetAndMetadata]:
    """All offsets that the group has committed. Raises aiokafka's KafkaError."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(
            settings.app
        )
    finally:
        await admin.close()
    return found


def other_count(
    settings: Settings, offsets: Mapping[TopicPartition, OffsetAndMetadata]
) -> int | None:
    """The number of partitions with which the group's state was made, if that is another than the settings'; None also if unknown."""
    texts = {
        one.metadata.removeprefix(_PARTITIONS)
        for one in offsets.values()
        if one.metadata.startswith(_PARTITIONS)
    }
    others = {int(text) for text in texts if text.isdecimal()} - {settings.partitions}
    return min(others, default=None)


async def has_records(settings: Settings, topics: Mapping[str, int]) -> bool:
    """Whether any of some topics, each with how many partitions it has, ever had a record.

    Raises aiokafka's KafkaError.
    """
    if not topics:
        return False
    consumer = AIOKafkaConsumer(
        **settings.client_options(), isolation_level="read_uncommitted", enable_auto_commit=False
    )
    try:
        await consumer.start()
        ends = await consumer.end_offsets(
            [
                TopicPartition(name, number)
                for name, count in topics.items()
                for number in range(count)
            ]
        )
    finally:
        await consumer.stop()
    return any(ends.values())
