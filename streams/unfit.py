"""Which state must not be used with its source: checks of an opening, each with its sentence.

They compare marks, committed offsets, topics, rules, numbers of partitions, and terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aiokafka import TopicPartition

from schemas.columns import RULES
from schemas.positions import offset_after
from streams import groups
from streams.errors import StateUnfit
from streams.topics import changelog
from tables import formats
from tables.catalogue import FAMILY_TOPICS
from tables.terms import differing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka.structs import OffsetAndMetadata

    from streams.cluster import Bounds, Cluster
    from streams.marks import Mark
    from streams.settings import Settings
    from tables.catalogue import StageSpec

_REBUILD: Final = "rebuild it by `netsold rebuild start` (docs/runbook.md, Rebuild)"
_SETTINGS_CHANGED: Final = "docs/runbook.md, Settings changed"
_COPY: Final = (
    "count a copy of the log by `netsold rebuild start --partitions N` (docs/runbook.md, Rebuild)"
)


class SourcePartition(Protocol):
    """What state must fit: one source partition of a stage as it is now, such as an open lane."""

    @property
    def name(self) -> str:
        """For messages: `orders-3`."""

    @property
    def topic_id(self) -> str:
        """The cluster's id of the topic."""

    @property
    def partitions(self) -> int:
        """The number of partitions of every topic."""

    @property
    def terms(self) -> str:
        """The settings by which its tables are made."""


def refuse_added_partitions(settings: Settings, sources: Iterable[TopicPartition]) -> None:
    """Raise StateUnfit for a partition beyond the settings' number.

    Topics had the right number when this worker started, so the partition was added since.
    """
    for topic, partition in sources:
        if partition >= settings.partitions:
            raise StateUnfit(
                f"topic {topic} now has more than the {settings.partitions} partitions that "
                "netsold needs, so keys have moved: count a copy of the log by "
                "`netsold rebuild start --partitions N` (docs/runbook.md, Topics unfit)"
            )


async def refuse_others_state(
    settings: Settings,
    kafka: Cluster,
    writing: Sequence[StageSpec],
    committed: Mapping[TopicPartition, int | None],
    ends: Bounds,
) -> None:
    """Raise StateUnfit where a first opening would mix its state with other state.

    `writing` are the stages that write a journal, `committed` the group's offsets in the partitions
    that are being opened, `ends` the high watermarks of all topics.
    """
    if all(offset is None for offset in committed.values()):
        await _refuse_others_journal(settings, kafka, writing, ends)
    if None in committed.values():
        refuse_others_layout(settings, await kafka.group_offsets())


def refuse_others_layout(
    settings: Settings, offsets: Mapping[TopicPartition, OffsetAndMetadata]
) -> None:
    """Raise StateUnfit where the group counts by other terms or partitions, by its offsets."""
    before = groups.other_count(settings, offsets)
    if before is not None:
        raise StateUnfit(_other_count(f"group {settings.app}", before, settings.partitions))
    terms = groups.other_terms(settings, offsets)
    if terms is not None:
        raise StateUnfit(
            f"group {settings.app}: its workers count by terms {terms}, this one has "
            f"{settings.terms.name} ({settings.rules.source}): give all of them the same "
            f"rules file by NETSOLD_RULES ({_SETTINGS_CHANGED})"
        )


async def _refuse_others_journal(
    settings: Settings, kafka: Cluster, writing: Sequence[StageSpec], ends: Bounds
) -> None:
    """A new application must not write into a journal that has records.

    The journal would have every sale twice, and every alert. An application is new while it has
    neither changelogs nor committed offsets.
    """
    own = {name for stage in writing for name in (*stage.sends, *stage.emits)}
    if settings.base_app is not None:
        own -= {*FAMILY_TOPICS}  # handovers decide who writes them
    written = _with_records(ends, set(map(settings.topic, own)))
    if not written or _with_records(
        ends, {changelog(settings, table.name) for stage in writing for table in stage.tables}
    ):
        return
    sources = [
        TopicPartition(settings.topic(stage.source), number)
        for stage in writing
        for number in range(settings.partitions)
    ]
    if all(offset is None for offset in (await kafka.committed(sources)).values()):
        read = " and ".join(
            f"NETSOLD_{stage.source.upper()}_TOPIC={settings.topic(stage.source)}"
            for stage in writing
        )
        raise StateUnfit(
            f"group {settings.app} is new, but {written[0]} already has another application's "
            "records, and every sale would stand there twice: give this one a NETSOLD_TOPIC_PREFIX "
            f"of its own, and {read} to read the same log (docs/runbook.md, Rebuild)"
        )


def _with_records(ends: Bounds, topics: set[str]) -> list[str]:
    """Those of some topics that have ever had a record."""
    return sorted({tp.topic for tp, end in ends.items() if end and tp.topic in topics})


def why_unfit(
    lane: SourcePartition,
    marks: Mapping[str, Mark | None],
    committed: int | None,
    bounds: tuple[int, int],
    app: str,
) -> str | None:
    """Why a lane must not continue: a sentence with both numbers and the remedy; None if it may.

    It may where committed = mark + 1 in every table, and the mark was made under the same rules,
    number of partitions, and terms. The build that made a mark is no condition. `marks` are
    those of the lane's tables, `committed` is the group's offset, `bounds` are where the source
    begins and ends.
    """
    where = f"group {app}, {lane.name}"
    present = [mark for mark in marks.values() if mark is not None]
    # first, since a topic's committed offsets are deleted with it
    strange = next((mark.topic_id for mark in present if mark.topic_id != lane.topic_id), None)
    if strange is not None:
        return (
            f"{where}: the topic was deleted and created again "
            f"(its id is {lane.topic_id}, the state's {strange}); {_REBUILD}"
        )
    if (
        len(present) < len(marks)
        or committed is None
        or any(offset_after(mark.offset) != committed for mark in present)
    ):
        return _disagreement(where, marks, committed)
    otherwise = made_otherwise(where, present[0], lane)
    beginning, end = bounds
    if otherwise is None and not beginning <= committed <= end:
        return (
            f"{where}: the committed offset {committed} lies outside of the log "
            f"{beginning}-{end}; {_REBUILD}"
        )
    return otherwise


def made_otherwise(where: str, mark: Mark, lane: SourcePartition) -> str | None:
    """The sentence for a mark of other rules, formats, partitions or terms; None without."""
    if mark.rules != RULES:
        return (
            f"{where}: the state was made by rules {mark.rules}, this worker has rules {RULES}; "
            f"{_REBUILD}"
        )
    if mark.format > formats.READ:
        return (
            f"{where}: the state has rows of format {mark.format}, this build reads formats up to "
            f"{formats.READ}: run the release that wrote them, or the one before that "
            "(docs/runbook.md, State of another release)"
        )
    if mark.partitions != lane.partitions:
        return _other_count(where, mark.partitions, lane.partitions)
    if mark.terms != lane.terms:
        return _other_terms(where, mark.terms, lane.terms)
    return None


def _other_terms(where: str, before: str, now: str) -> str:
    """The sentence for state of other terms; it names those that differ."""
    lost, new = differing(before, now)
    of_keys = all(one.startswith("keys by ") for one in (*lost, *new))
    back = "NETSOLD_PARTITIONER" if of_keys else "NETSOLD_RULES"
    rebuild = "netsold rebuild start" if of_keys else "netsold rebuild start --rules FILE"
    return (
        f"{where}: the state was made by {', '.join(lost)}; this program's terms have "
        f"{', '.join(new)}: set {back} back, or rebuild it by `{rebuild}` "
        "(docs/runbook.md, Rebuild)"
    )


def _other_count(where: str, before: int, now: int) -> str:
    return (
        f"{where}: the state was made with {before} partitions, now there are {now}: keys have "
        "moved away from their state, and sums would be torn apart; "
        f"{_COPY}"
    )


def _disagreement(where: str, marks: Mapping[str, Mark | None], committed: int | None) -> str:
    states = ", ".join(
        f"{table} is at {'nothing' if mark is None else mark.offset}"
        for table, mark in marks.items()
    )
    given = (
        "no offset is committed" if committed is None else f"the committed offset is {committed}"
    )
    message = f"{where}: {given}, but {states}: going on would count twice or lose; {_REBUILD}"
    offsets = {None if mark is None else mark.offset for mark in marks.values()}
    if committed is None and len(offsets) == 1 and (offset := offsets.pop()) is not None:
        message += (
            "; or, if only the group's offsets were lost, put back offset "
            f"{offset_after(offset)} with `netsold doctor --mend`"
        )
    return message
