"""Compares a list of two versions by their journals' sums, each in a store."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING

from operations.journal_sums import without_cycle
from operations.replaying.differences import differing
from operations.versions.comparison import MOST_ROWS, DifferentRow, ListComparison, row_key
from tables import catalogue, sales
from tables.catalogue import REPORT_LISTS
from tables.report import ReportRow, rows_of, sales_rows, sort_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from operations.replaying.row_store import RowStore
    from tables.terms import Terms


def compare_sums(
    name: str,
    terms: tuple[Terms, Terms],
    stores: tuple[RowStore, RowStore],
    *,
    by_cycle: bool = True,
) -> ListComparison:
    """How a list differs whose sums the stores have; the first rows that differ are in memory.

    Sums of all time, `by_cycle` False, name no cycle.
    """
    table = REPORT_LISTS[name].name
    sides = [_Side(name, *one, by_cycle=by_cycle) for one in zip(terms, stores, strict=True)]
    same = count = 0

    def others() -> Iterator[DifferentRow]:
        nonlocal same, count
        for key, *states in differing(*(store.rows(table) for store in stores)):
            first, second = (
                side.row(key, state) for side, state in zip(sides, states, strict=True)
            )
            if first != second:
                count += 1
                yield DifferentRow(row_key(name, first or second or {}), first, second)
            elif first is not None:
                same += 1

    key_of = sort_key(name)
    kept = nsmallest(MOST_ROWS, others(), key=lambda row: key_of(row.first or row.second or {}))
    return ListComparison(same, kept, more_different=count - len(kept))


class _Side:
    """The rows of a report of one version."""

    def __init__(self, name: str, terms: Terms, store: RowStore, *, by_cycle: bool) -> None:
        self._terms, self._by_cycle = terms, by_cycle
        self._table = REPORT_LISTS[name]
        totals = catalogue.find_table(self._table.keyed_by, "sales", windowed=False)
        self._totals = None if totals is None else store.view(totals.name)

    def row(self, key: bytes, state: bytes | None) -> ReportRow | None:
        """The row of a state; None where the report has none."""
        if state is None:
            return None
        subject, start_ms = catalogue.split_cycle_key(key)
        if self._table.form != "sales":
            rows = rows_of(self._terms.calendar, self._table, subject, start_ms, state)
        else:
            total = None if self._totals is None else self._totals[subject.encode()]
            units = 0 if total is None else sales.decode(total).net
            cycles = {start_ms: sales.decode(state)}
            rows = [*sales_rows(self._terms, self._table, subject, cycles, units)]
        row = next(iter(rows), None)
        return row if row is None or self._by_cycle else without_cycle(row)
