"""The parts of events that a row makes: an event's own fields, and one line of it.

Rows with one id of an event make one event together (`joining`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.mapping.conditions import test_of
from operations.mapping.plan import (
    LINES,
    NAME_TYPES,
    NUMBER_OF_EQUAL,
    PLACEHOLDER,
    SPECIAL,
)
from operations.mapping.rows import elements
from operations.mapping.values import RowUnmapped, columns_of, instant_of, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from operations.mapping.plan import EventPlan, FilePlan, Value
    from operations.mapping.values import Reading, Row

LINE_BITS: Final = 40
"""A row's place is the number of its file, and in so many bits its line."""

NUMBERED: Final = "\0"
"""In an id, where the number of the rows with an equal id goes."""


class Part(msgspec.Struct, array_like=True):
    """What one row gives of one event; `line` is None of an event without lines.

    `key` is what its sale is found by, and `sold_at` when it was sold; `check` is the file's own
    total; `unmatched` is the order of what has no sale. Instants are epoch milliseconds.
    """

    fields: dict[str, Any]
    line: dict[str, Any] | None = None
    key: str | None = None
    sold_at: int | None = None
    check: int | None = None
    unmatched: str | None = None


class EventReader:
    """Makes the parts of one `[[file.event]]`; `number` is its place among all of the mapping."""

    def __init__(self, number: int, plan: EventPlan, file: FilePlan) -> None:
        self.number, self.plan = number, plan
        self.is_named = plan.type in NAME_TYPES
        currency = None if file.currency is None else reading(file.currency, file)
        self._applies = test_of(plan.when, file)
        fields = dict(plan.fields)
        if not self.is_named:
            fields.setdefault("source", file.source or "")
        if plan.type == "order_placed" and file.currency is not None:
            fields["currency"] = file.currency
        self._columns = _columns(plan, file)
        id_ = str(fields.get("id", ""))
        self.is_numbered = NUMBER_OF_EQUAL in PLACEHOLDER.findall(id_)
        self._fields = {
            name: instant_of(one, file) if name == "occurred_at" else reading(one, file, currency)
            for name, one in fields.items()
        }
        self._line = (
            None
            if plan.line is None
            else {name: reading(one, file, currency) for name, one in plan.line.items()}
        )
        self._id = self._fields.get("id") or self._fields.get(NAME_TYPES.get(plan.type, ""))
        match, sold = plan.match, plan.sold
        keyed = match.key if match else sold.key if sold else None
        self._key = None if keyed is None else reading(keyed, file)
        self._sold_at = reading(sold.at, file) if sold and sold.at else None
        self._check = None if plan.check is None else reading(plan.check, file, currency)
        unmatched = match.unmatched if match else None
        self._unmatched = None if unmatched is None else reading(unmatched, file)

    @property
    def columns(self) -> set[str]:
        """The columns that it reads."""
        return self._columns

    def rows(self, row: Row) -> Iterator[Row]:
        """The rows that it is for: the row itself, or elements of its list. Raises RowUnmapped."""
        for one in [row] if self.plan.each is None else elements(row, self.plan.each):
            if self._applies(one):
                yield one

    def id_of(self, row: Row) -> str:
        """The event's id. Raises RowUnmapped."""
        found: str | None = None if self._id is None else self._id(row)
        if found is None:
            columns = ", ".join(sorted(self._columns & _id_columns(self.plan)))
            raise RowUnmapped(
                f"column {columns}: is empty, and the id of {self.plan.type} is made of it:"
                " name such rows by when, or skip them"
            )
        return found

    def part(self, row: Row) -> Part:
        """What the row gives of the event. Raises RowUnmapped."""
        fields = {
            name: found for name, read in self._fields.items() if (found := read(row)) is not None
        }
        line = None if self._line is None else self._read_line(row, self._line)
        key = None
        if self._key is not None:
            key = self._key(row)
            if key is None and self.plan.match is not None:
                raise RowUnmapped(
                    f"columns {self._key_columns()}: one is empty, and a return's sale is found by"
                    " them: name such rows by [[file.skip]], or give them a key of their own"
                )
        return Part(
            fields,
            line,
            key,
            None if self._sold_at is None else self._sold_at(row),
            None if self._check is None else self._check(row),
            None if self._unmatched is None else self._unmatched(row),
        )

    def _read_line(self, row: Row, read: dict[str, Reading]) -> dict[str, Any]:
        line = {name: found for name, one in read.items() if (found := one(row)) is not None}
        for name, given in (self.plan.line or {}).items():
            if name not in line and name != "discount":
                columns = ", ".join(columns_of(given))
                raise RowUnmapped(f"column {columns}: is empty, and a line's {name} is made of it")
        if self.plan.type in LINES:
            _price(line, is_refund=self.plan.type != "order_placed")
        return line

    def _key_columns(self) -> str:
        match, sold = self.plan.match, self.plan.sold
        keyed = match.key if match else sold.key if sold else ""
        return ", ".join(columns_of(keyed))


def _price(line: dict[str, Any], *, is_refund: bool) -> None:
    """Turn what a line costs in all into its fields, to the minor unit."""
    quantity = line["quantity"]
    if is_refund:
        price = line.pop("unit_price", None)
        if price is not None:
            line["amount"] = quantity * price
            line["each"] = price
        return
    total = line.pop("total", None)
    if total is None:
        return
    discount = line.pop("discount", 0)
    if quantity < 1:
        raise RowUnmapped("a line of 0 units has no price a unit: name such rows by when")
    line["unit_price"] = price = -(-(total + discount) // quantity)
    off = price * quantity - total
    if off:
        line["discount"] = off


def _id_columns(plan: EventPlan) -> set[str]:
    named = plan.fields.get("id", plan.fields.get(NAME_TYPES.get(plan.type, ""), ""))
    return set(columns_of(named))


def _columns(plan: EventPlan, file: FilePlan) -> set[str]:
    """All columns that an event is read from."""
    values: list[Value] = [*plan.fields.values(), *(plan.line or {}).values()]
    if plan.check:
        values.append(plan.check)
    if plan.type == "order_placed" and file.currency is not None:
        values.append(file.currency)
    if plan.type not in NAME_TYPES and file.source is not None:
        values.append(file.source)
    if plan.match:
        values.append(plan.match.key)
        values += [] if plan.match.unmatched is None else [plan.match.unmatched]
    if plan.sold:
        values.append(plan.sold.key)
        values += [] if plan.sold.at is None else [plan.sold.at]
    found = {column for value in values for column in columns_of(value)}
    return (found | set(plan.when)) - set(SPECIAL)


class FileReader:
    """Makes the parts of all events of one `[[file]]`; `first` is the number of its first event."""

    def __init__(self, plan: FilePlan, first: int) -> None:
        self.plan = plan
        self.events = [EventReader(first + at, one, plan) for at, one in enumerate(plan.event)]
        self._skips = [(one.why, test_of(one.when, plan)) for one in plan.skip]

    @property
    def columns(self) -> set[str]:
        """The columns of this file that are read, without those of lookups."""
        found = {column for event in self.events for column in event.columns}
        found |= {column for skip in self.plan.skip for column in skip.when}
        found |= set(self.plan.join.values()) | set(self.plan.json_columns)
        found |= set(self.plan.fill_down)
        found |= {column for columns in self.plan.fill_down.values() for column in columns}
        if self.plan.key is not None:
            found.add(self.plan.key)
        others = tuple(f"{name}." for name in (*self.plan.join, *self.plan.json_columns))
        return {column for column in found if not others or not column.startswith(others)}

    def skipped(self, row: Row) -> str | None:
        """Why a row is left out on purpose; None if it isn't. Raises RowUnmapped."""
        return next((why for why, test in self._skips if test(row)), None)

    def parts(self, row: Row) -> list[tuple[EventReader, str, Part]]:
        """(event, id, part) of everything that the row makes. Raises RowUnmapped."""
        found = [
            (event, event.id_of(one), event.part(one))
            for event in self.events
            for one in event.rows(row)
        ]
        if not found and self.events:
            raise RowUnmapped(
                "no [[file.event]] is for this row: give one, or name such rows by [[file.skip]]"
            )
        return found

    def ids(self, row: Row) -> Iterator[tuple[int, str]]:
        """The events that a refused row is of, as far as it shows."""
        for event in self.events:
            try:
                found = [(event.number, event.id_of(one)) for one in event.rows(row)]
            except RowUnmapped:
                continue
            yield from found
