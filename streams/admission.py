"""Which events that can be read are applied.

Those not far ahead of their record's own time, in the partition of their key.

An order whose events lie in two partitions is two orders, each with half of what happened, and no
sum is right. So a record in another partition than its key's is counted and logged, and parked
unless a setting says otherwise.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from schemas import limits
from schemas.ahead import in_the_future
from schemas.envelope import ChatMessage, Received
from schemas.refusals import Reason, Refusal
from streams import metrics
from streams.partitioning import HASHES
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.envelope import Record
    from streams.settings import Settings

log = structlog.get_logger()

AGAIN_SECONDS: Final = 60.0
"""How often, at most, a lane says that records are in the wrong partition."""

_REMEMBERED: Final = 16_384
"""Keys of a partition that are known to belong there, and cost no hash."""

_EVENTS: Final[dict[str, Any]] = {
    catalogue.ORDERS_TOPIC: Received,
    catalogue.CHATS_TOPIC: ChatMessage,
}
"""By topic, without prefix, what an event of it is, once it is read."""


def of_events(
    read: Callable[[Record], Any], source: str, partition: int, settings: Settings
) -> Callable[[Record], Any]:
    """What a stage `read`s of one partition of a topic of events, `orders` or `chats`, or the refusal of what isn't to be applied there.

    Time ticks are written into partitions by number, and belong where they are.
    """
    most_ahead_ms = settings.max_ahead_seconds * 1000
    latest_ms = most_ahead_ms or limits.INT64_MAX
    event, keys = _EVENTS[source], _Keys(source, partition, settings)
    known = keys.known

    def admitted(record: Record) -> Any:  # noqa: ANN401 - what its stage reads
        reading = read(record)
        if type(reading) is not event:
            return reading
        if (
            reading.occurred_at_ms - (record.timestamp or 0) > latest_ms
        ):  # a record from before Kafka 0.10 has no time
            refusal = in_the_future(reading.occurred_at_ms, record.timestamp, most_ahead_ms)
            if refusal is not None:
                return refusal
        key = record.key
        return reading if key in known else keys.look(record.offset, key or b"") or reading

    return admitted


class _Keys:
    """The keys of one source partition.

    Those that are `known` to belong there, and what becomes of others.
    """

    def __init__(self, source: str, partition: int, settings: Settings) -> None:
        self._topic, self._partition, self._settings = settings.topic(source), partition, settings
        self._hash_of = HASHES[settings.partitioner]
        self.known: set[bytes | None] = set()
        self._logged_at, self._since = float("-inf"), 0

    def look(self, offset: int, key: bytes) -> Refusal | None:
        """The refusal of the record at an offset if its key belongs elsewhere and that is parked, by setting; else None.

        Each is counted, and logged once a while.
        """
        settings = self._settings
        right = self._hash_of(key) % settings.partitions
        if right == self._partition:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known.add(key)
            return None
        metrics.WRONG_PARTITION.labels(self._topic).inc()
        self._since += 1
        place = f"key {key[: limits.ID_CHARS]!a} belongs in partition {right} of {settings.partitions} by {settings.partitioner}"
        if time.monotonic() - self._logged_at > AGAIN_SECONDS:
            done = "parked" if settings.park_wrong_partition else "applied all the same"
            sentence = (
                f"{self._topic}-{self._partition}@{offset}: {place}: it is {done}; let all producers use one partitioner, "
                "the one in NETSOLD_PARTITIONER (docs/runbook.md, Wrong partition)"
            )
            log.warning(sentence, records=self._since)
            self._logged_at, self._since = time.monotonic(), 0
        if not settings.park_wrong_partition:
            return None
        return Refusal(
            Reason.WRONG_PARTITION, f"{place}, not in {self._partition}"[: limits.DETAIL_CHARS]
        )
