"""Which events that can be read are applied: those not far ahead of their record's own time, in the partition of their key.

An order whose events lie in two partitions is two orders, each with half of what happened, and no sum is right. So a record in
another partition than its key's is counted and logged, and parked unless a setting says otherwise.
"""

from __future__ import annotations

import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from schemas import limits
from schemas.ahead import in_the_future
from schemas.envelope import Received, Said, conversation
from schemas.refusals import Reason, Refusal
from streams import metrics
from streams.partitioning import HASHES
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.envelope import Record
    from streams.settings import Settings
    from tables.outcome import Readings

log = structlog.get_logger()

AGAIN_SECONDS: Final = 60.0
"""How often, at most, a lane says that records are in the wrong partition."""

_REMEMBERED: Final = 16_384
"""Orders or conversations of a partition that are known to belong there; what is known in the meantime costs no hash."""

_KINDS: Final[dict[str, tuple[Any, Callable[[Any], Any]]]] = {
    catalogue.ORDERS_TOPIC: (Received, attrgetter("order_id")),
    catalogue.CHATS_TOPIC: (Said, attrgetter("shop_id", "buyer_id")),
}
"""By topic, without prefix, what an event of it is, and how to get at the order or conversation that it is about."""


class Reading(NamedTuple):
    """How the records of a partition are read: one by one, and then what they say in chunks, before it is folded."""

    read: Callable[[Record], Any]
    admit: Callable[[Readings], Readings]


def of_journal(read: Callable[[Record], Any]) -> Reading:
    """The reading of a topic that netsold alone writes to: nothing more is checked."""
    return Reading(read, lambda readings: readings)


def of_events(read: Callable[[Record], Any], source: str, partition: int, settings: Settings) -> Reading:
    """The reading of one partition of a topic of events, `orders` or `chats`."""
    most_ahead_ms = settings.max_ahead_seconds * 1000
    latest_ms = most_ahead_ms or limits.INT64_MAX
    event, _ = _KINDS[source]

    def dated(record: Record) -> Any:  # noqa: ANN401 - what its stage reads
        said = read(record)
        try:
            if type(said) is event and said.occurred_at_ms - record.timestamp > latest_ms:
                return in_the_future(said.occurred_at_ms, record.timestamp, most_ahead_ms) or said
        except TypeError:  # a record from before Kafka 0.10 has no time
            return said
        return said

    return Reading(dated, _Placed(source, partition, settings).admit)


class _Placed:
    """Looks at chunks of one source partition for orders or conversations that belong in another.

    Time ticks are written into partitions by number, and belong where they are.
    """

    def __init__(self, source: str, partition: int, settings: Settings) -> None:
        self._event, self._about = _KINDS[source]
        self._topic, self._partition, self._settings = settings.topic(source), partition, settings
        self._hash_of = HASHES[settings.partitioner]
        self._known: set[Any] = set()
        self._said_at, self._since = float("-inf"), 0

    def admit(self, readings: Readings) -> Readings:
        """The readings, with refusals in place of what isn't to be applied here."""
        event = self._event
        about = set(map(self._about, [said for _, said in readings if type(said) is event]))
        new = about - self._known
        strays = {one: right for one in new if (right := self._right(one)) != self._partition}
        if len(self._known) < _REMEMBERED:
            self._known |= new
        else:
            self._known = about
        if not strays:
            return readings
        self._known -= strays.keys()
        return [(at, self._met(at, said, strays)) for at, said in readings]

    def _right(self, about: str | tuple[str, str]) -> int:
        """The partition of an order's, or a conversation's, key."""
        return self._hash_of(_key(about)) % self._settings.partitions

    def _met(self, offset: int, said: object, strays: dict[Any, int]) -> object:
        """What a record says, or its refusal. What belongs elsewhere is counted, and logged once a while."""
        if type(said) is not self._event or (about := self._about(said)) not in strays:
            return said
        settings, right = self._settings, strays[about]
        metrics.WRONG_PARTITION.labels(self._topic).inc()
        self._since += 1
        place = f"key {_key(about)[: limits.ID_CHARS]!a} belongs in partition {right} of {settings.partitions} by {settings.partitioner}"
        if time.monotonic() - self._said_at > AGAIN_SECONDS:
            done = "parked" if settings.park_wrong_partition else "applied all the same"
            sentence = (
                f"{self._topic}-{self._partition}@{offset}: {place}: it is {done}; let all producers use one partitioner, "
                "the one in NETSOLD_PARTITIONER (docs/runbook.md, Wrong partition)"
            )
            log.warning(sentence, records=self._since)
            self._said_at, self._since = time.monotonic(), 0
        if not settings.park_wrong_partition:
            return said
        return Refusal(Reason.WRONG_PARTITION, f"{place}, not in {self._partition}"[: limits.DETAIL_CHARS])


def _key(about: str | tuple[str, str]) -> bytes:
    return about.encode() if isinstance(about, str) else conversation(*about)
