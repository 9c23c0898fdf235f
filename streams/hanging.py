"""Open transactions in partitions, and those that hang: no coordinator will ever end them.

An open transaction blocks every reader of its partition. Its coordinator ends it, after its
time-out at the latest, unless the coordinator has lost it or counts it as ended already (KIP-664).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError, for_code

from streams.brokers import leaders
from streams.transaction_protocol import (
    AbortMarkerRequest,
    ProducersRequest,
    TransactionRequest,
    TransactionsRequest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka.client import AIOKafkaClient

    from streams.log import At

OFFSETS_TOPIC: Final = "__consumer_offsets"
"""Kafka's topic of committed offsets: transactions commit them there."""

_STATE_TOPIC: Final = "__transaction_state"
_NO_START: Final = -1
_UNKNOWN_ID: Final = 105
"""Kafka's error code for a transactional id that its coordinator does not know."""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that is open in one partition, by the partition's leader.

    `start` is the offset of its first record there, `last_ms` the time of the producer's last one.
    """

    topic: str
    partition: int
    leader: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    start: int
    last_ms: int

    @property
    def at(self) -> At:
        """The partition."""
        return self.topic, self.partition

    @property
    def name(self) -> str:
        """For messages: `orders-3@1841`, where it starts."""
        return f"{self.topic}-{self.partition}@{self.start}"


@dataclass(frozen=True, slots=True)
class Coordinated:
    """A producer's transaction as its coordinator knows it; `partitions` it has still to end."""

    transactional_id: str
    state: str
    timeout_ms: int
    start_ms: int
    partitions: frozenset[At]


@dataclass(frozen=True, slots=True)
class TransactionsSeen:
    """The open transactions of some topics, and what coordinators know, by producer id."""

    open: Sequence[OpenTransaction]
    coordinated: Mapping[int, Coordinated] = field(default_factory=dict)

    def hanging(self, now_ms: int, least_age_ms: int) -> list[OpenTransaction]:
        """Those that their coordinator will not end, and that were not written to for a time."""
        return [
            one
            for one in self.open
            if now_ms - one.last_ms >= least_age_ms
            and (
                one.producer_id not in self.coordinated
                or one.at not in self.coordinated[one.producer_id].partitions
            )
        ]


async def observe_transactions(
    client: AIOKafkaClient, brokers: Sequence[int], topics: Iterable[str]
) -> TransactionsSeen:
    """The open transactions of these topics.

    `brokers` are all that answer: each may coordinate transactions. Raises KafkaError where one of
    these partitions, or of those that coordinators have, is led by none of them.
    """
    by_partition = await leaders(client, brokers[0], [*topics, _STATE_TOPIC])
    away = [at for at, leader in by_partition.items() if leader not in brokers]
    if away:
        raise KafkaError(f"{away[0][0]}-{away[0][1]} has no leader that answers")
    partitions = {at: leader for at, leader in by_partition.items() if at[0] != _STATE_TOPIC}
    found = await _open_in(client, partitions)
    if not found:
        return TransactionsSeen([])
    coordinated = await _coordinated(client, brokers, {one.producer_id for one in found})
    # a transaction may have ended between the two answers: only what is still open counts
    again = await _open_in(client, {one.at: one.leader for one in found})
    still = {(one.at, one.producer_id, one.start) for one in again}
    return TransactionsSeen(
        [one for one in found if (one.at, one.producer_id, one.start) in still], coordinated
    )


async def abort(client: AIOKafkaClient, one: OpenTransaction) -> None:
    """End a hanging transaction in its partition by an abort marker: none of it counts.

    Raises KafkaError with the broker's reason.
    """
    request = AbortMarkerRequest(
        one.topic,
        one.partition,
        producer_id=one.producer_id,
        producer_epoch=one.producer_epoch,
        coordinator_epoch=max(0, one.coordinator_epoch),
    )
    response = await client.send(one.leader, request)
    ((_, ((_, ((_, code, _),), _),), _),) = response.markers
    if code:
        raise for_code(code)(f"the transaction at {one.name} can't be aborted")


async def _open_in(client: AIOKafkaClient, partitions: Mapping[At, int]) -> list[OpenTransaction]:
    """The open transactions of partitions, which are given with their leaders."""
    by_leader: defaultdict[int, defaultdict[str, list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for (topic, number), leader in partitions.items():
        by_leader[leader][topic].append(number)
    found = []
    for leader, wanted in by_leader.items():
        response = await client.send(leader, ProducersRequest(wanted))
        for topic, some, _ in response.topics:
            for number, code, message, producers, _ in some:
                if code:
                    raise for_code(code)(f"the producers of {topic}-{number}: {message}")
                found += [
                    OpenTransaction(
                        topic, number, leader, producer_id, epoch, coordinator_epoch, start, last_ms
                    )
                    for producer_id, epoch, _, last_ms, coordinator_epoch, start, _ in producers
                    if start != _NO_START
                ]
    return found


async def _coordinated(
    client: AIOKafkaClient, brokers: Iterable[int], producer_ids: Iterable[int]
) -> dict[int, Coordinated]:
    """What coordinators know of these producers' transactions."""
    found: dict[int, Coordinated] = {}
    for broker in brokers:
        listed = await client.send(broker, TransactionsRequest(sorted(producer_ids)))
        if listed.error_code:
            raise for_code(listed.error_code)(f"the transactions of broker {broker}")
        ids = [transactional_id for transactional_id, *_ in listed.transactions]
        if ids:
            response = await client.send(broker, TransactionRequest(ids))
            found |= dict(map(_described, filter(_is_known, response.transactions)))
    return found


def _is_known(described: Sequence[Any]) -> bool:
    """Whether a coordinator has the transactional id. Raises KafkaError where it can't answer."""
    code, transactional_id, *_ = described
    if code not in {0, _UNKNOWN_ID}:
        raise for_code(code)(f"transactional id {transactional_id}")
    return bool(code == 0)


def _described(described: Sequence[Any]) -> tuple[int, Coordinated]:
    _, transactional_id, state, timeout_ms, start_ms, producer_id, _, topics, _ = described
    partitions = frozenset((topic, number) for topic, numbers, _ in topics for number in numbers)
    return producer_id, Coordinated(transactional_id, state, timeout_ms, start_ms, partitions)
