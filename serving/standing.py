"""How far a reader's tables are.

Which source offsets they hold, through which event time they are complete, which cycle is current.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec

from tables import catalogue, watermarks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

JOURNAL: Final = "journal"
TABLES: Final = (
    catalogue.ORDERS,
    catalogue.PRODUCT_CYCLES,
    catalogue.PRODUCT_SERVICE_CYCLES,
    catalogue.SHOP_CYCLES,
    catalogue.SHOP_SERVICE_CYCLES,
    catalogue.SHOP_SERVICE_TOTALS,
    catalogue.OVERDUE_INQUIRIES,
)
"""The tables that a reader follows. Not the totals of sales: they are the sums of the cycles,
and added up from there they agree."""

FOLLOWED: Final = (*(table.name for table in TABLES), JOURNAL)
DIRECT: Final = frozenset(
    table.name
    for table in TABLES
    if table.stage in {catalogue.ORDER_STAGE.name, catalogue.CHAT_STAGE.name}
)
"""The tables whose partitions hold one partition of events each; the others hold something of
all of them."""

OF_PRODUCT: Final = (catalogue.PRODUCT_CYCLES.name, catalogue.PRODUCT_SERVICE_CYCLES.name)
OF_SHOP: Final = (
    catalogue.SHOP_CYCLES.name,
    catalogue.SHOP_SERVICE_CYCLES.name,
    catalogue.SHOP_SERVICE_TOTALS.name,
)
"""What an answer about a product, or a shop, is taken from."""

_EVENTS: Final = {table.name: catalogue.event_topics(table.stage) for table in TABLES} | {
    JOURNAL: (catalogue.ORDERS_TOPIC,)
}


class Reached(msgspec.Struct, frozen=True):
    """How far one followed partition is.

    `offset` is the last one of the topic that its stage reads (of the journal: its own); `sources`
    has, by source partition, the last offset of events that is in it, and the watermark. By its
    table's mark, `topic_id` is the log that its stage read, empty where no mark says it, and
    `refused_in_a_row` how many records at its end were refused.
    """

    offset: int = -1
    sources: dict[str, tuple[int, int | None]] = msgspec.field(default_factory=dict)
    topic_id: str = ""
    refused_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a whole table is.

    `applied`: by source partition, the last offset that all its partitions hold. `through_ms`:
    complete through this event time, None if a source partition hasn't been heard of everywhere.
    `earliest_ms`: the least of the watermarks that are known: the cycle that holds it is the
    current one (C1, C2). `tag` is another one whenever the table is.
    """

    applied: dict[str, int]
    through_ms: int | None
    earliest_ms: int | None
    tag: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How far all followed partitions are: `reached` by name of FOLLOWED and partition.

    `complete`: the store has held, in full, all that the log had at some moment: it may answer.
    `live`: it has come to the end that the log had when this process began.
    """

    reached: Mapping[str, Mapping[int, Reached]]
    complete: bool
    live: bool
    _extents: dict[tuple[str, ...], Extent] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def extent(self, *names: str) -> Extent:
        """How far the tables (or the journal) of these names are, all of them."""
        found = self._extents.get(names)
        if found is None:
            found = self._extents[names] = (
                self._extent(names[0]) if len(names) == 1 else self._least(names)
            )
        return found

    def least(self) -> Extent:
        """How far all of them are."""
        return self.extent(*FOLLOWED)

    def slowest(self, source: str, topic: str) -> str | None:
        """The table that holds least of a source partition, which is one of a topic (a public name); None if all hold the same."""
        reached = {
            name: self.extent(name).applied.get(source, -1)
            for name in FOLLOWED
            if topic in _EVENTS[name]
        }
        least = min(reached, key=lambda name: reached[name])
        return None if reached[least] == max(reached.values()) else least

    def _extent(self, name: str) -> Extent:
        partitions = self.reached[name]
        return _extent(
            partitions.values(),
            1 if name in DIRECT else len(partitions),
            len(partitions) * len(_EVENTS[name]),
        )

    def _least(self, names: tuple[str, ...]) -> Extent:
        extents = {name: self.extent(name) for name in names}
        topic_of = {
            source: _EVENTS[name][0]
            for name in DIRECT
            for reached in self.reached[name].values()
            for source in reached.sources
        }
        applied = {}
        for source in sorted(
            {source for extent in extents.values() for source in extent.applied},
            key=lambda name: (len(name), name),
        ):
            hearing = [
                extent.applied.get(source)
                for name, extent in extents.items()
                if topic_of.get(source) in _EVENTS[name]
            ]
            offsets = [offset for offset in hearing if offset is not None]
            if offsets and len(offsets) == len(hearing):
                applied[source] = min(offsets)
        known = [
            extent.earliest_ms for extent in extents.values() if extent.earliest_ms is not None
        ]
        through_ms = watermarks.least([extent.through_ms for extent in extents.values()])
        return Extent(
            applied,
            through_ms,
            min(known, default=None),
            _tag([extent.tag for extent in extents.values()]),
        )


def _extent(partitions: Collection[Reached], times: int, sources: int) -> Extent:
    """Of `sources` source partitions, each of which is to be heard of `times` times."""
    heard: defaultdict[str, list[tuple[int, int | None]]] = defaultdict(list)
    for reached in partitions:
        for source, at in reached.sources.items():
            heard[source].append(at)
    everywhere = {source: ats for source, ats in heard.items() if len(ats) == times}
    offsets = {source: min(offset for offset, _ in ats) for source, ats in everywhere.items()}
    marks = [watermark_ms for ats in heard.values() for _, watermark_ms in ats]
    return Extent(
        applied={
            source: offsets[source]
            for source in sorted(offsets, key=lambda name: (len(name), name))
            if offsets[source] >= 0
        },
        through_ms=watermarks.least(marks) if len(everywhere) == sources else None,
        earliest_ms=min((mark for mark in marks if mark is not None), default=None),
        tag=_tag(list(partitions)),
    )


def _tag(parts: list[Reached] | list[str]) -> str:
    return blake2b(msgspec.json.encode(parts), digest_size=12).hexdigest()
