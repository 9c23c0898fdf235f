"""Which small files of the journal's rows are merged into larger ones, and how.

Exports at short intervals leave many small files. Ten files of a cycle whose numbers of rows have
as many digits become one, until a file has about two million rows. So a cycle has at most nine
files of each number of digits, and a row is written again at most six times.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.exporting.files import GROUP_ROWS, add_view, counted, parquet_writer
from operations.exporting.forms import DATASETS
from operations.exporting.libraries import arrow, bounded
from operations.exporting.manifest import MERGED, STAGED, ExportFile, Merge
from operations.exporting.places import ExportDamaged
from operations.exporting.views import unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from operations.exporting.manifest import Plan
    from operations.exporting.places import Place

    Report = Callable[[int], None]

MERGED_FILES: Final = 10
"""The number of files of a cycle, with as many digits in their numbers of rows, are merged."""

MOST_ROWS: Final = 2_000_000
"""Most rows of a merged file: about 90 MB."""


def merges_of(files: Sequence[ExportFile], number: int) -> list[Merge]:
    """What the export `number` merges of the files that there are."""
    alike: defaultdict[tuple[str, str, int], list[ExportFile]] = defaultdict(list)
    for one in files:
        if one.cycle is not None and DATASETS[one.dataset].table is None:
            alike[one.dataset, one.cycle, len(str(one.rows))].append(one)
    return [
        Merge(
            f"{dataset}/cycle={cycle}/{number:06}-m{digits}-{at:03}.parquet", dataset, cycle, some
        )
        for (dataset, cycle, digits), found in sorted(alike.items())
        if len(found) >= MERGED_FILES
        for at, some in enumerate(_groups(found))
    ]


def _groups(files: Sequence[ExportFile]) -> Iterator[list[ExportFile]]:
    """Files in their order, in groups of at most `MOST_ROWS`; none of one file."""
    group: list[ExportFile] = []
    for one in files:
        if group and sum(each.rows for each in group) + one.rows > MOST_ROWS:
            if len(group) > 1:
                yield group
            group = []
        group.append(one)
    if len(group) > 1:
        yield group


def write_merges(place: Place, plan: Plan, report: Report) -> list[ExportFile]:
    """The files of the merges of a plan, staged unless they are. Raises ExportDamaged."""
    written = []
    for merge in plan.merges:
        receipt = f"{MERGED}/{merge.path}.json"
        one = place.read_json(receipt, ExportFile)
        if one is None:
            one = _merged(place, merge)
            place.write(receipt, msgspec.json.encode(one))
        report(one.rows)
        written.append(one)
    return written


def _merged(place: Place, merge: Merge) -> ExportFile:
    """Write the rows of a merge in the order of their dataset."""
    import duckdb

    dataset, schema = DATASETS[merge.dataset], DATASETS[merge.dataset].schema()
    connection = bounded()
    try:
        add_view(connection, place, dataset, merge.files)
        rows, digest = counted(connection, dataset, dataset.name)
        if (rows, int(digest)) != (
            sum(one.rows for one in merge.files),
            sum(int(one.digest) for one in merge.files),
        ):
            raise ExportDamaged(
                f"files below {place.full(merge.dataset)}/cycle={merge.cycle} have other rows than"
                " were exported: `netsold export verify` names them; export to another directory"
            )
        query = f"FROM {dataset.name} ORDER BY {', '.join(dataset.sorted_by)}"
        found = connection.sql(query).to_arrow_reader(GROUP_ROWS)
        with (
            place.writing(f"{STAGED}/{merge.path}") as stream,
            parquet_writer(stream, dataset) as writer,
        ):
            for group in row_groups(found, GROUP_ROWS):
                writer.write_table(group.cast(schema))
    except duckdb.Error as error:
        raise unreadable(error) from error
    finally:
        connection.close()
    return ExportFile(
        merge.path, merge.dataset, merge.cycle, rows, stream.bytes, stream.sha256, digest
    )


def row_groups(batches: Iterable[Any], size: int) -> Iterator[Any]:
    """Batches of DuckDB, whose sizes are its own, as tables of `size` rows."""
    pa = arrow()
    kept = None
    for batch in batches:
        more = pa.Table.from_batches([batch])
        kept = more if kept is None else pa.concat_tables([kept, more])
        while len(kept) >= size:
            yield kept.slice(0, size)
            kept = kept.slice(size)
    if kept is not None and len(kept):
        yield kept
