"""Which events that can be read are applied: those in the partition of their key, and not far ahead of their record's own time.

An order whose events lie in two partitions is two orders, each with half of what happened, and no sum is right. So a record in
another partition than its key's is counted and logged, and parked unless a setting says otherwise.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from schemas import limits
from schemas.ahead import in_the_future
from schemas.envelope import Tick
from schemas.refusals import Reason, Refusal
from streams import metrics
from streams.partitioning import HASHES

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.envelope import Record
    from streams.settings import Settings

log = structlog.get_logger()

AGAIN_SECONDS: Final = 60.0
"""How often, at most, a lane says that records are in the wrong partition."""


def admitted(read: Callable[[Record], Any], topic: str, partition: int, settings: Settings) -> Callable[[Record], object]:
    """What a stage of events `read`s of one source partition, or the refusal of what may not be applied there.

    Time ticks are written into partitions by number, and belong where they are.
    """
    hash_of, count = HASHES[settings.partitioner], settings.partitions
    most_ahead_ms = settings.max_ahead_seconds * 1000
    latest_ms = most_ahead_ms or limits.INT64_MAX
    strays = _Strays(topic, partition, settings)

    def admit(record: Record) -> object:
        said = read(record)
        kind = type(said)
        if kind is Refusal or kind is Tick:
            return said
        key = record.key or b""  # without one nothing is read but a tick
        if hash_of(key) % count != partition and (refusal := strays.meet(record.offset, key, hash_of(key) % count)) is not None:
            return refusal
        if said.occurred_at_ms - (record.timestamp or 0) > latest_ms:  # a record from before Kafka 0.10 has none
            return in_the_future(said.occurred_at_ms, record.timestamp, most_ahead_ms) or said
        return said

    return admit


class _Strays:
    """The records of one source partition whose keys belong in another."""

    def __init__(self, topic: str, partition: int, settings: Settings) -> None:
        self._topic, self._partition, self._settings = topic, partition, settings
        self._said_at, self._since = float("-inf"), 0

    def meet(self, offset: int, key: bytes, right: int) -> Refusal | None:
        """Count the record at an offset, whose key belongs in partition `right`, and say so once a while; its refusal, if by setting."""
        settings = self._settings
        metrics.WRONG_PARTITION.labels(self._topic).inc()
        self._since += 1
        place = f"key {key[: limits.ID_CHARS]!a} belongs in partition {right} of {settings.partitions} by {settings.partitioner}"
        if time.monotonic() - self._said_at > AGAIN_SECONDS:
            done = "parked" if settings.park_wrong_partition else "applied all the same"
            sentence = (
                f"{self._topic}-{self._partition}@{offset}: {place}: it is {done}; let all producers use one partitioner, "
                "the one in NETSOLD_PARTITIONER (docs/runbook.md, Wrong partition)"
            )
            log.warning(sentence, records=self._since)
            self._said_at, self._since = time.monotonic(), 0
        if not settings.park_wrong_partition:
            return None
        return Refusal(Reason.WRONG_PARTITION, f"{place}, not in {self._partition}"[: limits.DETAIL_CHARS])
