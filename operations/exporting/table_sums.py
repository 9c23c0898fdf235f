"""Compares the tables of an export with the sums of its journal, by DuckDB.

A table of products includes the journal up to the vector. A lane of shops includes the events up to
its mark, by source partition, which the export's journal has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from operations.exporting.forms import ENTRIES, RESTATEMENTS
from operations.exporting.verdicts import rows_of
from operations.exporting.views import fill
from schemas.columns import SUMMED
from streams.partitioning import partition_of
from tables.catalogue import (
    PRODUCT_CYCLES,
    PRODUCT_SERVICE_CYCLES,
    PRODUCT_TOTALS,
    SHOP_STAGE,
    TABLES,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from operations.exporting.manifest import Complete
    from operations.exporting.verdicts import Verdict
    from tables.catalogue import Table

_OF_SHOPS = "entries_of_shops"


class SumsCheck:
    """One comparison of the tables of sales, and of products' service, with the journal's sums."""

    def __init__(
        self, connection: DuckDBPyConnection, complete: Complete, verdict: Verdict
    ) -> None:
        self._connection, self._complete, self._verdict = connection, complete, verdict

    def run(self) -> None:
        """Compare; the verdict gets what differs, and what was compared."""
        self._add_shops()
        for mark in self._complete.marks:
            if mark.in_part:
                self._verdict.in_part.append(f"{mark.stage}-{mark.partition}")
        for table in TABLES:
            if table.form == "sales":
                self._check_sales(table)
        self._check_service()

    def _check_sales(self, table: Table) -> None:
        source, rows = ENTRIES.name, table.name
        if table.stage == SHOP_STAGE.name:
            source, rows = _OF_SHOPS, f"{table.name}_compared"
            self._connection.execute(
                f"CREATE VIEW {rows} AS"
                f" SELECT rows.* FROM {table.name} AS rows JOIN shop_lanes USING (shop_id)"
            )
        keys = [table.keyed_by, *(["cycle_start"] if table.windowed else [])]
        names = [*keys, "currency"]
        kept = f"SELECT {', '.join([*names, *SUMMED])} FROM {rows} WHERE currency IS NOT NULL"
        self._compare(table, names, SUMMED, _summed(source, names, SUMMED), kept)
        columns = ", ".join(keys)
        restating = (
            f"SELECT {columns}, count(*) AS {RESTATEMENTS} FROM {source} WHERE restates"
            f" GROUP BY {columns}"
        )
        self._compare(table, keys, (RESTATEMENTS,), restating, _summed(rows, keys, (RESTATEMENTS,)))

    def _check_service(self) -> None:
        changed = (
            "SELECT product_id, cycle_start, figure, sum(change) AS value FROM service_changes"
            " GROUP BY ALL HAVING sum(change) <> 0 UNION ALL"
            f" SELECT product_id, cycle_start, '{RESTATEMENTS}', count(DISTINCT row_id)"
            " FROM service_changes WHERE restates GROUP BY ALL"
        )
        table = PRODUCT_SERVICE_CYCLES
        keys = ["product_id", "cycle_start", "figure"]
        self._compare(table, keys, ("value",), changed, f"SELECT * FROM {table.name}")

    def _compare(
        self, table: Table, keys: Sequence[str], columns: Sequence[str], sums: str, kept: str
    ) -> None:
        """Compare two queries by their keys: sums of the journal, and rows of a table."""
        names = ", ".join(keys)
        both = ", ".join(f"sums.{column}, kept.{column}" for column in columns)
        differ = " OR ".join(f"sums.{name} IS DISTINCT FROM kept.{name}" for name in columns)
        query = (
            f"SELECT {names}, {both} FROM ({sums}) AS sums FULL JOIN ({kept}) AS kept"
            f" USING ({names}) WHERE {differ} ORDER BY ALL"
        )
        for row in rows_of(self._connection, query):
            where = f"{table.name} {' '.join(map(str, row[: len(keys)]))}"
            values = row[len(keys) :]
            for at, column in enumerate(columns):
                summed, found = values[2 * at : 2 * at + 2]
                if summed != found:
                    self._verdict.differs(
                        "sums", f"{where} {column}", f"journal {summed}", f"table {found}"
                    )
        if table.name not in self._verdict.compared:
            self._verdict.compared.append(table.name)

    def _add_shops(self) -> None:
        """The shops of comparable lanes, and the entries that their lanes include."""
        marks = {
            one.partition: one
            for one in self._complete.marks
            if one.stage == SHOP_STAGE.name and not one.in_part
        }
        every_shop = " UNION ".join(
            f"SELECT shop_id FROM {name}"
            for name in (ENTRIES.name, *[one.name for one in TABLES if one.form == "sales"])
            if name not in {PRODUCT_CYCLES.name, PRODUCT_TOTALS.name}
        )
        partitions = self._complete.terms.partitions
        shops = [
            (shop_id, lane)
            for (shop_id,) in rows_of(self._connection, every_shop)
            if (lane := partition_of(shop_id.encode(), partitions)) in marks
        ]
        vectors = [
            (lane, source, last)
            for lane, mark in marks.items()
            for source, last in mark.sources.items()
        ]
        # one row that fits nothing, as a table without rows has no types
        fill(self._connection, "shop_lanes", ("shop_id", "lane"), [("", -1), *shops])
        fill(self._connection, "lanes", ("lane", "source", "last"), [(-1, "", -1), *vectors])
        self._connection.execute(
            f"CREATE VIEW {_OF_SHOPS} AS SELECT entries.* FROM entries"
            " JOIN shop_lanes USING (shop_id) JOIN lanes USING (lane, source)"
            " WHERE source_offset <= last"
        )


def _summed(relation: str, keys: Sequence[str], columns: Sequence[str]) -> str:
    """The query of sums by keys, without those that are all zero."""
    sums = ", ".join(f"sum({column}) AS {column}" for column in columns)
    some = " OR ".join(f"sum({column}) <> 0" for column in columns)
    names = ", ".join(keys)
    return f"SELECT {names}, {sums} FROM {relation} GROUP BY {names} HAVING {some}"
