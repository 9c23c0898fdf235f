"""The lists of a report as sums of the journal: sales, and products' service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.journal import Service
from tables import catalogue, sales, service
from tables.catalogue import REPORT_LISTS
from tables.report import ReportRow, report
from tables.touched import touched_services, touched_tallies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operations.replaying.row_store import RowStore
    from schemas.journal import Entry
    from tables.outcome import Stored
    from tables.report import StoredRows
    from tables.sales import Tally
    from tables.service import ServiceTally
    from tables.terms import Terms
    from tables.touched import TouchedStates

Report = dict[str, list[ReportRow]]

JOURNAL_LISTS: Final = tuple(
    name
    for name, table in REPORT_LISTS.items()
    if table.form == "sales" or table is catalogue.PRODUCT_SERVICE_CYCLES
)
"""The lists of a report that the journal has."""

MOST_ROWS: Final = 20_000
"""Most rows of sums that are kept in memory where there is a store for them."""


class JournalSums:
    """Tables as sums of the journal's rows, by cycle or of all time.

    With a store, memory does not grow with the number of sums.
    """

    def __init__(
        self, terms: Terms, store: RowStore | None = None, *, by_cycle: bool = True
    ) -> None:
        self._terms = terms
        self._store = store
        self._by_cycle = by_cycle
        self._sales: dict[str, TouchedStates[Tally]] = {
            table.name: touched_tallies(self._view(table.name))
            for table in catalogue.TABLES
            if table.form == "sales"
        }
        self._service: TouchedStates[ServiceTally] = touched_services(
            self._view(catalogue.PRODUCT_SERVICE_CYCLES.name)
        )

    def _view(self, table: str) -> Stored:
        return _Nothing() if self._store is None else self._store.view(table)

    def add(self, row: Entry | Service) -> None:
        """Add a row. Raises ImpossibleTallyError or ImpossibleServiceError."""
        start_ms = self._terms.calendar.start_of_iso(row.cycle) if self._by_cycle else 0
        if isinstance(row, Service):
            key = catalogue.cycle_key(row.product_id.encode(), start_ms)
            self._service[key].add(row.columns)
            self._bound()
            return
        for table in catalogue.TABLES:
            if table.form == "sales":
                id_ = getattr(row, table.keyed_by).encode()
                key = catalogue.cycle_key(id_, start_ms) if table.windowed else id_
                self._sales[table.name][key].add(row, row.currency, row.restates)
        self._bound()

    def _bound(self) -> None:
        if len(self._service) + sum(map(len, self._sales.values())) >= MOST_ROWS:
            self.write()

    def write(self) -> None:
        """Write what is in memory to the store, if there is one."""
        if self._store is not None:
            self._store.write(self._states())
            self._service.clear()
            for sums in self._sales.values():
                sums.clear()

    def _states(self) -> dict[str, dict[bytes, bytes | None]]:
        states = {name: tallies.encoded(sales.encode) for name, tallies in self._sales.items()}
        states[catalogue.PRODUCT_SERVICE_CYCLES.name] = self._service.encoded(service.encode)
        return states

    def report(self) -> Report:
        """The lists of a report that the journal has; of all time they name no cycle."""
        states: dict[str, StoredRows] = {table.name: () for table in catalogue.TABLES}
        for name, rows in self._states().items():
            states[name] = [(key, state) for key, state in rows.items() if state is not None]
        found = report(self._terms, states)
        lists = {name: found[name] for name in JOURNAL_LISTS}
        if not self._by_cycle:
            return {name: [*map(without_cycle, rows)] for name, rows in lists.items()}
        return lists


def without_cycle(row: ReportRow) -> ReportRow:
    """A row of sums of all time: what a cycle has alone is left out."""
    return {name: value for name, value in row.items() if name not in {"cycle", "sold_monthly"}}


class _Nothing:
    """A table without rows."""

    def __getitem__(self, key: bytes, /) -> None:
        return None

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        return [None] * len(keys)
