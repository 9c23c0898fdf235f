"""The summing stage: a journal of entries and service rows → sums by the id in its key.

A new table of sums needs no stage of its own. By the key of a journal that is there, it is a row of
`catalogue.TABLES`. By another id of an entry, it also needs a topic: its name and its row in
`PUBLIC_TOPICS`, its name in `sends` of the order stage (which then sends each entry there, too),
and a row of `STAGES` that reads it. To be reported it needs a name in `REPORT_LISTS`, and a count
of its own in the recount. `schemas.columns.RULES` rises, as its rows of the past come from a
rebuild alone.
"""

from collections.abc import Iterable, Mapping
from operator import attrgetter

import msgspec

from schemas import journal, published
from schemas.journal import Delta, ServiceChange
from schemas.published import RestatingEntry
from tables import catalogue, sales, service
from tables.catalogue import StageSpec, Table
from tables.journal_stage import ChunkSums, JournalStage, RowReader
from tables.outcome import States
from tables.restatements import Restatements
from tables.sales import Tally
from tables.terms import Terms
from tables.touched import TouchedStates, touched_services, touched_tallies


class RowAddition(msgspec.Struct, frozen=True, gc=False):
    """A journal row with the keys of its sums. One that restates has the `cause`."""

    key: bytes
    cycle_key: bytes
    delta: Delta | ServiceChange
    id_name: str
    cause: RestatingEntry | None = None

    @property
    def about(self) -> str:
        """Whose sums change, for errors and logs."""
        return f"{self.id_name.removesuffix('_id')} {self.key.decode()}"


class SummingStage(JournalStage):
    """Rows of a journal → the tables of sales and service of a stage in the catalogue."""

    def __init__(
        self,
        spec: StageSpec,
        terms: Terms,
        refusals_in_a_row: int,
        partitions: int | None = None,
    ) -> None:
        """TypeError if a table of the stage has other rows, or another key than its journal."""
        id_name = catalogue.key_of(spec.source)
        for table in spec.tables:
            summed = table.keyed_by == id_name and table.form in {"sales", "service"}
            if not summed and table.form != "share":
                raise TypeError(
                    f"table {table.name}: the stage {spec.name} sums sales and service by {id_name}"
                    f", not {table.form} by {table.keyed_by}; give it a class in tables/stages.py"
                )
        rows = RowReader(journal.decoder_by(id_name), attrgetter("subject"))
        super().__init__(spec, terms, refusals_in_a_row, rows, partitions)

    def _addition(self, key: bytes, row: Delta | ServiceChange, value: bytes) -> RowAddition:
        cycle_key = catalogue.cycle_key(key, self._calendar.start_of_iso(row.cycle))
        if row.restates and isinstance(row, Delta) and self._publisher is not None:
            cause = published.decode_restating(value)
            return RowAddition(key, cycle_key, row, self._id_name, cause)
        return RowAddition(key, cycle_key, row, self._id_name)

    def _sums(self, states: States, restatements: Restatements | None) -> ChunkSums:
        return _TableSums(self.spec.tables, states, restatements)


class _TableSums:
    def __init__(
        self, tables: tuple[Table, ...], states: States, restatements: Restatements | None
    ) -> None:
        self._restatements = restatements
        self._sales: dict[Table, TouchedStates[Tally]] = {
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
            if addition.cause is not None and self._restatements is not None:
                self._restate(self._restatements, addition, delta, addition.cause)
                return
            for windowed, sums in self._sales_sums:  # C4
                key = addition.cycle_key if windowed else addition.key
                sums[key].add(delta, delta.currency, delta.restates)
        else:
            for windowed, columns in self._service_sums:
                key = addition.cycle_key if windowed else addition.key
                columns[key].add(delta.columns, restates=delta.restates)

    def _restate(
        self, restatements: Restatements, addition: RowAddition, delta: Delta, cause: RestatingEntry
    ) -> None:
        """Add an entry that restates, with the records of a cycle that has ended (C3)."""
        for table, sums in self._sales.items():
            key = addition.cycle_key if table.windowed else addition.key
            before = restatements.before(key, sums) if table.windowed else None
            sums[key].add(delta, delta.currency, delta.restates)
            if before is not None:
                restatements.changed(key, before, sums[key], [cause])
                restatements.share_changed(key, delta, delta.currency, cause)

    def sales(self) -> Iterable[tuple[Table, Mapping[bytes, Tally]]]:
        return self._sales.items()

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        written = {table.name: sums.encoded(sales.encode) for table, sums in self._sales.items()}
        for table, sums in self._service.items():
            written[table.name] = sums.encoded(service.encode)
        return written
