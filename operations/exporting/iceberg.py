"""Tables of Apache Iceberg with the rows of an export.

Rows of the journal are appended: an entry is never changed, and one that restates says so. Tables
are written anew, in the cycles whose rows have changed. Each table is changed by one commit, which
sets its property `netsold.state`, so whatever a process that was killed had not committed is
committed by the next one, once.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.exporting.files import add_view, counted
from operations.exporting.forms import DATASETS, start_of_name
from operations.exporting.libraries import bounded, iceberg
from operations.exporting.manifest import OtherExport, Terms, refuse_other
from operations.exporting.merging import row_groups
from schemas.errors import NetsoldError
from schemas.times import format_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from operations.exporting.forms import Dataset
    from operations.exporting.manifest import Complete
    from operations.exporting.places import Place
    from operations.exporting.verdicts import Verdict

    Report = Callable[[int], None]

STATE: Final = "netsold.state"
BATCH_ROWS: Final = 100_000
"""Rows that are in memory, and most rows of a data file."""

PROPERTIES: Final = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}
"""Of new tables: old metadata files are removed."""


class CatalogueFailed(NetsoldError):
    """The catalogue, or where its tables are, refuses a request or gives no answer."""


class NoCatalogue(NetsoldError):
    """No catalogue of this name can be loaded."""

    exit_code = 2


class State(msgspec.Struct, frozen=True):
    """The export that a table has; `digests` of a table of sums by cycle, or by no name."""

    number: int
    terms: Terms
    vector: dict[str, int]
    complete_through: str | None
    digests: dict[str, str]


class IcebergTables:
    """The tables of a catalogue, named as `NAME` or `NAME.NAMESPACE`, for exports.

    Catalogues are those of pyiceberg's configuration. Raises NoCatalogue and ExtraMissing.
    """

    def __init__(self, named: str) -> None:
        name, _, namespace = named.partition(".")
        self.named, self._namespace = named, namespace or "netsold"
        errors: tuple[type[Exception], ...] = (ValueError, *_errors())
        try:
            self._catalogue = iceberg("pyiceberg.catalog").load_catalog(name)
        except errors as error:
            raise NoCatalogue(
                f"there is no Iceberg catalogue {name} ({_line(error)}): name it in"
                f" .pyiceberg.yaml, or set PYICEBERG_CATALOG__{name.upper()}__URI"
            ) from error

    def write(self, place: Place, complete: Complete, report: Report) -> int:
        """Bring all tables to an export; the number of rows that were written.

        Raises OtherExport, CatalogueFailed and ExportDamaged.
        """
        with self._explained():
            self._catalogue.create_namespace_if_not_exists(self._namespace)
            return sum(
                self._write(place, dataset, complete, report) for dataset in DATASETS.values()
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _errors() as error:
            raise CatalogueFailed(f"Iceberg catalogue {self.named}: {_line(error)}") from error

    def _write(self, place: Place, dataset: Dataset, complete: Complete, report: Report) -> int:
        table = self._table(dataset)
        last, state = self._state(table), _state_of(dataset, complete)
        if last is not None and msgspec.structs.replace(last, number=state.number) == state:
            return 0
        known = last if last is None or not _is_replaced(last, state, complete.first) else None
        if known is not None:
            _refuse_other(known, state, f"{self.named} table {dataset.name}")
        summary = {STATE: msgspec.json.encode(state).decode()}
        written = 0
        with table.transaction() as commit:
            removed = _removed(dataset, last, known, state)
            if removed is not None:
                commit.delete(removed)
            for rows in _added(place, complete, dataset, known, state):
                commit.append(rows, snapshot_properties=summary)
                written += len(rows)
                report(len(rows))
            commit.set_properties(summary)
        return written

    def _table(self, dataset: Dataset) -> Any:  # noqa: ANN401 - pyiceberg is loaded late
        partitioning = iceberg("pyiceberg.partitioning")
        schema = _schema(dataset)
        spec = partitioning.UNPARTITIONED_PARTITION_SPEC
        if dataset.by_cycle:
            identity = iceberg("pyiceberg.transforms").IdentityTransform()
            source = schema.find_field("cycle_start").field_id
            spec = partitioning.PartitionSpec(
                partitioning.PartitionField(source, 1000, identity, "cycle_start")
            )
        return self._catalogue.create_table_if_not_exists(
            f"{self._namespace}.{dataset.name}", schema, partition_spec=spec, properties=PROPERTIES
        )

    def _state(self, table: Any) -> State | None:  # noqa: ANN401 - pyiceberg is loaded late
        """The export that a table has. Raises OtherExport where netsold did not write it."""
        found = table.properties.get(STATE)
        try:
            if found is not None:
                return msgspec.json.decode(found, type=State)
        except msgspec.DecodeError:
            pass
        if found is not None or table.current_snapshot() is not None:
            raise OtherExport(
                f"the Iceberg table {'.'.join(table.name())} is not netsold's: name another"
                " namespace, as CATALOGUE.NAMESPACE"
            )
        return None

    def check(self, complete: Complete, verdict: Verdict) -> None:
        """Compare the rows of all tables with those of an export. Raises CatalogueFailed."""
        with self._explained():
            for name, dataset in DATASETS.items():
                table, recorded = self._table(dataset), complete.datasets[name]
                connection = bounded()
                try:
                    connection.register("rows", table.scan().to_arrow_batch_reader())
                    count, digest = counted(connection, dataset, "rows")
                finally:
                    connection.close()
                if (count, digest) != (recorded.rows, recorded.digest):
                    verdict.differs(
                        "iceberg",
                        f"{self.named} table {name}",
                        f"{recorded.rows} rows, digest {recorded.digest}",
                        f"{count} rows, digest {digest}",
                    )


def _state_of(dataset: Dataset, complete: Complete) -> State:
    digests: defaultdict[str, int] = defaultdict(int)
    if dataset.table is not None:
        for one in complete.files:
            if one.dataset == dataset.name:
                digests[one.cycle or ""] += int(one.digest)
    return State(
        complete.number,
        complete.terms,
        complete.vector,
        complete.complete_through,
        {cycle: str(digest) for cycle, digest in digests.items()},
    )


def _is_replaced(last: State, state: State, first: int) -> bool:
    """Whether the export is of another version, which replaced the one that a table has."""
    return last.terms != state.terms and first > last.number


def _refuse_other(last: State, state: State, where: str) -> None:
    """Raises OtherExport where an export is not a later one of the same terms."""
    refuse_other(last.terms, state.terms, where)
    if any(last.vector[number] > end for number, end in state.vector.items()):
        raise OtherExport(
            f"{where} has rows that this export has not yet: write it from the directory that it"
            " was written from, or name another namespace, as CATALOGUE.NAMESPACE"
        )


def _changed(known: State | None, state: State) -> list[str]:
    """The cycles of a table of sums whose rows are not those that a table has."""
    before = {} if known is None else known.digests
    both = before.keys() | state.digests.keys()
    return sorted(cycle for cycle in both if before.get(cycle) != state.digests.get(cycle))


def _removed(dataset: Dataset, last: State | None, known: State | None, state: State) -> Any:  # noqa: ANN401 - pyiceberg is loaded late
    """The expression of the rows that are removed; None for none."""
    expressions = iceberg("pyiceberg.expressions")
    if last is None:
        return None
    if known is None:
        return expressions.AlwaysTrue()
    cycles = [cycle for cycle in _changed(known, state) if cycle in known.digests]
    if not cycles:
        return None
    if not dataset.by_cycle:
        return expressions.AlwaysTrue()
    # pyiceberg reads no `Z`
    starts = [f"{format_ms(start_of_name(one)).removesuffix('Z')}+00:00" for one in cycles]
    return expressions.In("cycle_start", starts)


def _added(
    place: Place, complete: Complete, dataset: Dataset, known: State | None, state: State
) -> Iterator[Any]:
    """The rows that are added, in batches; one without rows if there is nothing to add."""
    files = [one for one in complete.files if one.dataset == dataset.name]
    where = ""
    if dataset.table is not None:
        changed = set(_changed(known, state))
        files = [one for one in files if (one.cycle or "") in changed]
    elif known is not None:
        since = (
            f"(journal_partition = {number} AND journal_offset >= {end})"
            for number, end in known.vector.items()
        )
        where = f"WHERE {' OR '.join(since)}"
    connection, schema = bounded(), dataset.schema()
    try:
        add_view(connection, place, dataset, files)
        # as they lie in the files, each sorted and of one cycle: nothing is sorted here
        query = f"FROM {dataset.name} {where}"
        found = connection.sql(query).to_arrow_reader(BATCH_ROWS)
        is_empty = True
        for rows in row_groups(found, BATCH_ROWS):
            yield rows.cast(schema)
            is_empty = False
        if is_empty:
            yield schema.empty_table()
    finally:
        connection.close()


def _schema(dataset: Dataset) -> Any:  # noqa: ANN401 - pyiceberg is loaded late
    """The columns as Iceberg has them; their ids are their places, from 1 on."""
    types = iceberg("pyiceberg.types")
    kinds = {
        "text": types.StringType(),
        "int": types.LongType(),
        "time": types.TimestamptzType(),
        "flag": types.BooleanType(),
    }
    return iceberg("pyiceberg.schema").Schema(
        *[
            types.NestedField(number, one.name, kinds[one.kind], required=False, doc=one.contents)
            for number, one in enumerate(dataset.columns, 1)
        ]
    )


def _errors() -> tuple[type[Exception], ...]:
    """What a catalogue and its files raise."""
    own = vars(iceberg("pyiceberg.exceptions")).values()
    found = [one for one in own if isinstance(one, type) and issubclass(one, Exception)]
    return (OSError, iceberg("sqlalchemy.exc").SQLAlchemyError, *found)


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]
