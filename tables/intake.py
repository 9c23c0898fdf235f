"""A chunk of events taken in, in its order.

How far event time comes, what is refused, and what is told of each subject.
"""

from collections.abc import Callable
from typing import Any, Final

from schemas.envelope import Tick
from schemas.refusals import READABLE, Refusal
from tables import watermarks
from tables.cycles import Calendar
from tables.outcome import Readings
from tables.watermarks import Progress

NEVER: Final = -(2**63)
"""Before every instant, in epoch milliseconds."""


class Intake:
    """All that depends on a chunk's order.

    The rest of its work is done subject by subject (order, or shop and buyer).
    """

    def __init__(
        self,
        readings: Readings,
        progress: Progress,
        calendar: Calendar,
        most_refused: int,
        subject: Callable[[Any], Any],
    ) -> None:
        """Take in the records, until `most_refused` were refused in a row.

        Then the partition is paused.
        """
        self.events_by_subject: dict[Any, list[tuple[int, Any, int]]] = {}
        """By subject, what was told as it came: offset, event, and how far event time was, in
        epoch milliseconds."""

        self.moves: tuple[list[int], list[int]] = [], []
        """Where event time came on: the instants, in order, and the offsets of their records."""

        self.parked: list[tuple[int, Refusal]] = []
        self.records = self.skipped = self.ticks = self.late = 0
        self.now_ms = _instant(progress.watermark_ms)
        """How far event time came."""

        self.progress, self.paused = self._take(readings, progress, calendar, most_refused, subject)

    def _take(
        self,
        readings: Readings,
        progress: Progress,
        calendar: Calendar,
        most_refused: int,
        subject: Callable[[Any], Any],
    ) -> tuple[Progress, bool]:
        told, now_ms, offset, refused_in_a_row, records = (
            self.events_by_subject,
            self.now_ms,
            progress.offset,
            progress.refused_in_a_row,
            0,
        )
        late = 0
        instants, offsets = self.moves
        furthest, confirmed_ms = progress.furthest, _instant(progress.confirmed_ms)
        cycle_ms, cycle_end_ms = (
            (NEVER, NEVER) if now_ms == NEVER else calendar.around(now_ms)
        )  # that event time is in
        for at, said in readings:
            if refused_in_a_row >= most_refused:
                break
            records += 1
            if at <= offset:  # never twice, even if handed over twice
                self.skipped += 1
                continue
            offset = at
            kind = type(said)
            if kind is Refusal:
                self.parked.append((offset, said))
                refused_in_a_row += said.reason not in READABLE
                continue
            at_ms = said.occurred_at_ms
            if at_ms > now_ms:  # C2
                now_ms = at_ms
                instants.append(at_ms)
                offsets.append(offset)
                if at_ms >= cycle_end_ms:
                    cycle_ms, cycle_end_ms = calendar.around(at_ms)
            if kind is Tick:
                self.ticks += 1
                confirmed_ms = max(confirmed_ms, at_ms)
                continue
            late += at_ms < cycle_ms  # S13: counted here, dropped nowhere
            refused_in_a_row = 0
            about = subject(said)
            if at_ms > confirmed_ms:
                confirmed_ms, furthest = watermarks.confirm(confirmed_ms, furthest, about, at_ms)
            of_subject = told.get(about)
            if of_subject is None:
                told[about] = [(offset, said, now_ms)]
            else:
                of_subject.append((offset, said, now_ms))
        self.now_ms, self.records, self.late = now_ms, records, late
        progress = Progress(
            offset,
            _known(now_ms),
            refused_in_a_row,
            confirmed_ms=_known(confirmed_ms),
            furthest=furthest,
        )
        return progress, refused_in_a_row >= most_refused

    def counts(self, *, duplicates: int, refused: int) -> dict[str, int]:
        """For metrics; `refused` are all, those of the rest of the work as well."""
        accepted = self.records - self.skipped - self.ticks
        counts = {
            "applied": accepted - duplicates - refused,
            "duplicates": duplicates,
            "refused": refused,
        }
        return counts | {"skipped": self.skipped, "ticks": self.ticks, "late": self.late}


def _instant(known_ms: int | None) -> int:
    return NEVER if known_ms is None else known_ms


def _known(instant_ms: int) -> int | None:
    return None if instant_ms == NEVER else instant_ms
