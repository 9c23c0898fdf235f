"""The summing stage: a journal of entries and service rows → sums by the id in its key.

A new table of sums needs no stage of its own. By the key of a journal that is there, it is a row of
`catalogue.TABLES`. By another id of an entry, it also needs a topic: its name and its row in
`PUBLIC_TOPICS`, its name in `sends` of the order stage (which then sends each entry there, too),
and a row of `STAGES` that reads it. To be reported it needs a name in `REPORT_LISTS`, and a count
of its own in the recount. `schemas.columns.RULES` rises, as its rows of the past come from a
rebuild alone.
"""

from operator import attrgetter

import msgspec

from schemas import journal
from schemas.journal import Delta, ServiceChange
from tables import catalogue, sales, service
from tables.catalogue import StageSpec, Table
from tables.journal_stage import ChunkSums, JournalStage, touched_services, touched_tallies
from tables.outcome import States
from tables.terms import Terms


class RowAddition(msgspec.Struct, frozen=True, gc=False):
    """A journal row with the keys of its sums."""

    key: bytes
    cycle_key: bytes
    delta: Delta | ServiceChange
    id_name: str

    @property
    def about(self) -> str:
        """Whose sums change, for errors and logs."""
        return f"{self.id_name.removesuffix('_id')} {self.key.decode()}"


class SummingStage(JournalStage):
    """Rows of a journal → the tables of sales and service of a stage in the catalogue."""

    def __init__(self, spec: StageSpec, terms: Terms, refusals_in_a_row: int) -> None:
        """TypeError if a table of the stage has other rows, or another key than its journal."""
        id_name = catalogue.key_of(spec.source)
        for table in spec.tables:
            if table.keyed_by != id_name or table.form not in {"sales", "service"}:
                raise TypeError(
                    f"table {table.name}: the stage {spec.name} sums sales and service by {id_name}"
                    f", not {table.form} by {table.keyed_by}; give it a class in tables/stages.py"
                )
        decode = journal.decoder_by(id_name)
        super().__init__(spec, terms, refusals_in_a_row, decode, attrgetter("subject"))

    def _addition(self, key: bytes, row: Delta | ServiceChange) -> RowAddition:
        start_ms = self._calendar.start_of_iso(row.cycle)
        return RowAddition(key, catalogue.cycle_key(key, start_ms), row, self._id_name)

    def _sums(self, states: States) -> ChunkSums:
        return _TableSums(self.spec.tables, states)


class _TableSums:
    def __init__(self, tables: tuple[Table, ...], states: States) -> None:
        self._sales = {
            table: touched_tallies(states[table.name]) for table in tables if table.form == "sales"
        }
        self._service = {
            table: touched_services(states[table.name])
            for table in tables
            if table.form == "service"
        }
        self._sales_sums = [(table.windowed, sums) for table, sums in self._sales.items()]
        self._service_sums = [(table.windowed, sums) for table, sums in self._service.items()]

    def add(self, addition: RowAddition, /) -> None:
        delta = addition.delta
        if isinstance(delta, Delta):
            for windowed, sums in self._sales_sums:  # C4
                key = addition.cycle_key if windowed else addition.key
                sums[key].add(delta, delta.currency, delta.restates)
        else:
            for windowed, columns in self._service_sums:
                key = addition.cycle_key if windowed else addition.key
                columns[key].add(delta.columns, restates=delta.restates)

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        written = {table.name: sums.encoded(sales.encode) for table, sums in self._sales.items()}
        for table, sums in self._service.items():
            written[table.name] = sums.encoded(service.encode)
        return written
