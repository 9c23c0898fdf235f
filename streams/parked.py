"""The dead letters in their topic, counted by source topic and reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.positions import offset_after
from streams import log
from tables.catalogue import DEAD_LETTERS_TOPIC

if TYPE_CHECKING:
    from streams.settings import Settings

UNNAMED: Final = "unknown"
"""The reason, or the topic, of a record without one, which another program wrote."""


@dataclass(slots=True)
class Parked:
    """The dead letters of one topic and reason.

    `since_start` of them were parked after the first reading ended; the times are those of parking.
    """

    topic: str
    reason: str
    count: int = 0
    since_start: int = 0
    oldest_ms: int = 0
    newest_ms: int = 0


class DeadLetters:
    """Counts an application's dead letters; `complete` once the topic was read to its end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic(DEAD_LETTERS_TOPIC)
        self._positions: dict[int, int] = {}
        self._parked: dict[tuple[str, str], Parked] = {}
        self.complete = False

    def counts(self) -> list[Parked]:
        """All counts, sorted by topic and reason."""
        return [self._parked[key] for key in sorted(self._parked)]

    async def read_on(self) -> None:
        """Count new records; an interrupted reading continues. Raises what `log.records` raises."""
        beginnings, ends = await log.bounds(self._settings, [self._topic])
        if any(
            position > ends.get((self._topic, number), 0)
            for number, position in self._positions.items()
        ):
            # the topic was deleted and created again
            self._positions, self._parked, self.complete = {}, {}, False
        starts = {
            number: max(beginning, self._positions.get(number, 0))
            for (_, number), beginning in beginnings.items()
        }
        async for records in log.records(
            self._settings, self._topic, starts, {number: end for (_, number), end in ends.items()}
        ):
            for record in records:
                headers = dict(record.headers)
                self._count(
                    _text(headers.get("__streams.errors.topic")),
                    _text(headers.get("x-dlq-reason")),
                    record.timestamp,
                )
            self._positions[records[-1].partition] = offset_after(records[-1].offset)
        self._positions = {number: end for (_, number), end in ends.items()}
        self.complete = True

    def _count(self, topic: str, reason: str, at_ms: int) -> None:
        one = self._parked.setdefault((topic, reason), Parked(topic, reason, oldest_ms=at_ms))
        one.count += 1
        one.since_start += self.complete
        one.oldest_ms, one.newest_ms = min(one.oldest_ms, at_ms), max(one.newest_ms, at_ms)


def _text(value: bytes | None) -> str:
    return UNNAMED if value is None else value.decode(errors="replace")
