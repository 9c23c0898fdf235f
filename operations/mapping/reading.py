"""The rows of files as parts of events: read, with their lookups, and kept on disk."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from operations.files.opening import name_of, require
from operations.mapping.filling import filled
from operations.mapping.joining import encode_part
from operations.mapping.parts import LINE_BITS, NUMBERED, FileReader
from operations.mapping.plan import NUMBER_OF_EQUAL, MappingUnfit
from operations.mapping.rows import check, opened_row, rows_of
from operations.mapping.same_fault import ReadRow, in_steps
from operations.mapping.values import RowUnmapped, text_of
from schemas import limits
from schemas.refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from operations.mapping.parts import EventReader
    from operations.mapping.plan import Mapping
    from operations.mapping.spool import Spool
    from operations.mapping.values import Row

_LOOKUP_ROWS: Final = 2_000_000


@dataclass(slots=True)
class Checked:
    """The files' own totals: how many events agree with them, how many differ, and the first."""

    agree: int = 0
    differ: int = 0
    differences: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """What was read and made: rows, rows left out by why, events by type."""

    rows: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    checked: Checked = field(default_factory=Checked)


def refusal_of(why: str) -> Refusal:
    """The refusal of a row, or of an event of rows."""
    return Refusal(Reason.NOT_MAPPED, why[: limits.DETAIL_CHARS])


class RowStage:
    """Reads files of a mapping into a spool; `counts` gets what was read.

    Raises EventFileUnreadable, ExtraMissing and MappingUnfit for files that are not there, or that
    lack a column.
    """

    def __init__(
        self, mapping: Mapping, files: Sequence[str], spool: Spool, counts: Counts
    ) -> None:
        self.files = list(files)
        self.counts, self._spool = counts, spool
        self._lookups: dict[str, dict[str, Row]] = {}
        self._readers: dict[str, FileReader] = {}
        self.events: list[EventReader] = []
        """All events of the mapping for these files, by number."""

        self.done_rows = 0
        """How many rows of the file that is being read are done."""

        by_plan: dict[int, FileReader] = {}
        _require_each_once(files)
        for path in files:
            plan = mapping.plan_of(path)
            reader = by_plan.get(id(plan))
            if reader is None:
                reader = by_plan[id(plan)] = FileReader(plan, len(self.events))
                self.events += reader.events
            self._readers[path] = reader
        self._wanted = _looked_up(by_plan.values())
        given = {reader.plan.lookup for reader in by_plan.values()}
        for name in self._wanted:
            if name not in given:
                raise MappingUnfit(f"no FILE is that of the lookup {name}: name it, too")
        for path in files:
            reader = self._readers[path]
            check(
                path,
                reader.plan,
                reader.columns | self._wanted.get(reader.plan.lookup or "", set()),
            )

    def order(self) -> list[int]:
        """The files' numbers: lookups first, as rows of other files need theirs."""
        return sorted(
            range(len(self.files)),
            key=lambda at: self._readers[self.files[at]].plan.lookup is None,
        )

    def at(self, place: int) -> str:
        """A row's place for people."""
        number, line = place >> LINE_BITS, place & ((1 << LINE_BITS) - 1)
        return f"{name_of(self.files[number])}:{line}"

    def read(self, number: int, done: int) -> Iterator[list[ReadRow]]:
        """Read a file whose first `done` rows were read before. Raises as `in_steps`."""
        rows = self._rows(number, done)
        return in_steps(rows, self.at) if not done else ([row] for row in rows)

    def _rows(self, number: int, done: int) -> Iterator[ReadRow]:
        path = self.files[number]
        reader = self._readers[path]
        last: dict[int, tuple[str, bytes]] = {}
        rows = filled(rows_of(path, reader.plan, reader.columns), reader.plan.fill_down)
        for self.done_rows, (line, row, read_bytes) in enumerate(rows, 1):
            if self.done_rows <= done:
                self._again(reader, path, line, row)
                continue
            self.counts.rows += 1
            place, why = number << LINE_BITS | line, None
            try:
                if not self._add(reader, place, self._opened(reader, path, line, row), last):
                    continue
            except RowUnmapped as error:
                why = str(error)
                if isinstance(row, dict):
                    for event, id_ in reader.ids(row):
                        self._spool.add_part((event, id_, place, 0, None))
            yield place, read_bytes, why

    def recall(self, number: int) -> None:
        """A file that was read whole before: only its lookup is in memory."""
        path = self.files[number]
        reader = self._readers[path]
        if reader.plan.lookup is not None:
            rows = rows_of(path, reader.plan, reader.columns)
            for line, row, _ in filled(rows, reader.plan.fill_down):
                self._again(reader, path, line, row)

    def _again(self, reader: FileReader, path: str, line: int, row: Row | RowUnmapped) -> None:
        """A row that was read before: its parts are kept, and its lookup is not."""
        if reader.plan.lookup is not None:
            with suppress(RowUnmapped):
                opened = self._opened(reader, path, line, row)
                if reader.skipped(opened) is None:
                    self._keep(reader, opened)

    def _opened(self, reader: FileReader, path: str, line: int, row: Row | RowUnmapped) -> Row:
        """The row with its JSON columns, its lookups and the special names. Raises RowUnmapped."""
        if isinstance(row, RowUnmapped):
            raise row
        plan = reader.plan
        if plan.json_columns and plan.format != "jsonl":
            found = opened_row(row, plan.json_columns)
            if isinstance(found, RowUnmapped):
                raise found
        row["#row"], row["#file"], row[NUMBER_OF_EQUAL] = line, name_of(path), NUMBERED
        for name, column in plan.join.items():
            key = text_of(row.get(column))
            there = self._lookups.get(name, {}).get(key or "")
            if there is None:
                raise RowUnmapped(f"column {column}: {key!r} is no key of the lookup {name}")
            row |= there
        return row

    def _add(
        self, reader: FileReader, place: int, row: Row, last: dict[int, tuple[str, bytes]]
    ) -> bool:
        """Keep what the row makes; False if it is left out on purpose. Raises RowUnmapped."""
        why = reader.skipped(row)
        if why is not None:
            self.counts.skipped[why] = self.counts.skipped.get(why, 0) + 1
            return False
        if reader.plan.lookup is not None:
            self._keep(reader, row)
        for element, (event, id_, part) in enumerate(reader.parts(row)):
            data = encode_part(part)
            if event.plan.line is None and not event.is_numbered:
                if last.get(event.number) == (id_, data):
                    continue  # the next row of an order repeats what the one before gave
                last[event.number] = id_, data
            self._spool.add_part((event.number, id_, place, element, data))
        return True

    def _keep(self, reader: FileReader, row: Row) -> None:
        name, column = reader.plan.lookup or "", reader.plan.key or ""
        key = text_of(row.get(column))
        if key is None:
            raise RowUnmapped(f"column {column}: is empty, and is the key of the lookup {name}")
        rows = self._lookups.setdefault(name, {})
        kept = {f"{name}.{one}": row.get(one) for one in self._wanted.get(name, ())}
        if rows.setdefault(key, kept) != kept:
            raise RowUnmapped(f"column {column}: {key!r} is there twice, with other values")
        if len(rows) > _LOOKUP_ROWS:
            raise MappingUnfit(
                f"the lookup {name} has more than {_LOOKUP_ROWS:,} rows, which are in memory:"
                " join its columns to the other file before"
            )


def _require_each_once(files: Iterable[str]) -> None:
    known: set[str] = set()
    for path in files:
        require(path)
        if (real := os.path.realpath(path)) in known:
            raise MappingUnfit(f"{path} is given twice: its rows would count twice")
        known.add(real)


def _looked_up(readers: Iterable[FileReader]) -> dict[str, set[str]]:
    """By lookup: the columns that other files read from it."""
    found: dict[str, set[str]] = {}
    for reader in readers:
        columns = {column for event in reader.events for column in event.columns}
        columns |= {column for skip in reader.plan.skip for column in skip.when}
        for name in reader.plan.join:
            prefix = f"{name}."
            found.setdefault(name, set()).update(
                column.removeprefix(prefix) for column in columns if column.startswith(prefix)
            )
    return found
