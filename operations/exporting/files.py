"""Writes the Parquet files of datasets: sorted rows, statistics, and what identifies each file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from operations.exporting.forms import DATASETS, SQL_TYPES, cycle_name
from operations.exporting.libraries import arrow, connected, quoted
from operations.exporting.manifest import FORM, STAGED, ExportFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection

    from operations.exporting.forms import Dataset
    from operations.exporting.places import Place

FILE_ROWS: Final = 100_000
"""Most rows of a file: they are sorted in memory."""

GROUP_ROWS: Final = 25_000
"""Most rows of a row group: what a query can skip by its statistics."""


class FileWriter:
    """Writes staged files of an export."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._database = connected()

    def close(self) -> None:
        """Close the database that counts digests."""
        self._database.close()

    def write(self, dataset: Dataset, name: str, rows: Any) -> list[ExportFile]:  # noqa: ANN401 - a pyarrow.Table
        """Write rows as files called `name`, one for each cycle if the dataset has these."""
        rows = rows.sort_by([(column, "ascending") for column in dataset.sorted_by])
        if not dataset.by_cycle:
            return [self._file(dataset, name, None, rows)] if len(rows) else []
        return [
            self._file(dataset, name, cycle_name(start_ms), rows.slice(first, length))
            for start_ms, first, length in _cycles(rows["cycle_start"])
        ]

    def _file(self, dataset: Dataset, name: str, cycle: str | None, rows: Any) -> ExportFile:  # noqa: ANN401 - a pyarrow.Table
        folder = dataset.name if cycle is None else f"{dataset.name}/cycle={cycle}"
        path = f"{folder}/{name}.parquet"
        data = _parquet(dataset, rows)
        self._place.write(f"{STAGED}/{path}", data)
        self._database.register("written", rows)
        count, digest = counted(self._database, dataset, "written")
        self._database.unregister("written")
        return ExportFile(
            path, dataset.name, cycle, count, len(data), hashlib.sha256(data).hexdigest(), digest
        )


def counted(database: DuckDBPyConnection, dataset: Dataset, relation: str) -> tuple[int, str]:
    """The number of rows of a relation with the columns of a dataset, and their digest."""
    ((count, digest),) = database.execute(dataset.digest_sql(relation)).fetchall()
    return count, digest


def add_view(
    connection: DuckDBPyConnection, place: Place, dataset: Dataset, files: Sequence[ExportFile]
) -> None:
    """A view of files of a dataset, by its name; without files it has no rows."""
    paths = [place.full(one.path) for one in files]
    if not paths:
        columns = ", ".join(f"NULL::{SQL_TYPES[one.kind]} AS {one.name}" for one in dataset.columns)
        connection.execute(f"CREATE VIEW {dataset.name} AS SELECT {columns} WHERE false")
    elif place.is_local:
        listed = ", ".join(f"'{quoted(path)}'" for path in paths)
        connection.execute(
            f"CREATE VIEW {dataset.name} AS"
            f" SELECT * FROM read_parquet([{listed}], hive_partitioning = false)"
        )
    else:
        found = arrow("pyarrow.dataset").dataset(
            paths, schema=dataset.schema(), format="parquet", filesystem=place.file_system
        )
        connection.register(dataset.name, found)


def parquet_writer(sink: Any, dataset: Dataset) -> Any:  # noqa: ANN401 - pyarrow has no types
    """A writer of a file of a dataset: the same bytes for the same rows."""
    return arrow("pyarrow.parquet").ParquetWriter(
        sink,
        dataset.schema().with_metadata({"netsold.form": str(FORM)}),
        compression="zstd",
        write_statistics=True,
    )


def _parquet(dataset: Dataset, rows: Any) -> bytes:  # noqa: ANN401 - a pyarrow.Table
    sink = arrow().BufferOutputStream()
    with parquet_writer(sink, dataset) as writer:
        writer.write_table(rows, row_group_size=GROUP_ROWS)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _cycles(starts: Any) -> Iterator[tuple[int, int, int]]:  # noqa: ANN401 - a pyarrow column
    """(start in epoch milliseconds, first row, number of rows) of each cycle of sorted rows."""
    first = 0
    counts = starts.cast(arrow().int64()).value_counts().to_pylist()  # in the order of the rows
    for one in counts:
        yield one["values"], first, one["counts"]
        first += one["counts"]


def readable(files: list[ExportFile]) -> dict[str, list[ExportFile]]:
    """Files by dataset, of all datasets."""
    return {name: [one for one in files if one.dataset == name] for name in DATASETS}
