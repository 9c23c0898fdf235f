"""Every topic of netsold with its policy, in one list: creates topics and checks existing ones.

Existing topics are never changed here; `topic_policy.py` decides which differences are refused.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from schemas import limits
from schemas.times import DAY_MS
from streams import broker_access, groups, log
from streams.metadata import metadata, request_any
from streams.topic_policy import Mismatch, Seen, Topic, TopicsUnfit, compare, not_parkable
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from streams.settings import Settings

DEAD_LETTER_DAYS = 30

_ALREADY_EXISTS = 36
_TOPIC_RESOURCE = 2

# Producers compress, and the broker keeps their batches unchanged; a record's timestamp is when its
# producer wrote it.
_ALL = {"compression.type": "producer", "message.timestamp.type": "CreateTime"}
_KEPT = _ALL | {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_PARKED = _KEPT | {
    "retention.ms": str(DEAD_LETTER_DAYS * DAY_MS),
    "max.message.bytes": str(limits.DEAD_LETTER_BYTES),
}
DELETIONS_MS = DAY_MS
"""How long, at least, a changelog keeps the tombstone of a deleted row: Kafka's default."""

# Never `compact,delete`: totals of all time are never cleared (C4).
_COMPACTED = _ALL | {"cleanup.policy": "compact", "delete.retention.ms": str(DELETIONS_MS)}
_PUBLIC = {
    "dead letters": _PARKED,
    "rows": _COMPACTED,
    "names": _COMPACTED,
    "control": _COMPACTED,
}
"""By kind: the policies of public topics that are not kept for ever."""


def changelog(settings: Settings, table: str) -> str:
    """The name of a table's changelog topic, as Faust names it.

    It belongs to the application, so it has no topic prefix.
    """
    return f"{settings.app}-{table}-changelog"


def declared(settings: Settings) -> tuple[Topic, ...]:
    """Every topic that this application needs: the catalogue's public topics and its tables'.

    Each has its name on the cluster, and `min.insync.replicas` by setting.
    """
    insync = {"min.insync.replicas": str(settings.kafka.min_insync_replicas)}
    public = [
        Topic(
            settings.topic(topic.name),
            topic.kind,
            topic.key,
            _PUBLIC.get(topic.kind, _KEPT) | insync,
            topic.contents,
        )
        for topic in catalogue.PUBLIC_TOPICS
    ]
    changelogs = [
        Topic(
            changelog(settings, table.name),
            "changelog",
            "the table's",
            _COMPACTED | insync,
            f"table {table.name}: the last value per key",
        )
        for table in catalogue.TABLES
    ]
    return *public, *changelogs


async def create(settings: Settings) -> list[str]:
    """Create the missing topics, wait until the cluster shows them, and return their names.

    Existing topics are left as they are: `check` compares them. Raises KafkaUnreachable, or
    aiokafka's KafkaError with the broker's reason where the broker refuses.
    """
    async with _client(settings) as client:
        wanted = declared(settings)
        present = (await metadata(client, [topic.name for topic in wanted])).topics
        missing = [topic for topic in wanted if topic.name not in present]
        if not missing:
            return []
        copies = settings.kafka.replication_factor
        requests = [
            (
                topic.name,
                settings.partitions_of(topic.name),
                copies,
                (),
                tuple(topic.configs.items()),
            )
            for topic in missing
        ]
        response = await request_any(
            client, CreateTopicsRequest(requests, 30_000, validate_only=False)
        )
        created = []
        for name, code, message in response.topic_errors:
            if code == 0:
                created.append(name)
            elif code != _ALREADY_EXISTS:
                raise for_code(code)(f"topic {name} can't be created: {message}")
        await _until_shown(client, [topic.name for topic in missing])
        return created


async def check(settings: Settings) -> list[Mismatch]:
    """The differences of the cluster's topics from the declared ones; none when all fit.

    Raises KafkaUnreachable.
    """
    async with _client(settings) as client:
        wanted = declared(settings)
        seen = await _describe(client, [topic.name for topic in wanted])
    stateful, needed = await _state(
        settings,
        {topic.name: seen[topic.name].partitions for topic in wanted if topic.name in seen},
    )
    shared = {
        topic.name: settings.partitions_of(topic.name)
        for topic in wanted
        if settings.partitions_of(topic.name) != settings.partitions
    }
    found = [
        mismatch
        for topic in wanted
        for mismatch in compare(
            topic, seen.get(topic.name), shared.get(topic.name, needed), stateful=stateful
        )
    ]
    return found + not_parkable(wanted, seen)


async def _state(settings: Settings, counts: Mapping[str, int]) -> tuple[bool, int]:
    """Whether the application has state, and how many partitions each of its topics must have.

    `counts` has the present number of partitions by topic. State needs the number that it was made
    with, whatever the settings are, as far as the group's committed offsets record it.
    """
    changelogs = counts.keys() & {changelog(settings, table.name) for table in catalogue.TABLES}
    stateful = bool(changelogs) and any((await log.ends(settings, changelogs)).values())
    if not stateful and all(
        count == settings.partitions_of(name) for name, count in counts.items()
    ):
        # a new application: the cluster need not know its group yet
        return False, settings.partitions
    try:
        offsets = await groups.committed(settings)
    except groups.GROUP_UNREADABLE:
        return stateful, settings.partitions
    return stateful or bool(offsets), groups.other_count(settings, offsets) or settings.partitions


async def require(settings: Settings) -> None:
    """Raise TopicsUnfit unless every topic exists and fits."""
    mismatches = await check(settings)
    if mismatches:
        raise TopicsUnfit(mismatches)


async def require_sources(settings: Settings) -> None:
    """Raise TopicsUnfit unless the topics of events exist and fit: what producers write.

    Those of the application itself may be gone, as its version was dropped.
    """
    names = {settings.topic(name) for name in catalogue.EVENT_TOPICS}
    mismatches = [one for one in await check(settings) if one.topic in names]
    if mismatches:
        raise TopicsUnfit(mismatches)


async def topic_ids(settings: Settings) -> dict[str, str]:
    """The cluster's id of each declared topic that exists, by name.

    Another id means another log of the same name.
    """
    return await ids_of(settings, [topic.name for topic in declared(settings)])


async def ids_of(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """The cluster's id of each of these topics that exists, by name. Raises KafkaUnreachable."""
    async with _client(settings) as client:
        found = await metadata(client, names)
    return {name: topic_id for name, (topic_id, _) in found.topics.items()}


async def cluster_id(settings: Settings) -> str:
    """The cluster's id. Raises KafkaUnreachable."""
    async with _client(settings) as client:
        return (await metadata(client, [])).cluster_id


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(**settings.client_options(), client_id=f"{settings.app}-topics")
    await broker_access.bootstrap(client, settings)
    try:
        yield client
    finally:
        await client.close()


async def _describe(client: AIOKafkaClient, names: Sequence[str]) -> dict[str, Seen]:
    topics = (await metadata(client, names)).topics
    if not topics:
        return {}
    resources = [(_TOPIC_RESOURCE, name, None) for name in topics]
    response = await request_any(client, DescribeConfigsRequest(resources))
    seen = {}
    for code, message, _, name, entries in response.resources:
        if code != 0:
            raise for_code(code)(f"the configs of topic {name} can't be read: {message}")
        topic_id, partitions = topics[name]
        seen[name] = Seen(topic_id, partitions, {entry[0]: entry[1] for entry in entries})
    return seen


async def _until_shown(client: AIOKafkaClient, names: Sequence[str], wait_s: float = 30.0) -> None:
    deadline = time.monotonic() + wait_s
    while len((await metadata(client, names)).topics) < len(names):
        if time.monotonic() > deadline:
            message = (
                f"topics {', '.join(names)} were created, "
                f"but the cluster doesn't show them after {wait_s:.0f} s"
            )
            raise KafkaError(message)
        await asyncio.sleep(0.05)
