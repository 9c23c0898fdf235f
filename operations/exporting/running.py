"""An export from its beginning to `_COMPLETE.json`, which is written last.

1. The tables are read and their files staged; then the plan is written. It fixes the vector, so a
   run that was interrupted later continues to the same vector.
2. Merged files, and the journal's rows up to that vector in parts, are staged, each with a receipt.
3. Staged files are moved to their names, `_COMPLETE.json` is written, and what it replaced is
   removed.

Until `_COMPLETE.json` is written, the last one names the files of the last export, and all are
there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from operations.exporting.files import FileWriter
from operations.exporting.forms import DATASETS
from operations.exporting.journal_files import receipts_of, write_partition
from operations.exporting.manifest import (
    COMPLETE,
    PLAN,
    STAGED,
    Complete,
    ExportFile,
    OtherExport,
    Plan,
    other_version,
    refuse_other,
    sums_of,
    terms_of,
)
from operations.exporting.merging import merges_of, write_merges
from operations.exporting.places import LOCK
from operations.exporting.table_files import write_tables
from operations.exporting.threads import in_thread
from operations.replaying.source_fold import LogCut
from schemas.positions import offset_after
from schemas.times import format_ms
from streams.build import this_build
from tables.catalogue import PRODUCT_STAGE, SALES_TOPIC
from tables.watermarks import least

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from operations.exporting.manifest import LaneMark, Receipt, Terms
    from operations.exporting.places import Place
    from operations.exporting.table_rows import TableRows
    from operations.replaying.source_log import ReplayLog

    Report = Callable[[int], None]
    Begin = Callable[[str, int | None], Report]


class Exported(NamedTuple):
    """A complete export and its new files.

    `merged` are the paths of new files that have rows of earlier exports alone. `continued`:
    whether it was begun by a run that was interrupted.
    """

    complete: Complete
    new: list[ExportFile]
    merged: set[str]
    continued: bool


TABLE_RECORDS: Final = "records of tables"
TABLE_ROWS: Final = "rows of tables"
MERGED_ROWS: Final = "rows of merged files"
JOURNAL_RECORDS: Final = "records of the journal"
MOVED_FILES: Final = "moved files"
"""The steps, by the unit of their progress."""

OF_KAFKA: Final = {TABLE_RECORDS, JOURNAL_RECORDS}
"""Those that wait for Kafka."""


async def export(
    rows: TableRows, log: ReplayLog, place: Place, begin: Begin, family: Collection[str] = ()
) -> Exported:
    """Export what is new since the last export in a place, or complete an interrupted one.

    An export of another application of `family` is replaced, all at once. `begin` shows a step,
    from its unit and its total, and gets how much more is done. Raises NoTables, LanesApart,
    LogCut, OtherExport, ExportRuns, ExportDamaged, OSError, and what reading raises.
    """
    terms = terms_of(rows.settings, rows.settings.topic(SALES_TOPIC))
    with place.locked():
        known, plan = _begun(place, terms, family)
        continued = plan is not None
        writer = FileWriter(place)
        try:
            if plan is None:
                plan = await _planned(rows, log, place, writer, known, begin)
            merged = await _write_merges(place, plan, begin)
            await _write_journal(log, place, writer, plan, begin)
        finally:
            writer.close()
        complete = await in_thread(_complete, place, plan, known, merged, begin(MOVED_FILES, None))
    before = set() if known is None else {one.path for one in known.files}
    new = [one for one in complete.files if one.path not in before]
    return Exported(complete, new, {one.path for one in merged}, continued)


def _begun(
    place: Place, terms: Terms, family: Collection[str]
) -> tuple[Complete | None, Plan | None]:
    """The last export, and the plan of the one that was interrupted, if it is to be completed.

    Raises OtherExport and ExportDamaged.
    """
    known = place.read_json(COMPLETE, Complete)
    plan = place.read_json(PLAN, Plan)
    if known is not None:
        if not other_version(known.terms, terms, family):
            refuse_other(known.terms, terms, place.root)
        place.require(known.files)
    if plan is None:
        if known is None:
            _refuse_foreign(place)
        return known, None
    if known is not None and plan.number <= known.number:
        _clean(place, plan)
        return known, None
    if other_version(plan.terms, terms, family):
        _discard(place, plan, known)
        return known, None
    refuse_other(plan.terms, terms, place.root)
    return known, plan


def _refuse_foreign(place: Place) -> None:
    """Raises OtherExport where a place without an export has files that are no part of one."""
    own = (LOCK, f"{STAGED}/")
    foreign = sorted(path for path in place.files() if not path.startswith(own))
    if foreign:
        raise OtherExport(
            f"{place.root} has no export, but {len(foreign)} other files, such as {foreign[0]}:"
            " name a new or an empty directory"
        )


async def _planned(  # noqa: PLR0917 - what an export is made of
    rows: TableRows,
    log: ReplayLog,
    place: Place,
    writer: FileWriter,
    last: Complete | None,
    begin: Begin,
) -> Plan:
    """Read the tables and stage their files; the plan that this fixes."""
    place.remove_below(STAGED)
    terms = terms_of(rows.settings, rows.settings.topic(SALES_TOPIC))
    number = 1 if last is None else last.number + 1
    known = last if last is not None and last.terms == terms else None
    before = [] if known is None else [one for one in known.files if DATASETS[one.dataset].table]
    marks = await rows.read(begin(TABLE_RECORDS, None))
    tables = await in_thread(
        write_tables, writer, rows.store, number, before, begin(TABLE_ROWS, None)
    )
    products = [mark for mark in marks if mark.stage == PRODUCT_STAGE.name]
    _refuse_another_journal(known, products, place)
    starts = {str(mark.partition): 0 for mark in products} if known is None else known.vector
    ends = {str(mark.partition): offset_after(mark.offset) for mark in products}
    await _refuse_cut(log, terms.journal, starts)
    through_ms = least([mark.watermark_ms for mark in products])
    merges = [] if known is None else merges_of(known.files, number)
    kept = {one.path for one in tables}
    if known is not None:
        merged = {one.path for merge in merges for one in merge.files}
        kept |= {one.path for one in _journal_files(known) if one.path not in merged}
    plan = Plan(
        number,
        number if known is None else known.first,
        terms,
        starts,
        ends,
        marks,
        None if through_ms is None else format_ms(through_ms),
        tables,
        merges,
        [] if last is None else [one.path for one in last.files if one.path not in kept],
    )
    place.write(PLAN, msgspec.json.encode(plan))
    return plan


def _journal_files(complete: Complete) -> list[ExportFile]:
    return [one for one in complete.files if not DATASETS[one.dataset].table]


def _refuse_another_journal(known: Complete | None, products: list[LaneMark], place: Place) -> None:
    """Raises OtherExport where the journal is not the one that was exported, or has shrunk."""
    if known is None:
        return
    before = {mark.partition: mark for mark in known.marks if mark.stage == PRODUCT_STAGE.name}
    for mark in products:
        last = before[mark.partition]
        if mark.topic_id != last.topic_id or mark.offset < last.offset:
            raise OtherExport(
                f"{place.root} has an export of another topic {mark.topic}: its topic was created"
                " anew; export to another directory, or empty this one"
            )


async def _refuse_cut(log: ReplayLog, journal: str, starts: dict[str, int]) -> None:
    """Raises LogCut where the journal no longer has a row that the export needs."""
    beginnings, _ = await log.bounds([journal])
    for (topic, number), beginning in beginnings.items():
        if beginning > starts[str(number)]:
            raise LogCut(
                f"{topic}-{number} begins at offset {beginning}, and rows from"
                f" {starts[str(number)]} on are needed: its retention must be unlimited"
            )


async def _write_merges(place: Place, plan: Plan, begin: Begin) -> list[ExportFile]:
    """Stage what is left of the merged files."""
    if not plan.merges:
        return []
    rows = sum(one.rows for merge in plan.merges for one in merge.files)
    return await in_thread(write_merges, place, plan, begin(MERGED_ROWS, rows))


async def _write_journal(
    log: ReplayLog, place: Place, writer: FileWriter, plan: Plan, begin: Begin
) -> None:
    """Stage what is left of the journal's rows."""
    receipts = receipts_of(place)
    starts = {
        int(number): receipts[int(number)][-1].end if int(number) in receipts else start
        for number, start in plan.starts.items()
    }
    left = sum(plan.ends[str(number)] - start for number, start in starts.items())
    report = begin(JOURNAL_RECORDS, left)
    for number, start in sorted(starts.items()):
        if start < plan.ends[str(number)]:
            await write_partition(place, writer, log, plan, number, start, report)


def _complete(
    place: Place, plan: Plan, last: Complete | None, merged: list[ExportFile], report: Report
) -> Complete:
    """Move the staged files to their names, and write `_COMPLETE.json`."""
    receipts = _receipts(place)
    known = last if last is not None and plan.first != plan.number else None
    replaced = set(plan.replaced)
    before = [] if known is None else _journal_files(known)
    kept = [one for one in before if one.path not in replaced]
    new = [one for receipt in receipts for one in receipt.files]
    files = sorted([*kept, *merged, *new, *plan.tables], key=lambda one: one.path)
    staged = place.files(STAGED)
    for one in files:
        if f"{STAGED}/{one.path}" in staged:
            place.move(f"{STAGED}/{one.path}", one.path)
            report(1)
    complete = Complete(
        number=plan.number,
        first=plan.first,
        terms=plan.terms,
        written_at=format_ms(time.time_ns() // 1_000_000),
        build=str(this_build()),
        vector=plan.ends,
        complete_through=plan.complete_through,
        unreadable=_unreadable(receipts) + (0 if known is None else known.unreadable),
        datasets=sums_of(files, DATASETS),
        marks=plan.marks,
        files=files,
    )
    place.write(COMPLETE, msgspec.json.format(msgspec.json.encode(complete)))
    _clean(place, plan)
    return complete


def _receipts(place: Place) -> list[Receipt]:
    return [one for some in receipts_of(place).values() for one in some]


def _discard(place: Place, plan: Plan, known: Complete | None) -> None:
    """Remove what an export that is not completed has moved to its name; the plan goes last."""
    kept = set() if known is None else {one.path for one in known.files}
    begun = [
        *[one.path for one in plan.tables],
        *[merge.path for merge in plan.merges],
        *[one.path for receipt in _receipts(place) for one in receipt.files],
    ]
    for path in begun:
        if path not in kept:
            place.remove(path)
    _clean(place, msgspec.structs.replace(plan, replaced=[]))


def _unreadable(receipts: list[Receipt]) -> int:
    return sum(receipt.unreadable for receipt in receipts)


def _clean(place: Place, plan: Plan) -> None:
    """Remove what a complete export replaced, and all that is staged; the plan last."""
    for path in plan.replaced:
        place.remove(path)
    for path in place.files(STAGED):
        if path != PLAN:
            place.remove(path)
    place.remove_below(STAGED)
