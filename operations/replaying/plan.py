"""Where a replay stops to compare: at the marks of the tables, and what these include.

A table of a journal includes the journal's rows up to some offset. By source partition that is all
up to the last progress mark before it, and of the next transaction the rows that were read already:
a cut. So the tables' content is known by source offsets alone, to the row.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.replaying.row_keys import UNREADABLE
from schemas.journal import ProgressMark, decode
from schemas.positions import position_of
from tables.catalogue import MARKETPLACE_SHARES, SALES_TOPIC, STAGES, TABLES
from tables.cycle_ends import NONE_ENDED, CycleEnds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streams.cut_transactions import CutTransaction

STAGE_OF: Final = {table.name: table.stage for table in TABLES}


class TableMark(msgspec.Struct, frozen=True):
    """The last mark of a table's partition: what its rows include.

    `sources` has, for tables of a journal, the last offset by source partition such as `orders-3`.
    `ends` is which cycles have ended.
    """

    table: str
    partition: int
    offset: int
    sources: dict[str, int]
    terms: str
    rules: int
    build: str
    ends: CycleEnds = NONE_ENDED


class Cut(msgspec.Struct, frozen=True):
    """A transaction of source offsets `start` < offset <= `end` that is included in part.

    `rows` are the key and source offset of its rows in the journal's partition, `included` how many
    of them a table includes. Of `shop-activity` the source offsets are 0.
    """

    start: int
    end: int
    rows: list[tuple[bytes, int]]
    included: int

    def chosen(self, rows: Sequence[tuple[bytes, bytes]]) -> list[int]:
        """The indexes of those rows of a replay of this transaction that belong to the part."""
        if [key for key, _ in rows] == [key for key, _ in self.rows]:
            return list(range(self.included))
        # other rules have other rows: those of the same key and event, or of an earlier event
        part = self.rows[: self.included]
        keys, last = set(part), part[-1][1]
        found = [(key, cause_of(value)) for key, value in rows]
        return [at for at, one in enumerate(found) if one in keys or one[1] < last]


class Stop(msgspec.Struct, frozen=True):
    """Where tables of one lane are compared: at their mark's offset in what the lane reads.

    `vector` and `cuts` are by source partition, and empty where the lane reads events. `ends` is
    which cycles have ended by the mark of `marketplace_shares`, if that is among the tables.
    """

    offset: int
    tables: list[str]
    vector: dict[str, int] = msgspec.field(default_factory=dict)
    cuts: dict[str, Cut] = msgspec.field(default_factory=dict)
    ends: CycleEnds = NONE_ENDED


class Plan(msgspec.Struct, frozen=True):
    """All stops, ascending, by lane such as `product-0`, and the marks that they are made of.

    `beginnings` are the first offsets of the logs, by partition such as `orders-3`.
    """

    marks: list[TableMark]
    stops: dict[str, list[Stop]]
    beginnings: dict[str, int]

    def limits_of(self, lane: str, source: str) -> list[int]:
        """The source offsets at which a chunk of a source partition must end, ascending."""
        found = {stop.offset for stop in self.stops.get(lane, ())}
        for stop in self._downstream(source):
            found.add(stop.vector.get(source, -1))
            if source in stop.cuts:
                found |= {stop.cuts[source].start, stop.cuts[source].end}
        return sorted(found)

    def wholes_of(self, source: str) -> dict[int, int]:
        """The source offsets from and to which a chunk must not end, as a transaction has them."""
        return {
            stop.cuts[source].start: stop.cuts[source].end
            for stop in self._downstream(source)
            if source in stop.cuts
        }

    def _downstream(self, source: str) -> Iterable[Stop]:
        return (
            stop
            for stops in self.stops.values()
            for stop in stops
            if source in stop.vector or source in stop.cuts
        )


def stops_of(marks: Iterable[TableMark], *, shares: bool) -> dict[str, list[Stop]]:
    """The stops by lane, without cuts: tables with the same mark are compared together.

    With `shares` those of the marketplace as well. A replay of other terms leaves them out: which
    cycles have ended is known by the marks, in the tables' own cycles.
    """
    by_lane: defaultdict[str, dict[int, Stop]] = defaultdict(dict)
    for mark in marks:
        is_share = mark.table == MARKETPLACE_SHARES.name
        if is_share and not shares:
            continue
        lane = f"{STAGE_OF[mark.table]}-{mark.partition}"
        stop = by_lane[lane].get(mark.offset)
        if stop is None:
            stop = Stop(mark.offset, [], dict(mark.sources))
        ends = mark.ends if is_share else stop.ends
        by_lane[lane][mark.offset] = msgspec.structs.replace(
            stop, tables=[*stop.tables, mark.table], ends=ends
        )
    return {lane: [stops[at] for at in sorted(stops)] for lane, stops in sorted(by_lane.items())}


def with_cuts(
    stop: Stop, found: Iterable[CutTransaction], journal: str, beginnings: Mapping[str, int]
) -> Stop:
    """A stop with the transactions that its lane had read in part.

    `journal` is the topic without prefix, `beginnings` are of the logs, by source partition.
    """
    is_sales = journal == SALES_TOPIC
    cuts = {
        one.source: Cut(
            stop.vector.get(one.source, beginnings[one.source] - 1),
            one.end,
            [(key, cause_of(value) if is_sales else 0) for key, value in one.rows],
            one.included,
        )
        for one in found
    }
    return msgspec.structs.replace(stop, cuts=cuts)


class _Named(msgspec.Struct, frozen=True, gc=False):
    id: str = ""


_decode_id: Final = msgspec.json.Decoder(_Named).decode


def id_of(value: bytes) -> str:
    """The id of a row of `sales`; empty for a record that has none."""
    try:
        return _decode_id(value).id
    except UNREADABLE:
        return ""


def mark_of(value: bytes) -> ProgressMark | None:
    """The progress mark that a record of `sales` is; None for any other record."""
    try:
        found = decode(value)
    except UNREADABLE:
        return None  # what no worker wrote is no mark
    return found if isinstance(found, ProgressMark) else None


def cause_of(value: bytes) -> int:
    """The source offset that a row of `sales` names; 0 where it names none."""
    try:
        return position_of(id_of(value).rpartition("#")[0]).offset
    except ValueError:
        return 0


def feeding(journal: str) -> list[str]:
    """The names of the stages that send to a journal, which is named without prefix."""
    return [spec.name for spec in STAGES if journal in spec.sends]


def from_mark(table: str, partition: int, mark: Any) -> TableMark:  # noqa: ANN401 - a streams.marks.Mark
    """The mark of a table's partition in the form of a plan."""
    sources = {name: source.offset for name, source in mark.sources.items()}
    return TableMark(
        table, partition, mark.offset, sources, mark.terms, mark.rules, mark.build, mark.ends
    )
