"""What brokers report of themselves: releases, disks, sizes of topics, settings, and a clock."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import DescribeConfigsRequest

from streams import broker_access
from streams.admin_protocol import (
    FeaturesRequest,
    LogDirsRequest,
    QuorumRequest,
    supported_features,
)
from streams.metadata import described, request_any
from streams.observe import REQUEST_MS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from streams.settings import Settings

BareClient: TypeAlias = AIOKafkaClient
"""A connection to the cluster for single requests: neither a consumer nor a producer."""

_BROKER_RESOURCE: Final = 4
_METADATA_VERSION: Final = "metadata.version"
_FIRST_LEVELS: Final = (
    (1, "3.0"), (2, "3.1"), (3, "3.2"), (4, "3.3"), (8, "3.4"), (9, "3.5"), (12, "3.6"),
    (15, "3.7"), (20, "3.8"), (21, "3.9"), (22, "4.0"), (26, "4.1"), (28, "4.2"), (30, "4.3"),
    (31, "4.4"), (34, "4.5"),
)  # fmt: skip
"""The first level of the feature `metadata.version` that each release of Kafka introduced."""


@dataclass(frozen=True, slots=True)
class LogDir:
    """A log directory of a broker: its disk in bytes, and the bytes of partitions by topic.

    `failed` is the error's name where the broker cannot use the directory.
    """

    broker: int
    path: str
    total_bytes: int
    usable_bytes: int
    topic_bytes: Mapping[str, int]
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The controller's clock, and this machine's before and after it was read; epoch ms."""

    before_ms: int
    controller_ms: int
    after_ms: int

    @property
    def skew_ms(self) -> int:
        """How far this machine's clock is surely ahead (positive) or behind (negative)."""
        if self.controller_ms > self.after_ms:
            return self.after_ms - self.controller_ms
        return max(0, self.before_ms - self.controller_ms)


@asynccontextmanager
async def connected(settings: Settings, purpose: str) -> AsyncIterator[BareClient]:
    """A bare client for requests of a few seconds each. Raises KafkaUnreachable."""
    client = AIOKafkaClient(
        **settings.client_options(),
        client_id=f"{settings.app}-{purpose}",
        request_timeout_ms=REQUEST_MS,
    )
    await broker_access.bootstrap(client, settings)
    try:
        yield client
    finally:
        await client.close()


async def releases(client: AIOKafkaClient, brokers: Iterable[int]) -> dict[int, str | None]:
    """The release of Kafka of each broker, such as `4.2`; None where it does not show it.

    A broker does not name its release, but the newest metadata that it supports.
    """
    found = {}
    for broker in brokers:
        response = await client.send(broker, FeaturesRequest())
        found[broker] = release_of(supported_features(response).get(_METADATA_VERSION))
    return found


def release_of(level: int | None) -> str | None:
    """The release whose newest `metadata.version` is this level; None for no level."""
    names = [name for first, name in _FIRST_LEVELS if level is not None and first <= level]
    return names[-1] if names else None


async def log_dirs(
    client: AIOKafkaClient, brokers: Iterable[int], partitions: Mapping[str, Sequence[int]]
) -> list[LogDir]:
    """The log directories of brokers, with the sizes of these partitions (by topic) in them."""
    found = []
    for broker in brokers:
        response = await client.send(broker, LogDirsRequest(partitions))
        if response.error_code:
            raise for_code(response.error_code)(f"log directories of broker {broker}")
        for code, path, topics, total, usable, _ in response.results:
            sizes = {
                topic: sum(size for _, size, *_ in some if size > 0) for topic, some, _ in topics
            }
            failed = for_code(code).__name__ if code else None
            found.append(LogDir(broker, path, total, usable, sizes, failed))
    return found


async def broker_configs(
    client: AIOKafkaClient, broker: int, names: Sequence[str]
) -> dict[str, str]:
    """The values of some settings of a broker; those that it does not have are left out."""
    request = DescribeConfigsRequest([(_BROKER_RESOURCE, str(broker), list(names))])
    ((code, message, _, _, entries),) = (await client.send(broker, request)).resources
    if code:
        raise for_code(code)(f"the settings of broker {broker} can't be read: {message}")
    return {entry[0]: entry[1] for entry in entries if entry[1] is not None}


async def controller_clock(client: AIOKafkaClient) -> ClockReading:
    """The clock of the cluster's controller.

    It is in its own entry of the metadata quorum. No other answer of Kafka has a broker's time.
    """
    before_ms = _now_ms()
    response = await request_any(client, QuorumRequest())
    after_ms = _now_ms()
    if response.error_code:
        raise for_code(response.error_code)("the metadata quorum can't be described")
    ((_, ((_, code, leader, _, _, voters, _, _),), _),) = response.topics
    if code:
        raise for_code(code)("the metadata quorum can't be described")
    clocks = [caught_up_ms for replica, _, _, caught_up_ms, _ in voters if replica == leader]
    if not clocks or clocks[0] < 0:
        raise KafkaError("the metadata quorum's leader does not report its time")
    return ClockReading(before_ms, clocks[0], after_ms)


async def leaders(
    client: AIOKafkaClient, broker: int, names: Sequence[str]
) -> dict[tuple[str, int], int]:
    """The leader of each partition of these topics, as far as they exist; -1 where it has none."""
    response = await described(client, broker, names)
    return {
        (name, part[1]): part[2]
        for code, name, _, _, parts, *_ in response.topics
        if code == 0
        for part in parts
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
