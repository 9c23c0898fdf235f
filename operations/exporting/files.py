"""Writes the Parquet files of datasets: sorted rows, statistics, and what identifies each file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from operations.exporting.forms import DATASETS, cycle_name
from operations.exporting.libraries import arrow, connected
from operations.exporting.manifest import FORM, STAGED, ExportFile

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        data = _parquet(rows)
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


def _parquet(rows: Any) -> bytes:  # noqa: ANN401 - a pyarrow.Table
    """The bytes of a file: the same for the same rows."""
    pa = arrow()
    sink = pa.BufferOutputStream()
    arrow("pyarrow.parquet").write_table(
        rows.replace_schema_metadata({"netsold.form": str(FORM)}),
        sink,
        compression="zstd",
        row_group_size=GROUP_ROWS,
        write_statistics=True,
    )
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
