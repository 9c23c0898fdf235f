"""Which readable events are applied.

An event is refused if its record is in another partition than its key's, or if it is far ahead of
its record's own time. An order whose events are in two partitions would be two orders, each with
half of what happened, and no sum would be right. So a record in a wrong partition is counted,
logged, and parked unless a setting allows it.
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
"""How often, at most, a lane logs that records are in the wrong partition."""

_REMEMBERED: Final = 16_384
"""Most keys that are known to belong in a partition, and aren't hashed again."""

_EVENTS: Final[dict[str, Any]] = {
    catalogue.ORDERS_TOPIC: Received,
    catalogue.CHATS_TOPIC: ChatMessage,
}
"""By topic, without prefix, the class of its decoded events."""


def of_events(
    read: Callable[[Record], Any],
    source: str,
    partition: int,
    settings: Settings,
    now: Callable[[], float] = time.monotonic,
) -> Callable[[Record], Any]:
    """A stage's decoder `read` for one partition of a topic of events, with refusals added.

    `source` is `orders` or `chats`, `now` a clock in seconds. Time ticks are written to a partition
    by its number, and are never refused.
    """
    most_ahead_ms = settings.max_ahead_seconds * 1000
    latest_ms = most_ahead_ms or limits.INT64_MAX
    event, keys = _EVENTS[source], _Keys(source, partition, settings, now)
    known = keys.known

    def admitted(record: Record) -> Any:  # noqa: ANN401 - what its stage reads
        reading = read(record)
        if type(reading) is not event:
            return reading
        # a record from before Kafka 0.10 has no time
        if reading.occurred_at_ms - (record.timestamp or 0) > latest_ms:
            refusal = in_the_future(reading.occurred_at_ms, record.timestamp, most_ahead_ms)
            if refusal is not None:
                return refusal
        key = record.key
        return reading if key in known else keys.refusal(record.offset, key or b"") or reading

    return admitted


class _Keys:
    """The keys of one source partition: those `known` to belong there, and refusals of others."""

    def __init__(
        self, source: str, partition: int, settings: Settings, now: Callable[[], float]
    ) -> None:
        self._topic, self._partition, self._settings = settings.topic(source), partition, settings
        self._hash_of = HASHES[settings.partitioner]
        self._now = now
        self.known: set[bytes | None] = set()
        self._logged_at, self._since = float("-inf"), 0

    def refusal(self, offset: int, key: bytes) -> Refusal | None:
        """The refusal of the record at `offset`, if its key belongs elsewhere and is to be parked.

        Each such record is counted, and logged every `AGAIN_SECONDS`.
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
        place = (
            f"key {key[: limits.ID_CHARS]!a} belongs in partition {right} of "
            f"{settings.partitions} by {settings.partitioner}"
        )
        if self._now() - self._logged_at > AGAIN_SECONDS:
            self._warn(offset, place)
        if not settings.park_wrong_partition:
            return None
        detail = f"{place}, not in {self._partition}"[: limits.DETAIL_CHARS]
        return Refusal(Reason.WRONG_PARTITION, detail)

    def _warn(self, offset: int, place: str) -> None:
        done = "parked" if self._settings.park_wrong_partition else "applied all the same"
        sentence = (
            f"{self._topic}-{self._partition}@{offset}: {place}: it is {done}; let all producers "
            "use one partitioner, the one in NETSOLD_PARTITIONER (docs/runbook.md, Wrong partition)"
        )
        log.warning(sentence, records=self._since)
        self._logged_at, self._since = self._now(), 0
