"""The consumer group's committed offsets, and what is committed beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.structs import OffsetAndMetadata

    from streams.settings import Settings

_PARTITIONS: Final = "partitions="

GROUP_UNREADABLE = (
    errors.GroupAuthorizationFailedError,
    errors.GroupCoordinatorNotAvailableError,
    errors.GroupLoadInProgressError,
    errors.NotCoordinatorForGroupError,
)
"""Errors of reading a group's offsets: this user may not, or the cluster cannot answer yet."""


def layout(partitions: int) -> str:
    """The metadata committed beside an offset: the partition count that the state was made with.

    Offsets that are set by hand have no metadata.
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
    """The partition count of the group's state, if it differs from the settings'.

    None if it is the same, or unknown.
    """
    texts = {
        one.metadata.removeprefix(_PARTITIONS)
        for one in offsets.values()
        if one.metadata.startswith(_PARTITIONS)
    }
    others = {int(text) for text in texts if text.isdecimal()} - {settings.partitions}
    return min(others, default=None)
