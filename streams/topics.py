"""Every topic of netsold with its policy, in one list.

Declares them on a cluster, and refuses to work with topics that don't fit.

Topics are never changed here: a mismatch is told with its remedy, since each of them (a compacted
source, a finite retention, another partition count) loses or scatters data that only a person can
decide about.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from schemas import limits
from streams import groups
from streams.errors import KafkaUnreachable
from streams.metadata import ask, metadata
from streams.refused import why_not
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from streams.settings import Settings

DEAD_LETTER_DAYS = 30
_ALREADY_EXISTS = 36
_TOPIC_RESOURCE = 2

Kind = catalogue.TopicKind | Literal["changelog"]

# Producers compress, so that the broker keeps batches as they come; the record timestamp is when
# the producer wrote.
_ALL = {"compression.type": "producer", "message.timestamp.type": "CreateTime"}
_KEPT = _ALL | {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_PARKED = _KEPT | {
    "retention.ms": str(DEAD_LETTER_DAYS * 86_400_000),
    "max.message.bytes": str(limits.DEAD_LETTER_BYTES),
}
DELETIONS_MS = 86_400_000
"""How long, at least, a changelog tells that a row is gone: Kafka's default."""

# Never `compact,delete`: totals of all time are never cleared (C4).
_COMPACTED = _ALL | {"cleanup.policy": "compact", "delete.retention.ms": str(DELETIONS_MS)}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: `name` on the cluster, what its key is, its policy as Kafka's own topic configs, and what it is for."""

    name: str
    kind: Kind
    key: str
    configs: dict[str, str] = field(hash=False)
    meaning: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A topic as the cluster describes it.

    `topic_id` is another one once a topic of this name was deleted and created again.
    """

    topic_id: str
    partitions: int
    configs: dict[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One way in which a topic on the cluster doesn't fit.

    `aspect` is `missing`, `partitions` or the name of a topic config.
    """

    topic: str
    aspect: str
    actual: str
    wanted: str
    remedy: str

    def __str__(self) -> str:
        """One sentence: which topic, what it is, what it should be, what to do."""
        if self.aspect == "missing":
            return f"topic {self.topic} is missing: {self.remedy}"
        return f"topic {self.topic} has {self.aspect} {self.actual} where netsold needs {self.wanted}: {self.remedy}"


class TopicsUnfit(Exception):
    """Topics of this application are missing or have a policy that would lose data.

    `mismatches` holds each of them.
    """

    exit_code = 1

    def __init__(self, mismatches: Sequence[Mismatch]) -> None:
        super().__init__("; ".join(map(str, mismatches)))
        self.mismatches = tuple(mismatches)


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
            (_PARKED if topic.kind == "dead letters" else _KEPT) | insync,
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


_OTHER_COUNT = (
    "keys would move away from their state, so NETSOLD_PARTITIONS and the topics stay as they were when it was made: "
    "undo what was changed, or copy the log and rebuild under another NETSOLD_APP and NETSOLD_TOPIC_PREFIX (docs/runbook.md, Rebuild)"
)


def compare(
    topic: Topic, seen: Seen | None, partitions: int, *, stateful: bool = False
) -> list[Mismatch]:
    """How a topic differs from its declaration in ways that lose or scatter data.

    Empty when it fits.

    Larger limits than declared fit, and so does any replication: those are the operator's.
    `stateful`: whether the application has state, which is bound to the number of partitions that
    it was made with.
    """
    if seen is None:
        return [
            Mismatch(topic.name, "missing", "nothing", "the topic", "run `netsold topics create`")
        ]
    found = []
    if seen.partitions != partitions:
        set_it = f"set NETSOLD_PARTITIONS={seen.partitions}, or use another NETSOLD_APP and NETSOLD_TOPIC_PREFIX"
        remedy = _OTHER_COUNT if stateful else set_it
        found.append(
            Mismatch(topic.name, "partitions", str(seen.partitions), str(partitions), remedy)
        )
    for name in (
        "cleanup.policy",
        "retention.ms",
        "retention.bytes",
        "max.message.bytes",
        "delete.retention.ms",
    ):
        wanted = topic.configs.get(name)
        if wanted is not None and not _fits(name, actual := seen.configs[name], wanted):
            found.append(
                Mismatch(topic.name, name, actual, wanted, _alter(topic.name, name, wanted))
            )
    return found


def not_parkable(declared_: Sequence[Topic], seen: Mapping[str, Seen]) -> list[Mismatch]:
    """The source topics that take larger records than dead letters do.

    One that can't be read, nor parked, would stop its partition.
    """
    name = "max.message.bytes"
    bounds = {
        topic.name: int(seen[topic.name].configs[name]) for topic in declared_ if topic.name in seen
    }
    (dead_letters,) = (topic.name for topic in declared_ if topic.kind == "dead letters")
    most = bounds.get(dead_letters, 0) - limits.PARKING_BYTES
    sources = (
        [topic.name for topic in declared_ if topic.kind == "source" and topic.name in bounds]
        if dead_letters in bounds
        else []
    )
    return [
        Mismatch(
            source,
            name,
            str(bounds[source]),
            f"at most {most}",
            _alter(dead_letters, name, str(bounds[source] + limits.PARKING_BYTES)),
        )
        for source in sources
        if bounds[source] > most
    ]


def _alter(topic: str, name: str, wanted: str) -> str:
    return f"run `kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {name}={wanted}`"


def _fits(name: str, actual: str, wanted: str) -> bool:
    if name == "cleanup.policy":
        return actual == wanted
    if name.startswith("retention") and actual == "-1":
        return True
    return wanted != "-1" and int(actual) >= int(wanted)


async def create(settings: Settings) -> list[str]:
    """Create what is missing, wait until the cluster shows it, and return the names of what was created.

    Topics that exist are left as they are: `check` tells whether they fit. Raises KafkaUnreachable, or aiokafka's KafkaError
    with the broker's reason where it refuses.
    """
    async with _client(settings) as client:
        wanted = declared(settings)
        present = (await metadata(client, [topic.name for topic in wanted])).topics
        missing = [topic for topic in wanted if topic.name not in present]
        if not missing:
            return []
        copies = settings.kafka.replication_factor
        requests = [
            (topic.name, settings.partitions, copies, (), tuple(topic.configs.items()))
            for topic in missing
        ]
        response = await ask(client, CreateTopicsRequest(requests, 30_000, validate_only=False))
        created = []
        for name, code, message in response.topic_errors:
            if code == 0:
                created.append(name)
            elif code != _ALREADY_EXISTS:
                raise for_code(code)(f"topic {name} can't be created: {message}")
        await _until_shown(client, [topic.name for topic in missing])
        return created


async def check(settings: Settings) -> list[Mismatch]:
    """Compare the cluster's topics with the declared ones; empty when all fit.

    Raises KafkaUnreachable.
    """
    async with _client(settings) as client:
        wanted = declared(settings)
        seen = await _describe(client, [topic.name for topic in wanted])
    stateful, needed = await _state(
        settings,
        {topic.name: seen[topic.name].partitions for topic in wanted if topic.name in seen},
    )
    found = [
        mismatch
        for topic in wanted
        for mismatch in compare(topic, seen.get(topic.name), needed, stateful=stateful)
    ]
    return found + not_parkable(wanted, seen)


async def _state(settings: Settings, counts: Mapping[str, int]) -> tuple[bool, int]:
    """Whether the application has state, and how many partitions each of its topics must have.

    `counts` are those that they have.

    State needs as many as it was made with, whatever the settings say, where its group tells how
    many that is.
    """
    changelogs = {
        name: count
        for table in catalogue.TABLES
        if (count := counts.get(name := changelog(settings, table.name))) is not None
    }
    stateful = await groups.has_records(settings, changelogs)
    if not stateful and all(count == settings.partitions for count in counts.values()):
        return (
            False,
            settings.partitions,
        )  # a new application: its group needn't be known to the cluster yet
    try:
        offsets = await groups.committed(settings)
    except groups.UNKNOWN:
        return stateful, settings.partitions
    return stateful or bool(offsets), groups.other_count(settings, offsets) or settings.partitions


async def require(settings: Settings) -> None:
    """Raise TopicsUnfit unless every topic exists and fits."""
    mismatches = await check(settings)
    if mismatches:
        raise TopicsUnfit(mismatches)


async def topic_ids(settings: Settings) -> dict[str, str]:
    """The cluster's id of each declared topic that exists, by name.

    Another id means another log, whatever its name.
    """
    async with _client(settings) as client:
        found = await metadata(client, [topic.name for topic in declared(settings)])
    return {name: topic_id for name, (topic_id, _) in found.topics.items()}


async def cluster_id(settings: Settings) -> str:
    """The cluster's id. Raises KafkaUnreachable."""
    async with _client(settings) as client:
        return (await metadata(client, [])).cluster_id


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(**settings.client_options(), client_id=f"{settings.app}-topics")
    try:
        try:
            await client.bootstrap()
        except KafkaConnectionError as error:
            raise KafkaUnreachable(await why_not(settings)) from error
        yield client
    finally:
        await client.close()


async def _describe(client: AIOKafkaClient, names: Sequence[str]) -> dict[str, Seen]:
    topics = (await metadata(client, names)).topics
    if not topics:
        return {}
    resources = [(_TOPIC_RESOURCE, name, None) for name in topics]
    response = await ask(client, DescribeConfigsRequest(resources))
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
            message = f"topics {', '.join(names)} were created, but the cluster doesn't show them after {wait_s:.0f} s"
            raise KafkaError(message)
        await asyncio.sleep(0.05)
