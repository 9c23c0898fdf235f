"""The intake of a chunk, for all stages: which records are applied, and when the stage pauses.

`RecordIntake` skips what was applied before, parks what is refused, and stops at too many refusals
in a row. `Intake` adds what depends on the order of events: event time, and who they are about.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from operator import attrgetter, lt
from typing import Any, Final, NamedTuple

from schemas.envelope import Handover, Tick
from schemas.refusals import READABLE, Refusal
from tables import watermarks
from tables.cycles import Calendar
from tables.outcome import EventCounts, Readings
from tables.watermarks import Furthest, Progress

NEVER: Final = -(2**63)
"""Before every instant, in epoch milliseconds."""

NO_EVENT: Final = Furthest("", NEVER)
"""Before the first event of a partition."""

_APART: Final = {Refusal, Handover}
"""The readings that are not applied."""


class RecordIntake:
    """The records of a chunk that a stage applies."""

    def __init__(self, progress: Progress, most_refused: int) -> None:
        """After `most_refused` refusals in a row the partition is paused."""
        self._most_refused = most_refused
        self.offset = progress.offset
        """Of the last record."""

        self.refused_in_a_row = progress.refused_in_a_row
        self.parked: list[tuple[int, Refusal]] = []
        self.handovers: list[tuple[int, str]] = []
        """Offset and speaker of each, in order."""

        self.records = 0
        """How many records of the chunk are covered, skipped ones included."""

        self.skipped = 0

    def accept(self, readings: Readings, time_type: type) -> Readings:
        """The records to apply, with their offsets, until the partition is paused.

        Those of `time_type` only tell event time: they end no row of refusals. Handovers are kept
        apart, and are ticks where they name a time.
        """
        if readings and not self.paused:  # the usual case: all are new, and none is refused
            offsets, rows = zip(*readings, strict=True)
            kinds = set(map(type, rows))
            in_order = all(map(lt, (self.offset, *offsets), offsets))
            if in_order and kinds.isdisjoint(_APART):
                self.offset, self.records = offsets[-1], len(offsets)
                if kinds != {time_type}:
                    self.refused_in_a_row = 0
                return readings
        offset, refused_in_a_row, most = self.offset, self.refused_in_a_row, self._most_refused
        records, accepted = 0, []
        for item in readings:
            if refused_in_a_row >= most:
                break
            records += 1
            at, reading = item
            if at <= offset:  # never twice, even if handed over twice
                self.skipped += 1
                continue
            offset = at
            kind = type(reading)
            if kind is Refusal:
                self.parked.append((at, reading))
                refused_in_a_row += reading.reason not in READABLE
                continue
            if kind is Handover:
                accepted += self._handed_over(at, reading)
                continue
            if kind is not time_type:
                refused_in_a_row = 0
            accepted.append(item)
        self.offset, self.refused_in_a_row, self.records = offset, refused_in_a_row, records
        return accepted

    def _handed_over(self, at: int, handover: Handover) -> list[tuple[int, Any]]:
        self.handovers.append((at, handover.speaker))
        return [] if handover.at_ms is None else [(at, Tick(handover.at_ms))]

    @property
    def paused(self) -> bool:
        """Whether the partition waits for somebody to resume it."""
        return self.refused_in_a_row >= self._most_refused


Arrival = tuple[int, Any, int]
"""An event as it arrived: its offset, the event, and the partition's event time by then, its own
included, in epoch milliseconds. A plain tuple, since one is made for every event."""


class EventTimeMoves(NamedTuple):
    """Where the event time of a chunk advanced."""

    instants: list[int]
    """In epoch milliseconds, ascending."""

    offsets: list[int]
    """Of the records that advanced it to these instants."""


class Intake(RecordIntake):
    """A chunk of events: all that depends on their order.

    The rest of a stage's work goes subject by subject (order, or shop and buyer).
    """

    def __init__(
        self,
        readings: Readings,
        progress: Progress,
        calendar: Calendar,
        most_refused: int,
        subject: Callable[[Any], Any],
    ) -> None:
        """Take in the records; `subject` is whom an event is about."""
        super().__init__(progress, most_refused)
        self.events_by_subject: dict[Any, list[Arrival]] = {}
        """In the order of arrival."""

        self.moves = EventTimeMoves([], [])
        self.ticks = 0
        self.now_ms = _instant(progress.watermark_ms)
        """The event time after the chunk, in epoch milliseconds."""

        self.progress = self._take(readings, progress, calendar, subject)

    def _take(
        self,
        readings: Readings,
        progress: Progress,
        calendar: Calendar,
        subject: Callable[[Any], Any],
    ) -> Progress:
        by_subject, now_ms = self.events_by_subject, self.now_ms
        late: list[Any] = []
        instants, offsets = self.moves
        furthest, furthest_ms = progress.furthest or NO_EVENT
        confirmed_ms = _instant(progress.confirmed_ms)
        cycle_ms, cycle_end_ms = (NEVER, NEVER) if now_ms == NEVER else calendar.around(now_ms)
        accepted = self.accept(readings, Tick)
        for offset, event in accepted:
            at_ms = event.occurred_at_ms
            if at_ms > now_ms:  # C2
                now_ms = at_ms
                instants.append(at_ms)
                offsets.append(offset)
                if at_ms >= cycle_end_ms:
                    cycle_ms, cycle_end_ms = calendar.around(at_ms)
            if type(event) is Tick:
                self.ticks += 1
                confirmed_ms = max(confirmed_ms, at_ms)
                continue
            if at_ms < cycle_ms:  # S13: late events are counted, and applied all the same
                late.append(event)
            about = subject(event)
            if at_ms > confirmed_ms:
                confirmed_ms, furthest_ms, furthest = watermarks.confirm(
                    confirmed_ms, furthest_ms, furthest, about, at_ms
                )
            of_subject = by_subject.get(about)
            if of_subject is None:
                by_subject[about] = [(offset, event, now_ms)]
            else:
                of_subject.append((offset, event, now_ms))
        self.now_ms = now_ms
        events = [event for _, event in accepted if type(event) is not Tick]
        self._types, self._late = _types(events), _types(late)
        return Progress(
            self.offset,
            _known(now_ms),
            self.refused_in_a_row,
            confirmed_ms=_known(confirmed_ms),
            furthest=Furthest(furthest, furthest_ms) if furthest_ms != NEVER else None,
            speaker=progress.speaker,
        )

    def counts(self) -> dict[str, int]:
        """For metrics, what is no event."""
        return {"skipped": self.skipped, "ticks": self.ticks}

    def event_counts(self, duplicates: Counter[str], refused: Counter[str]) -> EventCounts:
        """For metrics; the types of known events, and of those refused after the intake."""
        return EventCounts(self._types - duplicates - refused, duplicates, self._late)


_TYPE: Final = attrgetter("type")


def _types(events: Iterable[Any]) -> Counter[str]:
    return Counter(map(_TYPE, events))


def _instant(known_ms: int | None) -> int:
    return NEVER if known_ms is None else known_ms


def _known(instant_ms: int) -> int | None:
    return None if instant_ms == NEVER else instant_ms
