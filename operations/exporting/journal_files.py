"""The files of the journal's rows: parts of a partition, each with a receipt once it is written.

A part ends at a number of rows, so a run that was interrupted cuts the same parts.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import astuple

from operations.exporting.files import FILE_ROWS
from operations.exporting.forms import ENTRIES, SERVICE_CHANGES
from operations.exporting.manifest import RECEIPTS, Receipt
from operations.exporting.threads import in_thread
from schemas.journal import Entry, ProgressMark, Service, decode
from schemas.positions import offset_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from operations.exporting.files import FileWriter
    from operations.exporting.manifest import Plan
    from operations.exporting.places import Place
    from operations.replaying.source_log import ReplayLog
    from schemas.envelope import Record

    Report = Callable[[int], None]


def receipts_of(place: Place) -> dict[int, list[Receipt]]:
    """The receipts of an interrupted export by partition, in order. Raises ExportDamaged."""
    found: dict[int, list[Receipt]] = {}
    for path in sorted(place.files(RECEIPTS)):
        receipt = place.read_json(path, Receipt)
        if receipt is not None:
            found.setdefault(receipt.partition, []).append(receipt)
    return found


async def write_partition(  # noqa: PLR0917 - what a part needs
    place: Place,
    writer: FileWriter,
    log: ReplayLog,
    plan: Plan,
    partition: int,
    start: int,
    report: Report,
) -> None:
    """Write the parts of a partition of the journal from `start` on."""
    at = (plan.terms.journal, partition)
    end = plan.ends[str(partition)]
    part = _Part(place, writer, plan.number, partition, start)
    async with aclosing(log.spans({at: start}, {at: end})) as steps:
        async for step in steps:
            records = step.records.get(at, [])
            await in_thread(part.add, records)
            report(len(records))
    if start < end:
        await in_thread(part.write, end)


class _Part:
    """Collects the rows of a part, and writes it when it has enough."""

    def __init__(
        self, place: Place, writer: FileWriter, number: int, partition: int, start: int
    ) -> None:
        self._place, self._writer = place, writer
        self._number, self._partition = number, partition
        self._begin(start)

    def _begin(self, start: int) -> None:
        self._start, self._count, self._unreadable = start, 0, 0
        self._entries: list[Any] = []
        self._changes: list[Any] = []

    def add(self, records: Iterable[Record]) -> None:
        """Add the next records; full parts are written."""
        entries: list[tuple[Any, ...]] = []
        changes: list[tuple[Any, ...]] = []
        for record in records:
            row = _row(record)
            if isinstance(row, ProgressMark):
                continue
            place = (self._partition, record.offset, record.timestamp)
            if isinstance(row, Entry):
                source, _, offset = row.id.partition("#")[0].rpartition("@")
                entries.append((*astuple(row), source, int(offset), *place))
            elif isinstance(row, Service):
                changes += _changed(row, place)
            else:
                self._unreadable += 1
            self._count += 1
            if self._count == FILE_ROWS:
                self._keep(entries, changes)
                entries, changes = [], []
                self.write(offset_after(record.offset))
        self._keep(entries, changes)

    def _keep(self, entries: list[tuple[Any, ...]], changes: list[tuple[Any, ...]]) -> None:
        """Keep rows in Arrow's form, a fraction of Python's."""
        if entries:
            self._entries.append(ENTRIES.filled(entries))
        if changes:
            self._changes.append(SERVICE_CHANGES.filled(changes))

    def write(self, end: int) -> None:
        """Write what was collected, and the receipt of it; then begin the next part."""
        from operations.exporting.libraries import arrow

        name = f"{self._number:06}-{self._partition:05}-{self._start:019}"
        files = []
        for dataset, rows in ((ENTRIES, self._entries), (SERVICE_CHANGES, self._changes)):
            if rows:
                files += self._writer.write(dataset, name, arrow().concat_tables(rows))
        receipt = Receipt(self._partition, self._start, end, self._unreadable, files)
        self._place.write(f"{RECEIPTS}/{name}.json", msgspec.json.encode(receipt))
        self._begin(end)


def _row(record: Record) -> object:
    """A row of the journal, a mark, or None for what no worker wrote."""
    try:
        return decode(record.value or b"")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _changed(row: Service, place: tuple[int, int, int]) -> list[tuple[Any, ...]]:
    return [
        (
            row.product_id,
            row.cycle,
            figure,
            change,
            row.restates,
            row.id,
            row.shop_id,
            row.event_type,
            row.event_id,
            row.event_source,
            row.occurred_at,
            row.rules,
            row.terms,
            *place,
        )
        for figure, change in row.columns.items()
    ]
