"""Proves an export: its files against `_COMPLETE.json`, and the tables against the journal's sums.

It needs no Kafka. What differs is named; of each check at most so many.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from operations.exporting.files import counted
from operations.exporting.forms import DATASETS, ENTRIES, SERVICE_CHANGES
from operations.exporting.libraries import arrow, connected
from operations.exporting.table_sums import SumsCheck
from operations.exporting.verdicts import Verdict, rows_of
from operations.exporting.views import complete_of, database, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duckdb import DuckDBPyConnection

    from operations.exporting.iceberg import IcebergTables
    from operations.exporting.manifest import Complete, ExportFile
    from operations.exporting.places import Place

    Report = Callable[[int], None]

GROUPED_IDS: Final = 1_000_000
"""About the most ids that are grouped at once."""


def verify(place: Place, report: Report, tables: IcebergTables | None = None) -> Verdict:
    """Prove the export of a place; `report` gets the bytes of each file that was read.

    With `tables` of Iceberg, these have the same rows. Raises NoExport, ExportDamaged,
    CatalogueFailed and ExtraMissing.
    """
    complete = complete_of(place)
    verdict = Verdict(complete.number, complete.complete_through, len(complete.files))
    if _files_are_whole(place, complete, verdict, report):
        connection = database(place, complete)
        try:
            _check_datasets(connection, complete, verdict)
            _check_journal(connection, complete, verdict)
            SumsCheck(connection, complete, verdict).run()
        except _duckdb_error() as error:
            raise unreadable(error) from error
        finally:
            connection.close()
    if tables is not None:
        tables.check(complete, verdict)
    return verdict


def _files_are_whole(place: Place, complete: Complete, verdict: Verdict, report: Report) -> bool:
    """Compare each file's bytes, and find files that are not recorded; whether all can be read."""
    whole = True
    for one in complete.files:
        found = place.sha256(one.path)
        report(one.bytes)
        if found is None:
            verdict.differs("files", one.path, f"{one.bytes} bytes", "missing")
            whole = False
        elif found != one.sha256:
            verdict.differs("files", one.path, f"SHA-256 {one.sha256}", "other bytes")
            whole = _is_readable(place.read(one.path) or b"", one, verdict) and whole
    known = {one.path for one in complete.files}
    for name in DATASETS:
        for path in place.files(name):
            if path not in known:
                verdict.differs("files", path, None, "a file that the export does not have")
    return whole


def _is_readable(data: bytes, one: ExportFile, verdict: Verdict) -> bool:
    """Compare the rows of a file with other bytes; whether it can be read."""
    connection = connected()
    try:
        rows = arrow("pyarrow.parquet").read_table(io.BytesIO(data))
        connection.register("rows", rows)
        count, digest = counted(connection, DATASETS[one.dataset], "rows")
    except _errors() as error:
        verdict.differs("files", one.path, "a Parquet file", str(error).partition("\n")[0])
        return False
    finally:
        connection.close()
    if (count, digest) != (one.rows, one.digest):
        verdict.differs(
            "rows of files",
            one.path,
            f"{one.rows} rows, digest {one.digest}",
            f"{count} rows, digest {digest}",
        )
    return True


def _errors() -> tuple[type[Exception], ...]:
    """What reading a damaged file raises."""
    return (OSError, arrow().ArrowException, _duckdb_error())


def _duckdb_error() -> type[Exception]:
    import duckdb

    return duckdb.Error


def _check_datasets(connection: DuckDBPyConnection, complete: Complete, verdict: Verdict) -> None:
    """Compare the number of rows and the digest of each dataset."""
    for name, dataset in DATASETS.items():
        recorded = complete.datasets[name]
        count, digest = counted(connection, dataset, name)
        verdict.rows[name] = count
        if (count, digest) != (recorded.rows, recorded.digest):
            verdict.differs(
                "datasets",
                name,
                f"{recorded.rows} rows, digest {recorded.digest}",
                f"{count} rows, digest {digest}",
            )


def _repeated(name: str, row_id: str, rows: int) -> Iterator[str]:
    """Queries of the ids that are there more than once, each over its share of all ids.

    Ids are as many as rows: to group them at once would take memory for all of them.
    """
    shares = rows // GROUPED_IDS + 1
    for share in range(shares):
        yield (
            f"SELECT {row_id} AS id, count(*) FROM {name} WHERE hash({row_id}) % {shares} = {share}"
            " GROUP BY id HAVING count(*) > 1"
        )


def _check_journal(connection: DuckDBPyConnection, complete: Complete, verdict: Verdict) -> None:
    """Find entries that are there twice or lie behind the vector; check the bridge of refunds."""
    for name, row_id in ((ENTRIES.name, "entry_id"), (SERVICE_CHANGES.name, "row_id || figure")):
        for query in _repeated(name, row_id, verdict.rows[name]):
            for row_id_found, count in rows_of(connection, query):
                verdict.differs("entries", f"{name} {row_id_found}", "once", f"{count} times")
        ends = ", ".join(f"({number}, {end})" for number, end in complete.vector.items())
        query = (
            f"SELECT journal_partition, journal_offset FROM {name}"
            f" LEFT JOIN (VALUES {ends}) AS ends(number, behind) ON journal_partition = number"
            " WHERE number IS NULL OR journal_offset >= behind"
        )
        for partition, offset in rows_of(connection, query):
            where = f"{name} {complete.terms.journal}-{partition}@{offset}"
            verdict.differs("entries", where, "before the vector's end", "behind it")
    query = (
        "SELECT cycle_start, currency, units_difference, amount_difference FROM refund_bridge"
        " WHERE units_difference <> 0 OR amount_difference <> 0"
    )
    for start, currency, units, amount in rows_of(connection, query):
        verdict.differs("refund_bridge", f"{start} {currency}", "0, 0", f"{units}, {amount}")
