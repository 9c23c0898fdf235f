"""What is to be seen of an application on its cluster, without being part of it.

Brokers, topics, where the events end, its group.

Every request is bounded; what one broker doesn't tell is left out of the observation, or stands in
`unknown` with the reason. What it means is judged in `serving/judging.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code
from aiokafka.protocol.admin import DescribeConfigsRequest, DescribeGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.offset import OffsetRequest

from streams import log, topics
from streams.errors import KafkaUnreachable
from streams.metadata import described
from streams.refused import why_not
from tables.catalogue import CHATS_TOPIC, ORDERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streams.log import At
    from streams.settings import Settings

REQUEST_MS: Final = 3_000
"""How long one request may take."""

OBSERVE_SECONDS: Final = 10.0
"""How long an observation may take in all."""

NEVER_MS: Final = 365 * 86_400_000

LOST: Final = (*log.READING_FAILS, TimeoutError, AssertionError)
"""What a request comes to while its broker is away. The last is aiokafka's way to say that it
doesn't know a broker."""

_LATEST, _EARLIEST = -1, -2
_TOPIC_RESOURCE = 2
_UUID = 37
"""Characters that a broker puts behind a static member's name: a hyphen and a UUID."""


@dataclass(frozen=True, slots=True)
class PartitionSeen:
    """A partition as the cluster describes it, by broker ids; `leader` is -1 where it has none."""

    leader: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """A topic as the cluster describes it.

    Without `min_insync_replicas` the cluster doesn't let us read its configs.
    """

    topic_id: str
    partitions: Mapping[int, PartitionSeen]
    min_insync_replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A worker in the group: its name there, where it is, and the partitions that it holds."""

    name: str
    host: str
    holds: frozenset[At]


@dataclass(frozen=True, slots=True)
class Group:
    """The workers' group: Kafka's word for its state, its members, and its committed offsets of the topics of events."""

    state: str
    members: tuple[Member, ...]
    committed: Mapping[At, int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """The first record that isn't applied.

    When it was written, None where it can't be read yet (a transaction of its writer is open).
    """

    offset: int
    written_ms: int | None


@dataclass(frozen=True, slots=True)
class Observation:
    """An application on its cluster at one moment.

    `brokers`: by id, whether it answers. `topics`: those that exist. `beginnings` and `ends` (high
    watermarks) are of the topics of events; partitions whose leader doesn't tell are left out.
    `waiting`: what stands first behind what was applied, None where nothing but control records
    does; partitions without it weren't probed. `unknown`: what couldn't be found out, and why.
    `applied`: the last offset that all tables held before the ends were read; the tables go on
    while the cluster is observed.
    """

    at_ms: int
    brokers: Mapping[int, bool]
    topics: Mapping[str, TopicSeen]
    beginnings: Mapping[At, int]
    ends: Mapping[At, int]
    group: Group | None
    waiting: Mapping[At, Waiting | None] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    applied: Mapping[At, int] = field(default_factory=dict)


class Observer:
    """Observes one application again and again over connections of its own.

    For one task at a time.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AIOKafkaClient | None = None
        self._min_insync: dict[str, int | None] = {}
        self._brokers: set[int] = set()
        self._probed: dict[tuple[At, int], tuple[int, Waiting | None]] = {}

    async def close(self) -> None:
        """End the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def observe(self, applied: Mapping[At, int]) -> Observation:
        """One observation; `applied` has, by source partition, the last offset that all tables hold.

        Raises KafkaUnreachable, KafkaError, OSError or TimeoutError where the cluster as a whole can't be asked.
        """
        async with asyncio.timeout(OBSERVE_SECONDS):
            try:
                return await self._observe(applied)
            except LOST:
                # the broker that was asked may be the one that is away: once more, from the
                # beginning
                await self.close()
            try:
                return await self._observe(applied)
            except BaseException:
                await self.close()
                raise

    async def _observe(self, applied: Mapping[At, int]) -> Observation:
        client = await self._connected()
        known = [broker.nodeId for broker in client.cluster.brokers()]
        answering = dict(
            zip(
                known,
                await asyncio.gather(*(_answers(client, broker) for broker in known)),
                strict=True,
            )
        )
        via = next((broker for broker, answers in answering.items() if answers), None)
        if via is None:
            raise KafkaUnreachable(await why_not(self._settings))
        metadata = await described(
            client, via, [topic.name for topic in topics.declared(self._settings)]
        )
        if not answering.keys() >= {broker for broker, *_ in metadata.brokers}:
            raise KafkaError("the cluster has more brokers than it had when this client began")
        await self._read_min_insync(
            client, via, [name for code, name, *_ in metadata.topics if code == 0]
        )
        seen = {
            name: TopicSeen(
                str(topic_id), dict(map(_partition, partitions)), self._min_insync.get(name)
            )
            for code, name, topic_id, _, partitions, *_ in metadata.topics
            if code == 0
        }
        self._brokers |= {
            *known,
            *(
                one
                for topic in seen.values()
                for part in topic.partitions.values()
                for one in part.replicas
            ),
        }
        brokers, unknown = dict.fromkeys(sorted(self._brokers), False) | answering, dict[str, str]()
        sources = {self._settings.topic(name) for name in (ORDERS_TOPIC, CHATS_TOPIC)}
        leaders: defaultdict[int, list[At]] = defaultdict(list)
        for name in sources & seen.keys():
            for number, partition in seen[name].partitions.items():
                leaders[partition.leader].append((name, number))
        beginnings, ends = await self._bounds(
            client, {leader: ats for leader, ats in leaders.items() if brokers.get(leader)}
        )
        group = await self._group(client, via, sources, unknown)
        waiting = await self._waiting(applied, beginnings, ends)
        if not all(brokers.values()):
            await (
                self.close()
            )  # whoever comes back may do so at another address, of which a new client hears
        return Observation(
            time.time_ns() // 1_000_000,
            brokers,
            seen,
            beginnings,
            ends,
            group,
            waiting,
            unknown,
            applied,
        )

    async def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            options = self._settings.client_options()
            client = AIOKafkaClient(
                **options,
                client_id=f"{self._settings.app}-observer",
                request_timeout_ms=REQUEST_MS,
                metadata_max_age_ms=NEVER_MS,  # its own request is for all topics of the cluster
            )
            try:
                await client.bootstrap()
            except KafkaConnectionError as error:
                await client.close()
                raise KafkaUnreachable(await why_not(self._settings)) from error
            self._client = client
            self._min_insync = {}
        return self._client

    async def _read_min_insync(
        self, client: AIOKafkaClient, broker: int, names: Iterable[str]
    ) -> None:
        """Of topics of which it isn't known yet on this connection.

        None where we may not read their configs.
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

    async def _bounds(
        self, client: AIOKafkaClient, leaders: Mapping[int, Sequence[At]]
    ) -> tuple[dict[At, int], dict[At, int]]:
        """Beginnings and high watermarks of the partitions of each leader that tells them."""

        async def of(leader: int, which: int) -> dict[At, int]:
            by_topic: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
            for name, number in leaders[leader]:
                by_topic[name].append((number, which))
            try:
                response = await client.send(leader, OffsetRequest(-1, 0, list(by_topic.items())))
            except LOST:
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
        self, client: AIOKafkaClient, broker: int, sources: set[str], unknown: dict[str, str]
    ) -> Group | None:
        app = self._settings.app
        try:
            async with asyncio.timeout(REQUEST_MS / 1000):
                found = await client.send(
                    broker, FindCoordinatorRequest(app, CoordinationType.GROUP)
                )
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
        except LOST as error:
            unknown["group"] = f"{error!r}"
            return None
        offsets = {
            (topic, part[0]): part[1]
            for topic, parts in committed.topics
            for part in parts
            if topic in sources and part[1] >= 0
        }
        return Group(
            state, tuple(sorted(map(_member, members), key=lambda member: member.name)), offsets
        )

    async def _waiting(
        self, applied: Mapping[At, int], beginnings: Mapping[At, int], ends: Mapping[At, int]
    ) -> dict[At, Waiting | None]:
        """What stands first behind what is applied.

        A record that was found once isn't looked for again.
        """
        positions = {
            at: max(applied.get(at, -1) + 1, beginnings.get(at, 0))
            for at, end in ends.items()
            if applied.get(at, -1) + 1 < end
        }
        known = {}
        for at, position in positions.items():
            end, first = self._probed.get((at, position), (-1, None))
            if end == ends[at] if first is None else first.written_ms is not None:
                known[at] = end, first
        left = {
            at: position
            for at, position in positions.items()
            if at not in known and position < ends[at]
        }
        if left:
            try:
                async with asyncio.timeout(2 * REQUEST_MS / 1000):
                    found = await log.first(self._settings, left, ends, REQUEST_MS / 1000)
            except LOST:
                found = {}
            for at, record in found.items():
                known[at] = (
                    ends[at],
                    None if record is None else Waiting(record.offset, record.timestamp),
                )
            known |= {at: (ends[at], Waiting(left[at], None)) for at in left.keys() - found.keys()}
        self._probed = {(at, positions[at]): answer for at, answer in known.items()}
        return {at: first for at, (_, first) in known.items()}


async def _answers(client: AIOKafkaClient, broker: int) -> bool:
    """Whether a broker lets us in: without a quorum the cluster lists dead ones for ever."""
    try:
        async with asyncio.timeout(REQUEST_MS / 1000):
            return bool(await client.ready(broker))
    except LOST:
        return False


def _partition(described: Sequence[Any]) -> tuple[int, PartitionSeen]:
    """A partition's number, and what the metadata have of it."""
    _, number, leader, _, replicas, isr, *_ = described
    return number, PartitionSeen(leader, tuple(replicas), tuple(isr))


def _member(described: Sequence[Any]) -> Member:
    """A member as DescribeGroups has it. A static one's id is its name and a UUID."""
    member_id, _, host, _, assignment, *_ = described
    holds: set[At] = set()
    if assignment:  # none while the group is being rebalanced
        decoded = ConsumerProtocolMemberAssignment.decode(assignment)
        holds = {(topic, number) for topic, numbers in decoded.assignment for number in numbers}
    return Member(member_id[:-_UUID] or member_id, host.removeprefix("/"), frozenset(holds))
