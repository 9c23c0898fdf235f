"""The lists of a report as sums of the journal: sales, and products' service."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Final

from schemas.journal import Service
from tables import catalogue, sales, service
from tables.catalogue import REPORT_LISTS
from tables.report import ReportRow, report
from tables.sales import Tally
from tables.service import ServiceTally

if TYPE_CHECKING:
    from schemas.journal import Entry
    from tables.cycles import Calendar

Report = dict[str, list[ReportRow]]

JOURNAL_LISTS: Final = tuple(
    name
    for name, table in REPORT_LISTS.items()
    if table.form == "sales" or table is catalogue.PRODUCT_SERVICE_CYCLES
)
"""The lists of a report that the journal has."""


class JournalSums:
    """Tables as sums of the journal's rows, by cycle or of all time."""

    def __init__(self, calendar: Calendar, *, by_cycle: bool = True) -> None:
        self._calendar = calendar
        self._by_cycle = by_cycle
        self._sales: dict[str, dict[bytes, Tally]] = {
            table.name: defaultdict(Tally) for table in catalogue.TABLES
        }
        self._service: dict[bytes, ServiceTally] = defaultdict(ServiceTally)

    def add(self, row: Entry | Service) -> None:
        """Add a row. Raises ImpossibleTallyError or ImpossibleServiceError."""
        start_ms = self._calendar.start_of_iso(row.cycle) if self._by_cycle else 0
        if isinstance(row, Service):
            key = catalogue.cycle_key(row.product_id.encode(), start_ms)
            self._service[key].add(row.columns)
            return
        for table in catalogue.TABLES:
            if table.form == "sales":
                id_ = getattr(row, table.keyed_by).encode()
                key = catalogue.cycle_key(id_, start_ms) if table.windowed else id_
                self._sales[table.name][key].add(row, row.currency, row.restates)

    def report(self) -> Report:
        """The lists of a report that the journal has; of all time they name no cycle."""
        states = {
            name: [(key, sales.encode(tally)) for key, tally in tallies.items()]
            for name, tallies in self._sales.items()
        }
        states[catalogue.PRODUCT_SERVICE_CYCLES.name] = [
            (key, service.encode(tally)) for key, tally in self._service.items()
        ]
        found = report(self._calendar, states)
        lists = {name: found[name] for name in JOURNAL_LISTS}
        if not self._by_cycle:
            for row in chain.from_iterable(lists.values()):
                row.pop("cycle")
                row.pop("sold_monthly", None)
        return lists
