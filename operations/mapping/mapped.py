"""Files as records for the log, by a mapping: read, joined, matched, sorted by time.

Memory doesn't grow with the files: what waits for its other rows is on disk (`spool`). Only the
rows of lookups are in memory, and of sales that returns may find those of one key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.files.opening import name_of, size_bytes
from operations.mapping.joining import encode_part, joined
from operations.mapping.matching import RETURN, SALE, Returned, SoldLine, encode, matched
from operations.mapping.parts import NUMBERED, FileReader
from operations.mapping.plan import NUMBER_OF_EQUAL, MappingUnfit
from operations.mapping.rows import opened_row, rows_of
from operations.mapping.spool import Spool
from operations.mapping.values import RowRefused, text_of
from operations.writing.event_lines import Line, Outgoing, event_of
from schemas import limits
from schemas.refusals import Reason, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from operations.mapping.joining import Joined
    from operations.mapping.parts import EventReader
    from operations.mapping.plan import Mapping
    from operations.mapping.values import Row

_LINE_BITS: Final = 40
_LOOKUP_ROWS: Final = 2_000_000
_DIFFERENCES: Final = 20

_encode_json: Final = msgspec.json.Encoder().encode
_encode_record: Final = msgspec.msgpack.Encoder().encode
_decode_record: Final = msgspec.msgpack.Decoder(
    tuple[str, bytes, bytes | None, list[tuple[str, bytes]], int | None]
).decode


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
    skipped: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    checked: Checked = field(default_factory=Checked)


class MappedFiles:
    """The events of some files. Call `refusals` to its end, then `lines` or `records_by_order`."""

    def __init__(self, mapping: Mapping, files: Sequence[str], directory: Path) -> None:
        self.counts = Counts()
        self._files = list(files)
        self._spool = Spool(directory)
        self._lookups: dict[str, dict[str, Row]] = {}
        self._readers: dict[str, FileReader] = {}
        self._events: list[EventReader] = []
        by_plan: dict[int, FileReader] = {}
        for path in files:
            plan = mapping.plan_of(path)
            reader = by_plan.get(id(plan))
            if reader is None:
                reader = by_plan[id(plan)] = FileReader(plan, len(self._events))
                self._events += reader.events
            self._readers[path] = reader
        self._wanted = _looked_up(by_plan.values())
        given = {reader.plan.lookup for reader in by_plan.values()}
        for name in self._wanted:
            if name not in given:
                raise MappingUnfit(f"no FILE is that of the lookup {name}: name it, too")

    def close(self) -> None:
        """Release the files."""
        self._spool.close()

    def refusals(self) -> Iterator[Line]:
        """Read everything; the rows and events of which nothing is made.

        Raises EventFileUnreadable, MappingUnfit, ExtraMissing, SpoolFull.
        """
        done = 0
        # rows of other files need those of lookups
        order = sorted(
            range(len(self._files)),
            key=lambda at: self._readers[self._files[at]].plan.lookup is None,
        )
        for number in order:
            yield from self._read(number, done)
            done += size_bytes(self._files[number]) or 0
        yield from self._join(done)
        yield from self._match(done)

    def lines(self) -> Iterator[Line]:
        """All events by time."""
        done = sum(size_bytes(path) or 0 for path in self._files)
        for _, _, place, record in self._spool.events():
            yield Line(self._at(place), done, Outgoing(*_decode_record(record)))

    def records_by_order(self) -> Iterator[tuple[str, str, Outgoing]]:
        """(order, place, record) of all events, those of an order together."""
        for _, order_id, place, record in self._spool.events_by_order():
            yield order_id, self._at(place), Outgoing(*_decode_record(record))

    def _at(self, place: int) -> str:
        number, line = place >> _LINE_BITS, place & ((1 << _LINE_BITS) - 1)
        return f"{name_of(self._files[number])}:{line}"

    # --- rows → parts

    def _read(self, number: int, before: int) -> Iterator[Line]:
        path = self._files[number]
        reader = self._readers[path]
        last: dict[int, tuple[str, bytes]] = {}
        for line, row, done in rows_of(path, reader.plan, reader.columns):
            self.counts.rows += 1
            place = number << _LINE_BITS | line
            try:
                self._add(reader, place, self._opened(reader, path, line, row), last)
            except RowRefused as error:
                if isinstance(row, dict):
                    for event, id_ in reader.ids(row):
                        self._spool.add_part((event, id_, place, 0, None))
                yield self._refused(place, str(error), before + done)

    def _opened(self, reader: FileReader, path: str, line: int, row: Row | RowRefused) -> Row:
        """The row with its JSON columns, its lookups and the special names. Raises RowRefused."""
        if isinstance(row, RowRefused):
            raise row
        plan = reader.plan
        if plan.json_columns and plan.format != "jsonl":
            found = opened_row(row, plan.json_columns)
            if isinstance(found, RowRefused):
                raise found
        row["#row"], row["#file"], row[NUMBER_OF_EQUAL] = line, name_of(path), NUMBERED
        for name, column in plan.join.items():
            key = text_of(row.get(column))
            there = self._lookups.get(name, {}).get(key or "")
            if there is None:
                raise RowRefused(f"column {column}: {key!r} is no key of the lookup {name}")
            row |= there
        return row

    def _add(
        self, reader: FileReader, place: int, row: Row, last: dict[int, tuple[str, bytes]]
    ) -> None:
        why = reader.skipped(row)
        if why is not None:
            self.counts.skipped[why] += 1
            return
        if reader.plan.lookup is not None:
            self._keep(reader, row)
        for element, (event, id_, part) in enumerate(reader.parts(row)):
            data = encode_part(part)
            if event.plan.line is None and not event.is_numbered:
                if last.get(event.number) == (id_, data):
                    continue  # the next row of an order repeats what the one before gave
                last[event.number] = id_, data
            self._spool.add_part((event.number, id_, place, element, data))

    def _keep(self, reader: FileReader, row: Row) -> None:
        name, column = reader.plan.lookup or "", reader.plan.key or ""
        key = text_of(row.get(column))
        if key is None:
            raise RowRefused(f"column {column}: is empty, and is the key of the lookup {name}")
        rows = self._lookups.setdefault(name, {})
        kept = {f"{name}.{one}": row.get(one) for one in self._wanted.get(name, ())}
        if rows.setdefault(key, kept) != kept:
            raise RowRefused(f"column {column}: {key!r} is there twice, with other values")
        if len(rows) > _LOOKUP_ROWS:
            raise MappingUnfit(
                f"the lookup {name} has more than {_LOOKUP_ROWS:,} rows, which are in memory:"
                " join its columns to the other file before"
            )

    # --- parts → events

    def _join(self, done: int) -> Iterator[Line]:
        for one in joined(self._spool.parts(), self._events, self._at):
            if isinstance(one.event, RowRefused):
                yield self._refused(one.place, str(one.event), done)
            elif one.reader.plan.match is not None:
                self._add_return(one, one.event)
            else:
                refusal = self._made(one.place, one.event)
                if refusal is not None:
                    yield Line(self._at(one.place), done, refusal)
                elif one.event["type"] == "order_placed":
                    self._placed(one, one.event)
        self._spool.forget_parts()

    def _made(self, place: int, event: dict[str, Any]) -> Refusal | None:
        """Keep an event, or why the log's decoder refuses it."""
        found = event_of(_encode_json(event))
        if isinstance(found, Refusal):
            return found
        self.counts.events[event["type"]] += 1
        at_ms = found.occurred_at_ms
        record = _encode_record((found.topic, found.key, found.value, found.headers, at_ms))
        order_id = event.get("order_id", "")
        self._spool.add_event((-(2**62) if at_ms is None else at_ms, order_id, place, record))
        return None

    def _placed(self, one: Joined, event: dict[str, Any]) -> None:
        total = 0
        for line, (key, at_ms) in zip(event["lines"], one.keys, strict=True):
            amount = line["quantity"] * line["unit_price"] - line.get("discount", 0)
            total += amount
            if key is not None:
                sold = SoldLine(event["order_id"], line["line_id"], line["quantity"], amount)
                self._spool.add_sale((key, at_ms, SALE, one.place, encode(sold)))
        if one.check is None:
            return
        checked = self.counts.checked
        if one.check == total:
            checked.agree += 1
            return
        checked.differ += 1
        if len(checked.differences) < _DIFFERENCES:
            checked.differences.append(
                f"{self._at(one.place)}: order {event['order_id']}: its lines are {total} minor"
                f" units of {event['currency']}, and the file's own total is {one.check}"
            )

    def _add_return(self, one: Joined, event: dict[str, Any]) -> None:
        (line,) = event.pop("lines")
        ((key, at_ms),) = one.keys
        match = one.reader.plan.match
        returned = Returned(
            event,
            one.reader.number,
            "earliest" if match is None else match.sale,
            line["quantity"],
            line.get("each"),
            line.get("amount"),
            one.unmatched,
        )
        self._spool.add_sale((key or "", at_ms, RETURN, one.place, encode(returned)))

    def _match(self, done: int) -> Iterator[Line]:
        for place, _, events in matched(self._spool.sales()):
            if isinstance(events, RowRefused):
                yield self._refused(place, str(events), done)
                continue
            for event in events:
                refusal = self._made(place, event)
                if refusal is not None:
                    yield Line(self._at(place), done, refusal)

    def _refused(self, place: int, why: str, done: int) -> Line:
        detail = why[: limits.DETAIL_CHARS]
        return Line(self._at(place), done, Refusal(Reason.NOT_MAPPED, detail))


def _looked_up(readers: Any) -> dict[str, set[str]]:  # noqa: ANN401 - FileReaders
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
