"""Observation of an application on its cluster from outside: brokers, topics, ends, the group.

Every request is bounded in time. What a broker does not answer is left out of the observation, or
listed in `unknown` with the reason. `serving/judging.py` judges what an observation means.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import DescribeConfigsRequest, DescribeGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.offset import OffsetRequest

from schemas.times import DAY_MS
from streams import broker_access, topics
from streams.broker_access import BROKER_AWAY
from streams.errors import KafkaUnreachable
from streams.metadata import described
from streams.unapplied import FirstUnapplied
from tables.catalogue import EVENT_TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streams.log import At
    from streams.settings import Settings
    from streams.unapplied import UnappliedRecord

REQUEST_MS: Final = 3_000
"""How long one request may take."""

OBSERVE_SECONDS: Final = 10.0
"""How long an observation may take in all."""

NEVER_MS: Final = 365 * DAY_MS

STABLE_GROUP: Final = "Stable"
"""Kafka's word for a group that isn't being rebalanced."""

_LATEST, _EARLIEST = -1, -2
_TOPIC_RESOURCE = 2
_UUID = 37
"""Characters that a broker appends to a static member's name: a hyphen and a UUID."""


@dataclass(frozen=True, slots=True)
class PartitionSeen:
    """A partition as the cluster describes it, by broker ids; `leader` is -1 where it has none."""

    leader: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """A topic as the cluster describes it.

    `min_insync_replicas` is None where we may not read the topic's configs.
    """

    topic_id: str
    partitions: Mapping[int, PartitionSeen]
    min_insync_replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A worker in the group: its name there, its address, and the partitions assigned to it."""

    name: str
    host: str
    holds: frozenset[At]


@dataclass(frozen=True, slots=True)
class Group:
    """The workers' group: Kafka's name of its state, its members, its offsets of event topics."""

    state: str
    members: tuple[Member, ...]
    committed: Mapping[At, int]

    def readers(self) -> dict[At, str]:
        """The name of the worker that reads each partition, by the group's assignment."""
        return {at: member.name for member in self.members for at in member.holds}


@dataclass(frozen=True, slots=True)
class Observation:
    """An application on its cluster at one instant.

    `brokers`: by id, whether it answers. `topics`: those that exist. `beginnings` and `ends` (high
    watermarks) are of the topics of events, without partitions whose leader does not answer.
    `waiting`: the first unapplied record of a partition that has offsets behind its applied one,
    None where those are control records alone. `unknown`: what could not be read, and why.
    `applied`: the last offset in all tables before the ends were read; the tables advance during
    the observation.
    """

    at_ms: int
    brokers: Mapping[int, bool]
    topics: Mapping[str, TopicSeen]
    beginnings: Mapping[At, int]
    ends: Mapping[At, int]
    group: Group | None
    waiting: Mapping[At, UnappliedRecord | None] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    applied: Mapping[At, int] = field(default_factory=dict)


class Observer:
    """Observes one application repeatedly over its own connections; for one task at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AIOKafkaClient | None = None
        self._min_insync: dict[str, int | None] = {}
        self._brokers: set[int] = set()
        self._unapplied = FirstUnapplied(settings, REQUEST_MS / 1000)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def observe(self, applied: Mapping[At, int]) -> Observation:
        """One observation; `applied` has the last offset in all tables, by source partition.

        Raises KafkaUnreachable, KafkaError, OSError or TimeoutError where the cluster as a whole
        does not answer.
        """
        async with asyncio.timeout(OBSERVE_SECONDS):
            try:
                return await self._observe(applied)
            except BROKER_AWAY:
                # the broker of this connection may be the one that is away: try again with a new
                # connection
                await self.close()
            try:
                return await self._observe(applied)
            except BaseException:
                await self.close()
                raise

    async def _observe(self, applied: Mapping[At, int]) -> Observation:
        client = await self._connected()
        answering = await self._answering(client)
        via = next((broker for broker, answers in answering.items() if answers), None)
        if via is None:
            raise KafkaUnreachable(await broker_access.why_unreachable(self._settings))
        names = [topic.name for topic in topics.declared(self._settings)]
        metadata = await described(client, via, names)
        if not answering.keys() >= {broker for broker, *_ in metadata.brokers}:
            raise KafkaError("the cluster has more brokers than it had when this client began")
        seen = await self._topics(client, via, metadata)
        brokers = self._with_known(answering, seen)
        sources = {self._settings.topic(name) for name in EVENT_TOPICS}
        leaders = _by_leader({name: seen[name] for name in sources & seen.keys()})
        reachable = {leader: ats for leader, ats in leaders.items() if brokers.get(leader)}
        beginnings, ends = await _bounds(client, reachable)
        group, unknown = await _group(client, via, self._settings.app, sources)
        waiting = await self._unapplied.read(applied, beginnings, ends)
        if not all(brokers.values()):
            # a broker may come back at another address, which only a new client learns
            await self.close()
        at_ms = time.time_ns() // 1_000_000
        return Observation(at_ms, brokers, seen, beginnings, ends, group, waiting, unknown, applied)

    async def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            client = AIOKafkaClient(
                **self._settings.client_options(),
                client_id=f"{self._settings.app}-observer",
                request_timeout_ms=REQUEST_MS,
                metadata_max_age_ms=NEVER_MS,  # its own request is for all topics of the cluster
            )
            await broker_access.bootstrap(client, self._settings)
            self._client = client
            self._min_insync = {}
        return self._client

    async def _answering(self, client: AIOKafkaClient) -> dict[int, bool]:
        """Whether each broker that the client knows answers."""
        known = [broker.nodeId for broker in client.cluster.brokers()]
        answers = await asyncio.gather(*(_answers(client, broker) for broker in known))
        return dict(zip(known, answers, strict=True))

    async def _topics(
        self,
        client: AIOKafkaClient,
        broker: int,
        metadata: Any,  # noqa: ANN401 - the response in the schema's own form
    ) -> dict[str, TopicSeen]:
        """The topics of a metadata response that exist."""
        existing = [described for described in metadata.topics if described[0] == 0]
        await self._read_min_insync(client, broker, [name for _, name, *_ in existing])
        return {
            name: TopicSeen(
                str(topic_id), dict(map(_partition, partitions)), self._min_insync.get(name)
            )
            for _, name, topic_id, _, partitions, *_ in existing
        }

    async def _read_min_insync(
        self, client: AIOKafkaClient, broker: int, names: Iterable[str]
    ) -> None:
        """Read the config of topics whose value is not known yet on this connection.

        It is None where we may not read their configs.
        """
        resources = [
            (_TOPIC_RESOURCE, name, ["min.insync.replicas"])
            for name in names
            if name not in self._min_insync
        ]
        if resources:
            response = await client.send(broker, DescribeConfigsRequest(resources))
            for code, _, _, name, entries in response.resources:
                self._min_insync[name] = int(entries[0][1]) if code == 0 and entries else None

    def _with_known(
        self, answering: Mapping[int, bool], seen: Mapping[str, TopicSeen]
    ) -> dict[int, bool]:
        """Whether each broker answers, with those that only earlier answers or replicas name."""
        partitions = [part for topic in seen.values() for part in topic.partitions.values()]
        replicas = {broker for part in partitions for broker in part.replicas}
        self._brokers |= answering.keys() | replicas
        return dict.fromkeys(sorted(self._brokers), False) | dict(answering)


def _by_leader(seen: Mapping[str, TopicSeen]) -> dict[int, list[At]]:
    """The partitions of topics by the broker that leads them."""
    leaders: defaultdict[int, list[At]] = defaultdict(list)
    for name, topic in seen.items():
        for number, partition in topic.partitions.items():
            leaders[partition.leader].append((name, number))
    return dict(leaders)


async def _bounds(
    client: AIOKafkaClient, leaders: Mapping[int, Sequence[At]]
) -> tuple[dict[At, int], dict[At, int]]:
    """Beginnings and high watermarks of the partitions of each leader that answers."""

    async def of(leader: int, which: int) -> dict[At, int]:
        by_topic: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for name, number in leaders[leader]:
            by_topic[name].append((number, which))
        try:
            response = await client.send(leader, OffsetRequest(-1, 0, list(by_topic.items())))
        except BROKER_AWAY:
            return {}
        return {
            (name, part[0]): part[3]
            for name, parts in response.topics
            for part in parts
            if part[1] == 0
        }

    beginnings, ends = [
        {
            at: offset
            for some in await asyncio.gather(*(of(leader, which) for leader in leaders))
            for at, offset in some.items()
        }
        for which in (_EARLIEST, _LATEST)
    ]
    return beginnings, ends


async def _group(
    client: AIOKafkaClient, broker: int, app: str, sources: set[str]
) -> tuple[Group | None, dict[str, str]]:
    """The workers' group; None where its coordinator does not answer, and then why."""
    try:
        async with asyncio.timeout(REQUEST_MS / 1000):
            found = await client.send(broker, FindCoordinatorRequest(app, CoordinationType.GROUP))
            if found.error_code:
                raise for_code(found.error_code)(f"group {app}")
            coordinator = found.coordinator_id
            ((code, _, state, _, _, members, *_),) = (
                await client.send(coordinator, DescribeGroupsRequest([app]))
            ).groups
            committed = await client.send(coordinator, OffsetFetchRequest(app, None))
        for error in (code, committed.error_code):
            if error:
                raise for_code(error)(f"group {app}")
    except BROKER_AWAY as error:
        return None, {"group": f"{error!r}"}
    offsets = {
        (topic, part[0]): part[1]
        for topic, parts in committed.topics
        for part in parts
        if topic in sources and part[1] >= 0
    }
    by_name = sorted(map(_member, members), key=lambda member: member.name)
    return Group(state, tuple(by_name), offsets), {}


async def _answers(client: AIOKafkaClient, broker: int) -> bool:
    """Whether a broker accepts us: without a quorum the cluster lists dead ones for ever."""
    try:
        async with asyncio.timeout(REQUEST_MS / 1000):
            return bool(await client.ready(broker))
    except BROKER_AWAY:
        return False


def _partition(described: Sequence[Any]) -> tuple[int, PartitionSeen]:
    """A partition's number, and its leader and replicas in the metadata."""
    _, number, leader, _, replicas, isr, *_ = described
    return number, PartitionSeen(leader, tuple(replicas), tuple(isr))


def _member(described: Sequence[Any]) -> Member:
    """A member as DescribeGroups has it. A static one's id is its name and a UUID."""
    member_id, _, host, _, assignment, *_ = described
    holds: set[At] = set()
    if assignment:  # none during a rebalance
        decoded = ConsumerProtocolMemberAssignment.decode(assignment)
        holds = {(topic, number) for topic, numbers in decoded.assignment for number in numbers}
    return Member(member_id[:-_UUID] or member_id, host.removeprefix("/"), frozenset(holds))
