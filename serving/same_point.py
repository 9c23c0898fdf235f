"""A cycle against the one before it, both until the same full hour after their start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from schemas import times
from schemas.shown_answers import SamePoint
from serving.period_reads import nets_until
from serving.period_rows import first_hours_day
from serving.progress import SALES_JOURNAL

if TYPE_CHECKING:
    from serving.progress import ReaderProgress
    from serving.store import Snapshot
    from tables.cycles import Calendar
    from tables.periods import Net


class Compared(NamedTuple):
    """What stood in a cycle at an instant, and in the one before it as long after its start."""

    until_ms: int
    this: Net
    last: Net

    def answer(self) -> dict[str, Any]:
        """The fields of `SamePoint`."""
        return {
            "until": times.format_short(self.until_ms),
            "this_cycle": self.this.answer(),
            "last_cycle": self.last.answer(),
        }


def point_of(progress: ReaderProgress, calendar: Calendar, start_ms: int) -> int | None:
    """The instant until which a cycle is compared; None while the journal's progress is unknown.

    It is the end of a cycle that is over.
    """
    through_ms = progress.of(SALES_JOURNAL).through_ms
    if through_ms is None:
        return None
    end_ms = calendar.end_of(start_ms)
    if through_ms >= end_ms:
        return end_ms
    return max(start_ms, through_ms - through_ms % times.HOUR_MS)


def compared(
    snapshot: Snapshot, calendar: Calendar, keyed_by: str, id_: bytes, start_ms: int
) -> Compared | None:
    """An id, or the marketplace, in a cycle and in the one before it.

    None while the journal's progress is unknown, or where it is so far behind the tables that the
    hours of the cycle before are deleted.
    """
    until_ms, length_ms = point_of(snapshot.progress, calendar, start_ms), calendar.length_ms
    if until_ms is None:
        return None
    hours: tuple[int | None, int | None] = (None, None)
    if until_ms < calendar.end_of(start_ms):
        if (until_ms - length_ms) // times.DAY_MS < first_hours_day(snapshot):
            return None
        hours = (until_ms - length_ms) // times.HOUR_MS, until_ms // times.HOUR_MS
    last, this = nets_until(snapshot, (keyed_by, id_, start_ms), length_ms, hours)
    return Compared(until_ms, this, last)


def same_point(
    snapshot: Snapshot, calendar: Calendar, keyed_by: str, id_: bytes, start_ms: int
) -> SamePoint | None:
    """As `compared`, as it is answered."""
    found = compared(snapshot, calendar, keyed_by, id_, start_ms)
    return None if found is None else SamePoint.model_validate(found.answer())
