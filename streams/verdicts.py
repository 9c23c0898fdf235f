"""What would become of a dead letter that is put back, by the worker's own decoder and rules."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from schemas import envelope, limits
from schemas.refusals import Reason, Refusal
from streams import admission
from streams.partitioning import partition_of
from tables import catalogue
from tables.requeueing import key_for, requeued_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.letters import Letter
    from streams.settings import Settings

RequeueOutcome = Literal["accepted", "refused", "attempts", "no_key", "no_events"]
"""`accepted`: it would be applied. `refused`: it would be parked again. `attempts`: it was put back
too often. `no_key`: nothing names one. `no_events`: its record was in no topic of events."""

FORCIBLE: Final[frozenset[RequeueOutcome]] = frozenset({"accepted", "refused", "attempts"})
"""The outcomes of letters that can be put back, if need be by force."""

_READS: Final = {
    catalogue.ORDERS_TOPIC: envelope.read,
    catalogue.CHATS_TOPIC: envelope.read_chat,
}
_FULL: Final = {
    Reason.ORDER_FULL.value: "an order that is full stays full",
    Reason.CONVERSATION_FULL.value: "a conversation that is full stays full",
}


@dataclass(frozen=True, slots=True)
class Requeued:
    """A record as it is written when its letter is put back.

    `topic` is the name on the cluster. `offset` is unknown, -1, and `timestamp` is now.
    """

    topic: str
    partition: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]
    offset: int = -1


@dataclass(frozen=True, slots=True)
class LetterVerdict:
    """What would become of one letter.

    `reason` and `detail` say why it would not be applied. `record` is what would be written, None
    if nothing can be; `event` is what the decoder makes of it, if that is accepted.
    """

    outcome: RequeueOutcome
    reason: str = ""
    detail: str = ""
    record: Requeued | None = None
    event: Any = None


class Verdicts:
    """Judges letters by the present program and settings. `key` replaces missing and wrong keys."""

    def __init__(self, settings: Settings, key: bytes | None = None) -> None:
        self._settings = settings
        self._key = key
        self._names = {settings.topic(name): name for name in catalogue.EVENT_TOPICS}
        self._admits: dict[tuple[str, int], Callable[[envelope.Record], Any]] = {}

    def of(self, letter: Letter) -> LetterVerdict:
        """The verdict on a letter, by the record that would be written now."""
        name = self._names.get(letter.topic)
        if name is None or letter.source is None:
            detail = f"{letter.topic} is no topic of events: find the program that writes there"
            return LetterVerdict("no_events", detail=detail)
        key = key_for(letter, name, self._key)
        if key is None:
            return LetterVerdict("no_key", detail="its content names no key: give --key")
        settings = self._settings
        partition = partition_of(key, settings.partitions, settings.partitioner)
        record = Requeued(
            letter.topic,
            partition,
            time.time_ns() // 1_000_000,
            key,
            letter.value,
            requeued_headers(letter),
        )
        reading = self._admit(name, partition)(record)
        if isinstance(reading, Refusal):
            return LetterVerdict("refused", reading.reason.value, reading.detail, record)
        if letter.reason in _FULL:
            return LetterVerdict("refused", letter.reason, _FULL[letter.reason], record)
        if letter.attempt >= limits.REQUEUE_ATTEMPTS:
            detail = f"it was put back {letter.attempt:,} times and parked each time"
            return LetterVerdict("attempts", letter.reason, detail, record, reading)
        return LetterVerdict("accepted", record=record, event=reading)

    def _admit(self, name: str, partition: int) -> Callable[[envelope.Record], Any]:
        """The decoder of a topic (without prefix), with the worker's refusals of a partition."""
        at = name, partition
        if at not in self._admits:
            self._admits[at] = admission.of_events(_READS[name], *at, self._settings)
        return self._admits[at]
