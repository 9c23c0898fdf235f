"""Whether a lane's state and its source belong together.

Marks, committed offset, topic, rules, number of partitions and settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.journal import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.lanes import Lane
    from streams.marks import Mark

_REBUILD: Final = (
    "rebuild under another NETSOLD_APP and NETSOLD_TOPIC_PREFIX (docs/runbook.md, Rebuild)"
)


def why_unfit(
    lane: Lane,
    marks: Mapping[str, Mark | None],
    committed: int | None,
    bounds: tuple[int, int],
    app: str,
) -> str | None:
    """The sentence that says why a lane must not go on, with both numbers and the remedy.

    None where it may: committed = mark + 1.

    `marks` are those of its tables, `committed` the group's offset, `bounds` where the source
    begins and ends.
    """
    where = f"group {app}, {lane.name}"
    present = [mark for mark in marks.values() if mark is not None]
    # first, since with a topic its committed offsets are deleted too
    strange = next((mark.topic_id for mark in present if mark.topic_id != lane.topic_id), None)
    if strange is not None:
        return f"{where}: the topic was deleted and created again (its id is {lane.topic_id}, the state's {strange}); {_REBUILD}"
    if (
        len(present) < len(marks)
        or committed is None
        or any(mark.offset + 1 != committed for mark in present)
    ):
        return _disagreement(where, marks, committed)
    mark, (beginning, end) = present[0], bounds
    if mark.rules != RULES:
        return f"{where}: the state was made by rules {mark.rules}, this worker has rules {RULES}; {_REBUILD}"
    if mark.partitions != lane.partitions:
        return another_count(where, mark.partitions, lane.partitions)
    if mark.terms != lane.terms:
        return f"{where}: the state was made by {mark.terms}, the settings now say {lane.terms}: set them back, or {_REBUILD}"
    outside = f"{where}: the committed offset {committed} lies outside of the log {beginning}-{end}; {_REBUILD}"
    return None if beginning <= committed <= end else outside


def another_count(where: str, before: int, now: int) -> str:
    """The sentence that refuses state of another number of partitions."""
    return (
        f"{where}: the state was made with {before} partitions, now there are {now}: keys have moved away from their state, and sums "
        f"would be torn apart; copy the log and {_REBUILD}"
    )


def _disagreement(where: str, marks: Mapping[str, Mark | None], committed: int | None) -> str:
    says = ", ".join(
        f"{table} is at {'nothing' if mark is None else mark.offset}"
        for table, mark in marks.items()
    )
    given = (
        "no offset is committed" if committed is None else f"the committed offset is {committed}"
    )
    message = f"{where}: {given}, but {says}: going on would count twice or lose; {_REBUILD}"
    offsets = {None if mark is None else mark.offset for mark in marks.values()}
    if committed is None and len(offsets) == 1 and (offset := offsets.pop()) is not None:
        message += f"; or, if only the group's offsets were lost, put back offset {offset + 1} with kafka-consumer-groups.sh"
    return message
