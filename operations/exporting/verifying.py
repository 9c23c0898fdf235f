"""Proves an export: its files against `_COMPLETE.json`, and the tables against the journal's sums.

It needs no Kafka. What differs is named; of each check at most so many.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.exporting.files import counted
from operations.exporting.forms import DATASETS, ENTRIES, RESTATEMENTS, SERVICE_CHANGES
from operations.exporting.libraries import connected
from operations.exporting.views import complete_of, database
from schemas.columns import SUMMED
from streams.partitioning import partition_of
from tables import catalogue
from tables.catalogue import PRODUCT_SERVICE_CYCLES, SHOP_STAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duckdb import DuckDBPyConnection

    from operations.exporting.manifest import Complete, ExportFile
    from operations.exporting.places import Place
    from tables.catalogue import Table

    Report = Callable[[int], None]

SHOWN: Final = 20
"""Most differences of one check that are named."""


class Difference(msgspec.Struct, frozen=True):
    """What differs: the check that found it, where, and both sides."""

    check: str
    where: str
    recorded: str | None
    found: str | None


class Verdict(msgspec.Struct):
    """The result of a proof; `rows` by dataset as counted, `compared` the tables that were proven.

    `counts` has the number of differences by check, `in_part` the lanes of shops that could not be
    compared.
    """

    number: int
    complete_through: str | None
    files: int
    rows: dict[str, int] = msgspec.field(default_factory=dict)
    compared: list[str] = msgspec.field(default_factory=list)
    in_part: list[str] = msgspec.field(default_factory=list)
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    differences: list[Difference] = msgspec.field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.counts

    def differs(self, check: str, where: str, recorded: object, found: object) -> None:
        """Count a difference, and name it if few of its check are named."""
        self.counts[check] = self.counts.get(check, 0) + 1
        if self.counts[check] <= SHOWN:
            both = [None if one is None else str(one) for one in (recorded, found)]
            self.differences.append(Difference(check, where, *both))


def verify(place: Place, report: Report) -> Verdict:
    """Prove the export of a place; `report` gets the bytes of each file that was read.

    Raises NoExport, ExportDamaged and ExtraMissing.
    """
    complete = complete_of(place)
    verdict = Verdict(complete.number, complete.complete_through, len(complete.files))
    if _files_are_whole(place, complete, verdict, report):
        connection = database(place, complete)
        try:
            _check_datasets(connection, complete, verdict)
            _check_journal(connection, complete, verdict)
            _check_sums(connection, complete, verdict)
        finally:
            connection.close()
    return verdict


def _files_are_whole(
    place: Place, complete: Complete, verdict: Verdict, report: Report
) -> bool:
    """Compare each file's bytes, and find files that are not recorded; whether all can be read."""
    whole = True
    for one in complete.files:
        data = place.read(one.path)
        report(one.bytes)
        if data is None:
            verdict.differs("files", one.path, f"{one.bytes} bytes", "missing")
            whole = False
        elif hashlib.sha256(data).hexdigest() != one.sha256:
            verdict.differs("files", one.path, f"SHA-256 {one.sha256}", "other bytes")
            whole = _differing_rows(place, one, verdict) and whole
    known = {one.path for one in complete.files}
    for name in DATASETS:
        for path in place.files(name):
            if path not in known:
                verdict.differs("files", path, None, "a file that the export does not have")
    return whole


def _differing_rows(place: Place, one: ExportFile, verdict: Verdict) -> bool:
    """Compare the rows of a file with other bytes; whether it can be read."""
    import io

    from operations.exporting.libraries import arrow

    connection = connected()
    try:
        data = place.read(one.path) or b""
        rows = arrow("pyarrow.parquet").read_table(io.BytesIO(data))
        connection.register("rows", rows)
        count, digest = counted(connection, DATASETS[one.dataset], "rows")
    except (OSError, *_errors()) as error:
        verdict.differs("files", one.path, "a Parquet file", str(error).splitlines()[0])
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
    import duckdb

    from operations.exporting.libraries import arrow

    return (arrow().ArrowException, duckdb.Error)


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


def _check_journal(connection: DuckDBPyConnection, complete: Complete, verdict: Verdict) -> None:
    """Find entries that are there twice or lie behind the vector, and a bridge that does not fit."""
    for name, row_id in ((ENTRIES.name, "entry_id"), (SERVICE_CHANGES.name, "row_id || figure")):
        query = f"SELECT {row_id} AS id, count(*) FROM {name} GROUP BY id HAVING count(*) > 1"  # noqa: S608 - our own names
        for row_id_found, count in _rows(connection, query):
            verdict.differs("entries", f"{name} {row_id_found}", "once", f"{count} times")
        ends = ", ".join(f"({number}, {end})" for number, end in complete.vector.items())
        query = (
            f"SELECT journal_partition, journal_offset FROM {name}"  # noqa: S608 - numbers
            f" LEFT JOIN (VALUES {ends}) AS ends(number, behind) ON journal_partition = number"
            " WHERE number IS NULL OR journal_offset >= behind"
        )
        for partition, offset in _rows(connection, query):
            where = f"{name} {complete.terms.journal}-{partition}@{offset}"
            verdict.differs("entries", where, "before the vector's end", "behind it")
    query = (
        "SELECT cycle_start, currency, units_difference, amount_difference FROM refund_bridge"
        " WHERE units_difference <> 0 OR amount_difference <> 0"
    )
    for start, currency, units, amount in _rows(connection, query):
        verdict.differs("refund_bridge", f"{start} {currency}", "0, 0", f"{units}, {amount}")


def _check_sums(connection: DuckDBPyConnection, complete: Complete, verdict: Verdict) -> None:
    """Compare the tables of sales, and of products' service, with the sums of the journal."""
    _add_shops(connection, complete)
    for mark in complete.marks:
        if mark.in_part:
            verdict.in_part.append(f"{mark.stage}-{mark.partition}")
    for table in catalogue.TABLES:
        if table.form == "sales":
            source, rows = ENTRIES.name, table.name
            if table.stage == SHOP_STAGE.name:
                source, rows = "entries_of_shops", f"{table.name}_compared"
                connection.execute(
                    f"CREATE VIEW {rows} AS SELECT rows.* FROM {table.name} AS rows"  # noqa: S608 - our own names
                    " JOIN shop_lanes USING (shop_id)"
                )
            keys = [table.keyed_by, *(["cycle_start"] if table.windowed else [])]
            sums = _summed(source, [*keys, "currency"], SUMMED)
            kept = f"SELECT {', '.join([*keys, 'currency', *SUMMED])} FROM {rows} WHERE currency IS NOT NULL"  # noqa: S608 - our own names
            _compare(connection, verdict, table, [*keys, "currency"], (sums, kept), SUMMED)
            marked = _restating(source, keys)
            kept = _summed(rows, keys, (RESTATEMENTS,))
            _compare(connection, verdict, table, keys, (marked, kept), (RESTATEMENTS,))
            verdict.compared.append(table.name)
    keys = ["product_id", "cycle_start", "figure"]
    changed = (
        "SELECT product_id, cycle_start, figure, sum(change) AS value FROM service_changes"
        " GROUP BY ALL HAVING sum(change) <> 0 UNION ALL"
        f" SELECT product_id, cycle_start, '{RESTATEMENTS}', count(DISTINCT row_id)"  # noqa: S608 - our own names
        " FROM service_changes WHERE restates GROUP BY ALL"
    )
    kept = f"SELECT * FROM {PRODUCT_SERVICE_CYCLES.name}"  # noqa: S608 - our own names
    _compare(connection, verdict, PRODUCT_SERVICE_CYCLES, keys, (changed, kept), ("value",))
    verdict.compared.append(PRODUCT_SERVICE_CYCLES.name)


def _summed(relation: str, keys: list[str], columns: tuple[str, ...]) -> str:
    sums = ", ".join(f"sum({column}) AS {column}" for column in columns)
    some = " OR ".join(f"sum({column}) <> 0" for column in columns)
    return f"SELECT {', '.join(keys)}, {sums} FROM {relation} GROUP BY {', '.join(keys)} HAVING {some}"  # noqa: S608 - our own names


def _restating(relation: str, keys: list[str]) -> str:
    names = ", ".join(keys)
    return (
        f"SELECT {names}, count(*) AS {RESTATEMENTS} FROM {relation} WHERE restates GROUP BY {names}"  # noqa: S608 - our own names
    )


def _compare(
    connection: DuckDBPyConnection,
    verdict: Verdict,
    table: Table,
    keys: list[str],
    queries: tuple[str, str],
    columns: tuple[str, ...],
) -> None:
    """Compare sums of the journal with rows of a table, by their keys."""
    sums, kept = queries
    both = ", ".join(f"sums.{column}, kept.{column}" for column in columns)
    differ = " OR ".join(f"sums.{name} IS DISTINCT FROM kept.{name}" for name in columns)
    query = (
        f"SELECT {', '.join(keys)}, {both} FROM ({sums}) AS sums FULL JOIN ({kept}) AS kept"  # noqa: S608 - our own names
        f" USING ({', '.join(keys)}) WHERE {differ} ORDER BY ALL"
    )
    for row in _rows(connection, query):
        key, values = row[: len(keys)], row[len(keys) :]
        where = f"{table.name} {' '.join(map(str, key))}"
        for at, column in enumerate(columns):
            summed, found = values[2 * at : 2 * at + 2]
            if summed != found:
                verdict.differs("sums", f"{where} {column}", f"journal {summed}", f"table {found}")


def _add_shops(connection: DuckDBPyConnection, complete: Complete) -> None:
    """The shops of comparable lanes, and the entries that their lanes include."""
    marks = [one for one in complete.marks if one.stage == SHOP_STAGE.name and not one.in_part]
    connection.execute("CREATE TABLE lanes (lane BIGINT, source VARCHAR, last BIGINT)")
    connection.execute("CREATE TABLE shop_lanes (shop_id VARCHAR, lane BIGINT)")
    vectors = [
        (mark.partition, source, last) for mark in marks for source, last in mark.sources.items()
    ]
    numbers = {mark.partition for mark in marks}
    shops = [
        (shop_id, lane)
        for (shop_id,) in _rows(
            connection,
            "SELECT shop_id FROM entries UNION SELECT shop_id FROM shop_cycles"
            " UNION SELECT shop_id FROM shop_totals",
        )
        if (lane := partition_of(shop_id.encode(), complete.terms.partitions)) in numbers
    ]
    for table, rows in (("lanes", vectors), ("shop_lanes", shops)):
        if rows:
            marks_of_values = ", ".join("?" for _ in rows[0])
            connection.executemany(f"INSERT INTO {table} VALUES ({marks_of_values})", rows)  # noqa: S608 - our own names
    connection.execute(
        "CREATE VIEW entries_of_shops AS SELECT entries.* FROM entries"
        " JOIN shop_lanes USING (shop_id) JOIN lanes USING (lane, source)"
        " WHERE source_offset <= last"
    )


def _rows(connection: DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    found = connection.cursor().execute(query)
    while some := found.fetchmany(1000):
        yield from some
