"""The consumer group's committed offsets, and what is committed beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import NetsoldError
from streams import broker_access

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.log import At
    from streams.settings import Settings

_PARTITIONS: Final = "partitions"
_TERMS: Final = "terms"

GROUP_UNREADABLE = (
    errors.GroupAuthorizationFailedError,
    errors.GroupCoordinatorNotAvailableError,
    errors.GroupLoadInProgressError,
    errors.NotCoordinatorForGroupError,
)
"""Errors of reading a group's offsets: this user may not, or the cluster cannot answer yet."""


class GroupInUse(NetsoldError):
    """The group has members, which alone may commit its offsets."""

    exit_code = 5


def layout(partitions: int, terms: str) -> str:
    """The metadata committed beside an offset: partition count and terms that made the state.

    `terms` is their name. Offsets that are set by hand have no metadata.
    """
    return f"{_PARTITIONS}={partitions} {_TERMS}={terms}"


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


async def commit_offsets(settings: Settings, offsets: Mapping[At, int]) -> None:
    """Commit offsets of the group, all by one request, with the metadata that a worker writes.

    Raises GroupInUse where the group has members, and aiokafka's KafkaError.
    """
    consumer = AIOKafkaConsumer(
        **settings.client_options(), group_id=settings.app, enable_auto_commit=False
    )
    beside = layout(settings.partitions, settings.terms.name)
    try:
        await broker_access.start(consumer, settings)
        new = {TopicPartition(*at): OffsetAndMetadata(to, beside) for at, to in offsets.items()}
        consumer.assign(list(new))
        await consumer.commit(new)
    except errors.CommitFailedError as error:
        raise GroupInUse(
            f"group {settings.app} has members again, so its offsets stay as they are: stop all "
            "workers, and run `netsold doctor --mend` again"
        ) from error
    finally:
        await consumer.stop()


def other_count(
    settings: Settings, offsets: Mapping[TopicPartition, OffsetAndMetadata]
) -> int | None:
    """The partition count of the group's state, if it differs from the settings'.

    None if it is the same, or unknown.
    """
    texts = _beside(offsets, _PARTITIONS)
    others = {int(text) for text in texts if text.isdecimal()} - {settings.partitions}
    return min(others, default=None)


def other_terms(
    settings: Settings, offsets: Mapping[TopicPartition, OffsetAndMetadata]
) -> str | None:
    """The name of the terms of the group's state, if they are not the settings'.

    None if they are the same, or unknown.
    """
    return min(_beside(offsets, _TERMS) - {settings.terms.name}, default=None)


def _beside(offsets: Mapping[TopicPartition, OffsetAndMetadata], name: str) -> set[str]:
    """What is committed beside the offsets under a name."""
    words = (word for one in offsets.values() for word in one.metadata.split())
    found = (word.partition("=") for word in words)
    return {value for given, _, value in found if given == name}
