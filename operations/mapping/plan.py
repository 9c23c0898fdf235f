"""A mapping: TOML that states how files are read, and which columns make which events.

It is checked whole before a file is read. Names of columns are checked when a file is opened.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from operations.mapping.plan_faults import did_you_mean, sentence
from operations.mapping.plan_words import check_quantity, check_words
from schemas import events
from schemas.errors import NetsoldError
from schemas.times import parse_ms
from tables.time_zones import zone_of

NAME_TYPES: Final = {"product_named": "product_id", "shop_named": "shop_id"}
"""Lines that name products and shops, by type: the id they need."""

LINES: Final = {
    "order_placed": ("line_id", "product_id", "quantity", "unit_price", "discount", "total"),
    "refund_requested": ("line_id", "quantity", "unit_price", "amount"),
    "refund_succeeded": ("line_id", "quantity", "unit_price", "amount"),
}
"""Event types with lines: the fields that a mapping gives of a line."""

LINE_IDS: Final = ("order_shipped", "receipt_confirmed", "delivery_refused", "reissue_shipped")
"""Event types that may name the lines that they are about."""

NUMBER_OF_EQUAL: Final = "#n"
"""In an id: 1 for the first row with this id, 2 for the second …"""

_KIND_OF: Final = {"occurred_at": "time", "amount": "money", "rating": "number"}
"""Fields of an event that are no texts: what they are read as."""

SPECIAL: Final = ("#row", "#file", NUMBER_OF_EQUAL)
"""What a text may name beside columns: the row's number, its file's name, and the above."""

PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")


class MappingUnfit(NetsoldError):
    """A mapping that can't be read, or that doesn't fit the files."""

    exit_code = 2


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Cell(_Strict):
    """A value that is read from one column; exactly one of the first four names it."""

    column: str | None = None
    number: str | None = None
    money: str | None = None
    time: str | None = None
    sign: Literal["minus"] | None = None
    """The column has the number or the amount below zero."""

    round: Literal["half_up", "half_even"] | None = None
    """How an amount with more decimals than its currency has becomes one; else it is refused."""

    map: dict[str, str] | None = None
    other: str | None = None
    empty: str | int | None = None
    """The value where the cell is empty."""

    form: str | None = None
    """Of this column's times, as the file's `time_form`."""

    at: str | None = Field(default=None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """The time of day of a date without one."""

    @property
    def named(self) -> str:
        """The column."""
        return self.column or self.number or self.money or self.time or ""

    @model_validator(mode="after")
    def _one(self) -> Cell:
        kinds = [self.column, self.number, self.money, self.time]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("a value has exactly one of column, number, money and time")
        if (self.map or self.other) and self.column is None:
            raise ValueError("map and other belong to column")
        if (self.form or self.at) and self.time is None:
            raise ValueError("form and at belong to time")
        if self.round and self.money is None:
            raise ValueError("round belongs to money")
        if self.sign and self.number is None and self.money is None:
            raise ValueError("sign belongs to number or money")
        return self


def _whole(text: str) -> str:
    """A text whose braces all name columns. Raises ValueError."""
    if re.search(r"[{}]", PLACEHOLDER.sub("", text)):
        raise ValueError(f"{text!r} has a brace without its other one: a column is {{COLUMN}}")
    return text


Template = Annotated[str, AfterValidator(_whole)]
"""A text with {columns}."""

Value = Template | int | Cell
"""A text with {columns}, a constant, or a cell that is converted."""


class Condition(_Strict):
    """What a column must be; all that is given must be true."""

    above: int | None = None
    below: int | None = None
    one_of: list[str] | None = None
    none_of: list[str] | None = None
    empty: bool | None = None


When = dict[str, str | Condition]


class Match(_Strict):
    """A return that doesn't know its order is assigned to sales with the same key."""

    key: Template
    sale: Literal["earliest", "latest"]
    unmatched: Template | None = None
    """The order's id of units without a sale; without it the row is refused."""


class Sold(_Strict):
    """The lines of this event are the sales that returns are assigned to."""

    key: Template
    at: Cell | None = None
    """When it was sold; the event's own time without it."""


def instant_ms(text: str) -> int:
    """Epoch milliseconds of an event's time that is written in the mapping. Raises ValueError."""
    try:
        return parse_ms(text)
    except ValueError as error:
        raise ValueError(f"occurred_at {text!r} {error}") from error


class EventPlan(BaseModel):
    """One `[[file.event]]`: a row makes this event, or a line of it, where `when` is true."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    type: Literal[(*NAME_TYPES, *events.MODELS)]  # type: ignore[valid-type]  # a list of names
    when: When = {}
    each: str | None = None
    """Of a JSON row: the list whose elements are the rows, such as `refunds.lines`."""

    line: dict[str, Value] | None = None
    sold: Sold | None = None
    match: Match | None = None
    check: Cell | None = None
    """The file's own total of the event, which its lines should add up to."""

    fields: dict[str, Value] = Field(default={}, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, given: object) -> object:
        """The event's own fields, under one name."""
        if not isinstance(given, dict):
            return given
        known = set(cls.model_fields) - {"fields"}
        return {name: one for name, one in given.items() if name in known} | {
            "fields": {name: one for name, one in given.items() if name not in known}
        }

    @model_validator(mode="after")
    def _fits(self) -> EventPlan:
        allowed = _fields_of(self.type)
        for name in self.fields:
            if name not in allowed:
                advice = did_you_mean(name, allowed)
                raise ValueError(f"{self.type} has no field {name}: {advice}")
        for name, kind in _KIND_OF.items():
            value = self.fields.get(name)
            if name == "occurred_at" and isinstance(value, str):  # one instant for all rows
                instant_ms(value)
                continue
            if value is not None and not (isinstance(value, Cell) and getattr(value, kind)):
                raise ValueError(f"{name} needs {{ {kind} = COLUMN }}")
        check_words(self.type, self.fields)
        for name in ("id", "occurred_at", "order_id"):
            if name in allowed and name not in self.fields and not self._by_match(name):
                raise ValueError(f"{self.type} needs {name}")
        self._check_line()
        self._check_match()
        if (self.sold or self.check) and self.type != "order_placed":
            raise ValueError("sold and check belong to order_placed")
        return self

    def _check_match(self) -> None:
        match, line = self.match, self.line or {}
        if match is None:
            return
        if self.type not in LINES or self.type == "order_placed":
            raise ValueError("match belongs to a refund")
        if match.unmatched and not {"amount", "unit_price"} & {*line}:
            raise ValueError("a line without a sale has no price: give unit_price or amount")
        if {"order_id", "line_id"} & {*self.fields, *line}:
            raise ValueError("match finds the order and the line: leave out order_id and line_id")

    def _by_match(self, name: str) -> bool:
        return name == "order_id" and self.match is not None

    def _check_line(self) -> None:
        line = self.line
        if line is None:
            if self.type == "order_placed" or self.match:
                raise ValueError(f"{self.type} needs [file.event.line]: what a row is a line of")
            return
        allowed = LINES.get(self.type) or (("line_id",) if self.type in LINE_IDS else ())
        for name in line:
            if name not in allowed:
                advice = did_you_mean(name, allowed) if allowed else "leave it out"
                raise ValueError(f"a line of {self.type} has no {name}: {advice}")
        check_quantity(line)
        for names in self._needed():
            if not set(names) & line.keys():
                raise ValueError(f"a line of {self.type} needs {' or '.join(names)}")
        if {"total", "unit_price"} <= line.keys() or {"amount", "unit_price"} <= line.keys():
            raise ValueError("a line has unit_price or what it costs in all, not both")

    def _needed(self) -> list[tuple[str, ...]]:
        """What a line needs: one of each of these."""
        if self.type == "order_placed":
            return [("product_id",), ("quantity",), ("unit_price", "total")]
        if self.match:
            return [("quantity",)]
        if self.type in LINES:
            return [("line_id",), ("quantity",), ("amount", "unit_price")]
        return [("line_id",)]


class Skip(_Strict):
    """One `[[file.skip]]`: rows that are left out on purpose, counted by `why`."""

    why: Annotated[str, Field(min_length=1)]
    when: When


class FilePlan(_Strict):
    """One `[[file]]`: how files of a name are read, and what their rows are."""

    name: str = "*"
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    encoding: str = "utf-8"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    zone: str | None = None
    time_form: str = "iso"
    """`iso`, `epoch_s`, `epoch_ms`, `epoch_us`, or a form of Python's strptime."""

    ambiguous: Literal["earlier", "later"] | None = None
    """Which of the two instants of a time that a clock change repeats."""

    source: Template | None = None
    currency: Value | None = None
    json_columns: list[str] = []
    """Columns whose texts are JSON, read as if their members were in the row."""

    lookup: str | None = None
    key: str | None = None
    """With `lookup`: rows of other files find this file's by this column."""

    join: dict[str, str] = {}
    """By the name of a lookup: the column that has its key."""

    fill_down: dict[str, list[str]] = {}
    """By the column that rows of one thing have in common: columns that only its first row has."""

    event: list[EventPlan] = []
    skip: list[Skip] = []

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError as error:
            raise ValueError(f"{name!r} is no encoding that Python knows") from error
        return name

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name is not None:
            zone_of(name)
        return name

    @model_validator(mode="after")
    def _fits(self) -> FilePlan:
        if (self.lookup is None) != (self.key is None):
            raise ValueError("lookup and key belong together")
        if not self.event and self.lookup is None:
            raise ValueError("a file needs [[file.event]], or lookup")
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands are one mark")
        for event in self.event:
            sourced = self.source is not None or "source" in event.fields
            if not sourced and event.type not in NAME_TYPES:
                raise ValueError('a file needs source, such as "/shops/7/orders"')
            if event.type == "order_placed" and self.currency is None:
                raise ValueError('a file with order_placed needs currency, such as "EUR"')
            values = (*event.fields.values(), *(event.line or {}).values(), event.check)
            for value in values if self.currency is None else ():
                if isinstance(value, Cell) and value.money:
                    raise ValueError(f'money of {value.money} needs currency, such as "EUR"')
            if event.each is not None and self.format == "csv":
                raise ValueError("each belongs to jsonl or parquet, which have lists")
        return self


class Mapping(_Strict):
    """The whole mapping."""

    file: Annotated[list[FilePlan], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> Mapping:
        lookups = [one.lookup for one in self.file if one.lookup is not None]
        for one in self.file:
            if unknown := sorted(set(one.join) - set(lookups)):
                raise ValueError(f"join names the lookup {unknown[0]}, which no [[file]] is")
        keyed = any(event.sold for one in self.file for event in one.event)
        if not keyed and any(event.match for one in self.file for event in one.event):
            raise ValueError("match needs an order_placed with [file.event.sold]")
        return self

    def plan_of(self, path: str) -> FilePlan:
        """The first `[[file]]` whose name fits a file's. Raises MappingUnfit."""
        name = Path(path).name
        for one in self.file:
            if fnmatch.fnmatchcase(name, one.name):
                return one
        names = ", ".join(repr(one.name) for one in self.file)
        raise MappingUnfit(f"{path}: no [[file]] of the mapping is for it: they are for {names}")


def _fields_of(event_type: str) -> tuple[str, ...]:
    """The fields that an event's table in the mapping may have."""
    if event_type in NAME_TYPES:
        return NAME_TYPES[event_type], "name", "picture"
    named = (one.alias or name for name, one in events.MODELS[event_type].model_fields.items())
    return tuple(name for name in named if name not in {"type", "lines", "line_ids", "currency"})


def read_mapping(path: Path) -> Mapping:
    """The mapping of a file. Raises MappingUnfit."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MappingUnfit(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise MappingUnfit(f"{path}: is no TOML in UTF-8: {error}") from error
    try:
        return _ADAPTER.validate_python(given)
    except ValidationError as error:
        raise MappingUnfit(f"{path}: {sentence(error, _keys)}") from error


_ADAPTER: Final = TypeAdapter(Mapping)
_TABLES: Final[dict[str, type[BaseModel]]] = {"skip": Skip, "match": Match, "sold": Sold}


def _keys(path: tuple[str | int, ...]) -> list[str]:
    """The keys that the table at a place in a mapping may have."""
    if not path:
        return list(Mapping.model_fields)
    last = [part for part in path if isinstance(part, str)][-1]
    if last == "file":
        return list(FilePlan.model_fields)
    model = Condition if path[-2:-1] == ("when",) else _TABLES.get(last, Cell)
    return list(model.model_fields)
