"""The files of the tables: written anew where rows have changed, else those of the last export."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from operations.exporting.files import FILE_ROWS
from operations.exporting.forms import RESTATEMENTS, TABLE_DATASETS
from schemas.columns import SUMMED
from tables import sales, service
from tables.catalogue import split_cycle_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from operations.exporting.files import FileWriter
    from operations.exporting.forms import Dataset
    from operations.exporting.manifest import ExportFile
    from operations.replaying.row_store import RowStore
    from tables.catalogue import Table

    Report = Callable[[int], None]

Row = tuple[Any, ...]


def write_tables(
    writer: FileWriter, store: RowStore, number: int, known: Sequence[ExportFile], report: Report
) -> list[ExportFile]:
    """The files of all tables: new ones of the export `number`, or unchanged ones of `known`."""
    files: list[ExportFile] = []
    for dataset in TABLE_DATASETS:
        written = _write(writer, store, dataset, number, report)
        before = _by_place([one for one in known if one.dataset == dataset.name])
        for place, some in _by_place(written).items():
            files += before[place] if _same(before.get(place, []), some) else some
    return files


def _by_place(files: Sequence[ExportFile]) -> dict[str | None, list[ExportFile]]:
    found: defaultdict[str | None, list[ExportFile]] = defaultdict(list)
    for one in files:
        found[one.cycle].append(one)
    return dict(found)


def _same(before: Sequence[ExportFile], now: Sequence[ExportFile]) -> bool:
    return [one.sha256 for one in before] == [one.sha256 for one in now]


def _write(
    writer: FileWriter, store: RowStore, dataset: Dataset, number: int, report: Report
) -> list[ExportFile]:
    """The rows of a table in files of at most so many rows; ids are in order over all of them."""
    files: list[ExportFile] = []
    waiting: defaultdict[int, list[Row]] = defaultdict(list)
    parts: defaultdict[int, int] = defaultdict(int)
    count = 0

    def write(start_ms: int) -> None:
        nonlocal count
        rows = waiting.pop(start_ms)
        name = f"{number:06}-{parts[start_ms]:03}"
        parts[start_ms] += 1
        count -= len(rows)
        files.extend(writer.write(dataset, name, dataset.filled(rows)))
        report(len(rows))

    for start_ms, row in _rows(store, dataset):
        waiting[start_ms].append(row)
        count += 1
        if count >= FILE_ROWS:  # of all cycles: so many are in memory
            write(max(waiting, key=lambda start_ms: (len(waiting[start_ms]), start_ms)))
    for start_ms in sorted(waiting):
        write(start_ms)
    return files


def _rows(store: RowStore, dataset: Dataset) -> Iterator[tuple[int, Row]]:
    """(start of the cycle, row) in order of keys; 0 for tables of all time."""
    table: Table = dataset.table  # type: ignore[assignment]  # of a dataset of `TABLE_DATASETS`
    figures = _sales if table.form == "sales" else _service
    for key, state in store.rows(table.name):
        subject, start_ms = split_cycle_key(key) if table.windowed else (key.decode(), 0)
        begin = (subject, start_ms) if table.windowed else (subject,)
        for row in figures(state):
            yield start_ms, (*begin, *row)


def _sales(state: bytes) -> Iterator[Row]:
    """A row for each currency, and one without currency where only restatements are left."""
    tally = sales.decode(state)
    restatements = tally.restatements
    for currency, sums in sorted(tally.currencies.items()):
        yield currency, *[getattr(sums, column) for column in SUMMED], restatements
        restatements = 0
    if restatements:
        yield None, *[0] * len(SUMMED), restatements


def _service(state: bytes) -> Iterator[Row]:
    tally = service.decode(state)
    yield from sorted(tally.columns.items())
    if tally.restatements:
        yield RESTATEMENTS, tally.restatements
