"""Deletes what belongs to one version of a family alone: its topics and its group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import CoordinationType
from aiokafka.errors import GroupIdNotFound, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest

from streams import brokers
from streams.copied import is_copied
from streams.topics import declared, topic_ids
from tables.catalogue import EVENT_TOPICS, FAMILY_TOPICS

if TYPE_CHECKING:
    from collections.abc import Collection

    from streams.settings import Settings


async def own_topics(settings: Settings, shared: Collection[str] = ()) -> list[str]:
    """The names of the existing topics of a version, without those of its family.

    `shared` are more topics that others use: a copied log is a version's own unless another reads
    it, too. Raises KafkaUnreachable.
    """
    family = {*FAMILY_TOPICS} - ({*EVENT_TOPICS} if is_copied(settings) else set())
    others = {settings.topic(name) for name in family} | {*shared}
    existing = await topic_ids(settings)
    return [topic.name for topic in declared(settings) if topic.name in existing.keys() - others]


async def delete_topics(settings: Settings, names: Collection[str]) -> None:
    """Delete topics by their names on the cluster. Raises aiokafka's KafkaError."""
    if not names:
        return
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        response = await admin.delete_topics(sorted(names))
    finally:
        await admin.close()
    for name, code, *_ in response.topic_error_codes:
        if code:
            raise for_code(code)(f"topic {name} can't be deleted")


async def delete_group(settings: Settings, group: str) -> None:
    """Delete a group and its offsets; it must have no members. Raises aiokafka's KafkaError."""
    async with brokers.connected(settings, "versions") as client:
        node = next(broker.nodeId for broker in client.cluster.brokers())
        found = await client.send(node, FindCoordinatorRequest(group, CoordinationType.GROUP))
        if found.error_code:
            raise for_code(found.error_code)(f"group {group}")
        response = await client.send(found.coordinator_id, DeleteGroupsRequest([group]))
    for _, code in response.results:
        if code not in {0, GroupIdNotFound.errno}:
            raise for_code(code)(f"group {group} can't be deleted")
