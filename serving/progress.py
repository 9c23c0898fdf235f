"""How far a reader's tables are.

The source offsets that they contain, the event time through which they are complete, and the
watermark that decides the current cycle.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final

import msgspec

from schemas import times
from serving.fresh_json import progress_text
from tables import catalogue, watermarks
from tables.watermarks import SourceProgress

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from serving.fresh_json import ProgressText

SALES_JOURNAL: Final = "journal"
"""The name of the topic `sales` among what a reader follows; it follows no other journal.

Clients see it: `/v1/status` has the journal's progress under it.
"""

NAMES: Final = "names"
"""The name of the topic `names` among what a reader follows. It has no marks and no part in the
progress of tables, so it is not in FOLLOWED."""

FOLLOWED: Final = (*(table.name for table in catalogue.READER_TABLES), SALES_JOURNAL)
"""What a reader follows: tables by their changelogs, and the sales journal."""

DIRECT: Final = frozenset(
    table.name
    for table in catalogue.READER_TABLES
    if table.stage in {catalogue.ORDER_STAGE.name, catalogue.CHAT_STAGE.name}
)
"""The tables whose partitions contain one partition of events each. A partition of any other
table contains something of all partitions of events."""

_EVENTS: Final = {
    table.name: catalogue.event_topics(table.stage) for table in catalogue.READER_TABLES
} | {SALES_JOURNAL: (catalogue.ORDERS_TOPIC,)}


def topics_of(*names: str) -> frozenset[str]:
    """The topics of events that the followed tables of these names contain."""
    return frozenset(topic for name in names for topic in _EVENTS[name])


@cache
def names_by_key(keyed_by: str) -> tuple[str, ...]:
    """The followed tables with this key: an answer about such an id is read from them."""
    return tuple(table.name for table in catalogue.READER_TABLES if table.keyed_by == keyed_by)


class PartitionProgress(msgspec.Struct, frozen=True):
    """How far one followed partition is.

    `offset` is the last one of the topic that its stage reads, of the journal its own. `sources`
    is by source partition. `topic_id` and `refused_in_a_row` are from its table's mark: the log
    that its stage read (empty without a mark), and the number of refused records at its end.
    `rules` and `build` are those that wrote the mark; 0 and empty where they are unknown.
    """

    offset: int = -1
    sources: dict[str, SourceProgress] = msgspec.field(default_factory=dict)
    topic_id: str = ""
    refused_in_a_row: int = 0
    rules: int = 0
    build: str = ""


@dataclass(frozen=True)
class TableProgress:
    """How far a whole table is, or several.

    `applied`: by source partition, the last offset that all partitions of the table contain.
    `through_ms`: the table is complete through this event time; None while the progress of a
    source partition is unknown. `earliest_ms`: the least known watermark; the current cycle
    contains it (C1, C2).
    """

    applied: dict[str, int]
    through_ms: int | None
    earliest_ms: int | None

    @cached_property
    def text(self) -> ProgressText:
        """How an answer has it."""
        as_of = None if self.through_ms is None else times.format_ms(self.through_ms)
        return progress_text(as_of, self.applied)


@dataclass(frozen=True, slots=True)
class ReaderProgress:
    """How far all followed partitions are: `partitions` by name of FOLLOWED and number.

    `complete`: the store has contained, in full, all that the log had at some moment, so that the
    reader may answer. `live`: it has applied all that the log had when this process began.
    """

    partitions: Mapping[str, Mapping[int, PartitionProgress]]
    complete: bool
    live: bool
    _tables: dict[tuple[str, ...], TableProgress] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def has_tables(self) -> bool:
        """Whether any partition is followed."""
        return any(self.partitions.values())

    def of(self, *names: str) -> TableProgress:
        """How far the tables (or the journal) of these names are together."""
        found = self._tables.get(names)
        if found is None:
            found = self._tables[names] = (
                self._of_table(names[0]) if len(names) == 1 else self._of_tables(names)
            )
        return found

    def of_all(self) -> TableProgress:
        """How far everything that is followed is together."""
        return self.of(*FOLLOWED)

    def slowest(self, source: str, topic: str) -> str | None:
        """The table with the lowest applied offset of a source partition of a public topic.

        None if all tables have the same.
        """
        offsets = {
            name: self.of(name).applied.get(source, -1)
            for name in FOLLOWED
            if topic in _EVENTS[name]
        }
        slowest = min(offsets, key=lambda name: offsets[name])
        return None if offsets[slowest] == max(offsets.values()) else slowest

    def watermark_of(self, source: str) -> int | None:
        """The event time through which everything that is followed has a source partition.

        In epoch milliseconds; None while one has no watermark of it.
        """
        return watermarks.least(
            [
                one.sources[source].watermark_ms
                for partitions in self.partitions.values()
                for one in partitions.values()
                if source in one.sources
            ]
        )

    def _of_table(self, name: str) -> TableProgress:
        partitions = self.partitions[name]
        return _of_partitions(
            partitions.values(),
            1 if name in DIRECT else len(partitions),
            len(partitions) * len(_EVENTS[name]),
        )

    def _of_tables(self, names: tuple[str, ...]) -> TableProgress:
        tables = {name: self.of(name) for name in names}
        topic_of = {
            source: _EVENTS[name][0]
            for name in DIRECT
            for partition in self.partitions[name].values()
            for source in partition.sources
        }
        applied = {}
        for source in _sorted({source for table in tables.values() for source in table.applied}):
            offsets = [
                table.applied.get(source)
                for name, table in tables.items()
                if topic_of.get(source) in _EVENTS[name]
            ]
            known = [offset for offset in offsets if offset is not None]
            if known and len(known) == len(offsets):
                applied[source] = min(known)
        earliest = [table.earliest_ms for table in tables.values() if table.earliest_ms is not None]
        return TableProgress(
            applied,
            watermarks.least([table.through_ms for table in tables.values()]),
            min(earliest, default=None),
        )


NOT_FOLLOWING: Final = ReaderProgress({name: {} for name in FOLLOWED}, complete=False, live=False)
"""The progress of a reader without tables."""


def _of_partitions(
    partitions: Collection[PartitionProgress], times: int, sources: int
) -> TableProgress:
    """Of `sources` source partitions; a complete table has the progress of each `times` times."""
    found: defaultdict[str, list[SourceProgress]] = defaultdict(list)
    for partition in partitions:
        for source, progress in partition.sources.items():
            found[source].append(progress)
    everywhere = {source: some for source, some in found.items() if len(some) == times}
    offsets = {source: min(one.offset for one in some) for source, some in everywhere.items()}
    marks = [one.watermark_ms for some in found.values() for one in some]
    return TableProgress(
        applied={source: offsets[source] for source in _sorted(offsets) if offsets[source] >= 0},
        through_ms=watermarks.least(marks) if len(everywhere) == sources else None,
        earliest_ms=min((mark for mark in marks if mark is not None), default=None),
    )


def _sorted(sources: Collection[str]) -> list[str]:
    """By length, then by name: `orders-9` comes before `orders-10`."""
    return sorted(sources, key=lambda name: (len(name), name))
