"""The last mark of every changelog partition, read from the changelogs' ends.

Changelogs may be large, so only their last records are read: more of them where those hold no mark.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas import limits
from streams import log
from streams.marks import MARK_KEY, decode_mark

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from streams.log import At
    from streams.marks import Mark
    from streams.settings import Settings

_WIDER: Final = 16
"""By how much more of a changelog is read where the last records hold no mark."""

_QUIET_STEPS: Final = 5
"""After this many steps without progress, the rest of a partition lies in an open transaction."""


@dataclass(frozen=True, slots=True)
class LastMarks:
    """The last committed mark by changelog partition; None where there is none.

    `blocked` are the partitions with records that cannot be read, since a transaction is open
    before them.
    """

    marks: Mapping[At, Mark | None]
    blocked: frozenset[At]


async def last_marks(settings: Settings, changelogs: Collection[str]) -> LastMarks:
    """The last marks of these changelog topics (names on the cluster), which must exist.

    Bound its time: it reads as much as it must. Raises KafkaUnreachable or KafkaError.
    """
    if not changelogs:
        return LastMarks({}, frozenset())
    beginnings, ends = await log.bounds(settings, changelogs)
    found: dict[At, Mark | None] = dict.fromkeys(ends)
    blocked: set[At] = set()
    left = {at for at, end in ends.items() if end > beginnings[at]}
    width = limits.FIRST_TAIL_RECORDS
    while left:
        starts = {at: max(beginnings[at], ends[at] - width) for at in left}
        marks, stuck = await _tails(settings, starts)
        blocked |= stuck
        found |= marks
        left -= marks.keys() | {at for at in left if starts[at] == beginnings[at]}
        width *= _WIDER
    return LastMarks(found, frozenset(blocked))


async def _tails(settings: Settings, starts: Mapping[At, int]) -> tuple[dict[At, Mark], set[At]]:
    """The last marks behind `starts`, and the partitions that can't be read to their ends."""
    marks: dict[At, Mark] = {}
    before: Mapping[At, int] = {}
    quiet = 0
    async with aclosing(log.follow(settings, starts)) as steps:
        async for step in steps:
            for at, records in step.records.items():
                for record in records:
                    if record.key == MARK_KEY and record.value is not None:
                        marks[at] = decode_mark(record.value)
            positions = {at: step.positions[at] for at in step.behind}
            quiet = quiet + 1 if positions == before and step.answered_ms is not None else 0
            before = positions
            if not step.behind or quiet >= _QUIET_STEPS:
                return marks, set(step.behind)
    raise AssertionError("the following of a log never ends")
