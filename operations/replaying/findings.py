"""What a replay found, in one value: the vector, the tables, the journal, and what differs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from operations.replaying.row_keys import of_cycle
from operations.replaying.sums import Movers, SaleSums
from tables.catalogue import PRODUCT_TOTALS, TABLES, split_conversation_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from operations.replaying.differences import RowDifference, TableResult
    from operations.replaying.journal_check import JournalResult, RowMismatch
    from operations.replaying.plan import TableMark
    from operations.replaying.published_check import TopicResult
    from operations.replaying.row_fold import ImpossibleSums
    from operations.replaying.store_check import StoreResult
    from operations.replaying.tasks import LaneResult

_TABLES = {table.name: table for table in TABLES}


@dataclass(slots=True)
class Findings:
    """The results of all tasks together. `tables` are by name and partition."""

    marks: list[TableMark] = field(default_factory=list)
    tables: dict[str, list[TableResult]] = field(default_factory=lambda: defaultdict(list))
    published: list[TopicResult] = field(default_factory=list)
    journal: list[JournalResult] = field(default_factory=list)
    stores: list[StoreResult] = field(default_factory=list)
    impossible: list[ImpossibleSums] = field(default_factory=list)
    """Those that are kept of `impossible_ids`."""

    impossible_ids: int = 0

    @property
    def differing(self) -> int:
        """How many rows of tables, of published topics, of the journal and of stores differ.

        A store that can't be read counts as one, and so does an id whose sums become impossible.
        """
        rows = self.impossible_ids
        rows += sum(one.differing for found in self.tables.values() for one in found)
        rows += sum(one.differing or one.unreadable is not None for one in self.stores)
        rows += sum(one.differing for one in self.published)
        return rows + sum(one.differing for one in self.journal)

    @property
    def by_basis(self) -> int:
        """How many rows of products and shops by cycle have a `sold_monthly` for each basis."""
        return sum(one.by_basis for found in self.tables.values() for one in found)

    @property
    def rows(self) -> list[RowDifference]:
        """The differing rows of tables that are kept."""
        return [row for found in self.tables.values() for one in found for row in one.shown]

    @property
    def journal_rows(self) -> list[RowMismatch]:
        """The differing rows of the journal that are kept."""
        return [row for one in self.journal for row in one.shown]

    @property
    def vector(self) -> dict[str, tuple[int, int]]:
        """By source partition of events: the least and the greatest offset that tables include."""
        offsets: defaultdict[str, list[int]] = defaultdict(list)
        for mark in self.marks:
            for source, offset in mark.sources.items():
                offsets[source].append(offset)
        return {source: (min(some), max(some)) for source, some in sorted(offsets.items())}

    @property
    def cycles(self) -> SaleSums:
        """Units and money of both sides by cycle and currency."""
        sums = SaleSums()
        for found in self.tables.values():
            for one in found:
                if one.cycles is not None:
                    sums.include(one.cycles)
        return sums

    def movers(self, table: str = PRODUCT_TOTALS.name) -> Movers:
        """The ids of a table of sales of all time that move most."""
        movers = Movers()
        for one in self.tables.get(table, ()):
            if one.movers is not None:
                movers.include(one.movers)
        return movers


def findings_of(results: Iterable[LaneResult]) -> Findings:
    """The findings of all tasks; rows of sums name the first journal row that differs."""
    found = Findings()
    for result in results:
        found.marks += result.marks
        for table in result.tables:
            found.tables[table.table].append(table)
        if result.journal is not None:
            found.journal.append(result.journal)
        if result.published is not None:
            found.published.append(result.published)
        found.stores += result.stores
        found.impossible += result.impossible.shown
        found.impossible_ids += result.impossible.ids
    found.tables = {
        table.name: sorted(found.tables[table.name], key=lambda one: one.partition)
        for table in TABLES
        if table.name in found.tables
    }
    found.journal.sort(key=lambda one: one.partition)
    found.published.sort(key=lambda one: (one.topic, one.partition))
    for row in found.rows:
        row.first = _first(row, found.journal)
    return found


def _first(row: RowDifference, journal: Iterable[JournalResult]) -> str | None:
    """The cause of the first differing row of the journal that is about a row's id."""
    table = _TABLES[row.table]
    if table.form not in {"sales", "service", "buyer"}:
        return None
    id_, name = row.key, table.keyed_by
    if table.windowed:
        id_, _ = of_cycle(row.key.encode()) or (row.key, 0)
    elif table.form == "buyer":
        (id_, _), name = split_conversation_key(row.key.encode()), "shop_id"
    firsts = (one.firsts.get(f"{name}/{id_}") for one in journal)
    return min((first for first in firsts if first is not None), default=None)
