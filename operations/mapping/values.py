"""Values of cells: texts, numbers, money and instants, each read exactly or refused.

A mapping's value becomes a function of a row, so that it is understood once and not for each row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from operations.mapping.plan import PLACEHOLDER, Cell, FilePlan, MappingUnfit, Value, instant_ms
from schemas.errors import NetsoldError
from schemas.money import DECIMALS
from schemas.times import format_short, parse_ms
from tables.time_zones import zone_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Row = dict[str, Any]
"""A row's cells by column: texts of CSV, values of JSON or Parquet; None where nothing is."""

Reading = Callable[[Row], Any]
"""Reads a value from a row; None where the cell is empty. Raises RowUnmapped."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND: Final = {"epoch_s": 1, "epoch_ms": 1000, "epoch_us": 1_000_000}
_ROUNDING: Final = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN}
_ZONED: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ].*([Zz]|[+-]\d\d:?\d\d)")
_ZONE: Final = re.compile(r" ?([+-]\d\d):?(\d\d)$")
_SHOWN_CHARS: Final = 60


class RowUnmapped(NetsoldError):
    """A row, or an event of rows, of which the mapping makes nothing; the sentence says why."""


def of_cell(cell: Cell, given: object, fault: str) -> RowUnmapped:
    """The refusal of one cell: its column, its value, and what is wrong with it."""
    return refused(cell.named, given, fault)


def refused(column: str, given: object, fault: str) -> RowUnmapped:
    """The same by a column's name."""
    shown = text_of(given) or ""
    if len(shown) > _SHOWN_CHARS:
        shown = f"{shown[:_SHOWN_CHARS]}…"
    return RowUnmapped(f"column {column}: {shown!r} {fault}")


def text_of(given: object) -> str | None:
    """A cell as a text; None if it is empty or blank."""
    if given is None:
        return None
    if isinstance(given, str):
        return given if given and not given.isspace() else None
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int | float | Decimal):
        return str(given)
    if isinstance(given, datetime | date):
        return given.isoformat()
    raise RowUnmapped(f"{given!r:.60} is a list or bytes, and a single value is wanted")


def reading(value: Value, plan: FilePlan, currency: Reading | None = None) -> Reading:
    """The function that reads a mapping's value from rows of a file."""
    if isinstance(value, int):
        return lambda _: value
    if isinstance(value, str):
        return _template(value)
    read = _converted(value, plan, currency)
    if value.empty is None:
        return read
    absent = value.empty

    def or_absent(row: Row) -> Any:  # noqa: ANN401 - the kinds of a field
        found = read(row)
        return absent if found is None else found

    return or_absent


def instant_of(value: Value, plan: FilePlan) -> Reading:
    """As `reading`, for `occurred_at`: a text is one instant for all rows."""
    if isinstance(value, Cell):
        return reading(value, plan)
    ms = instant_ms(str(value))
    return lambda _: ms


def columns_of(value: Value) -> list[str]:
    """The columns that a value is read from."""
    if isinstance(value, Cell):
        return [value.named]
    return PLACEHOLDER.findall(value) if isinstance(value, str) else []


def _template(text: str) -> Reading:
    """A text with {columns}; None if one of them is empty."""
    names = PLACEHOLDER.findall(text)
    if not names:
        return lambda _: text
    if PLACEHOLDER.fullmatch(text):
        (only,) = names
        return lambda row: text_of(row.get(only))
    pieces = PLACEHOLDER.split(text)  # texts and columns in turn

    def filled(row: Row) -> str | None:
        parts = list(pieces)
        for at in range(1, len(parts), 2):
            found = text_of(row.get(parts[at]))
            if found is None:
                return None
            parts[at] = found
        return "".join(parts)

    return filled


def _converted(cell: Cell, plan: FilePlan, currency: Reading | None) -> Reading:
    if cell.column is not None:
        return _mapped(cell)
    if cell.time is not None:
        return _instant(cell, plan)
    if cell.number is not None:
        return _number(cell, plan)
    if currency is None:
        raise MappingUnfit(f'money of column {cell.named} needs the file\'s currency, as "EUR"')
    return _money(cell, plan, currency)


def _mapped(cell: Cell) -> Reading:
    column, known, other = cell.named, cell.map, cell.other

    def read(row: Row) -> str | None:
        text = text_of(row.get(column))
        if known is None or text is None:
            return text
        found = known.get(text, other)
        if found is None:
            wanted = ", ".join(known)
            raise refused(column, text, f"is not in its map ({wanted}): add it, or give other")
        return found

    return read


# --- numbers and money


@lru_cache(maxsize=8)
def _number_form(decimal: str, thousands: str) -> re.Pattern[str]:
    mark = re.escape(thousands)
    whole = rf"\d{{1,3}}(?:{mark}\d{{3}})+|\d+" if thousands else r"\d+"
    return re.compile(rf"([+-]?)({whole})(?:{re.escape(decimal)}(\d+))?", re.ASCII)


def decimal_of(given: object, decimal: str, thousands: str) -> Decimal | None:
    """A cell's number; None if it is empty. ValueError if it is none in that form."""
    if given is None or isinstance(given, bool):
        return None
    if not isinstance(given, str):
        # the shortest text of a float is what was written
        try:
            found = Decimal(str(given))
        except InvalidOperation:
            raise ValueError("is no number") from None
        if not found.is_finite():
            raise ValueError("is no number")
        return found
    text = given.strip().replace("\N{NO-BREAK SPACE}", " ")
    if not text:
        return None
    match = _number_form(decimal, thousands).fullmatch(text)
    if match is None:
        example = f"-1{thousands}234{decimal}50"
        raise ValueError(f"is no number of the form {example}: see decimal and thousands")
    sign, whole, part = match.groups()
    if thousands:
        whole = whole.replace(thousands, "")
    return Decimal(f"{sign}{whole}.{part or 0}")


def number_in(column: str, row: Row, plan: FilePlan) -> Decimal | None:
    """The number in a column; None if it is empty. Raises RowUnmapped."""
    given = row.get(column)
    try:
        return decimal_of(given, plan.decimal, plan.thousands)
    except ValueError as error:
        raise refused(column, given, str(error)) from error


def _signed(cell: Cell, row: Row, plan: FilePlan) -> Decimal | None:
    """A cell's number, with its sign as the mapping states it. Raises RowUnmapped."""
    found = number_in(cell.named, row, plan)
    if found is None:
        return None
    if cell.sign == "minus":
        found = -found
    if found < 0:
        below = "above zero, and sign is minus" if cell.sign else "below zero"
        raise of_cell(cell, row.get(cell.named), f"is {below}: name such rows by when")
    return found


def _number(cell: Cell, plan: FilePlan) -> Reading:
    def read(row: Row) -> int | None:
        found = _signed(cell, row, plan)
        if found is None:
            return None
        if found != (whole := int(found)):
            raise of_cell(cell, row.get(cell.named), "is not a whole number")
        return whole

    return read


def _money(cell: Cell, plan: FilePlan, currency: Reading) -> Reading:
    def read(row: Row) -> int | None:
        found = _signed(cell, row, plan)
        if found is None:
            return None
        code = currency(row)
        decimals = DECIMALS.get(code)
        if decimals is None:
            raise of_cell(cell, row.get(cell.named), f"has no known currency, but {code!r}")
        minor = found.scaleb(decimals)
        if cell.round is not None:
            minor = minor.quantize(Decimal(1), _ROUNDING[cell.round])
        if minor != (whole := int(minor)):
            raise of_cell(
                cell,
                row.get(cell.named),
                f"has more decimals than {code} has ({decimals}): give round, or correct it",
            )
        return whole

    return read


# --- instants


def _instant(cell: Cell, plan: FilePlan) -> Reading:
    zone = None if plan.zone is None else zone_of(plan.zone)
    form = cell.form or plan.time_form
    at, ambiguous = cell.at, plan.ambiguous

    @lru_cache(maxsize=4096)
    def of_text(text: str) -> int:
        return _ms_of_text(text, form, zone, at, ambiguous)

    def read(row: Row) -> int | None:
        given = row.get(cell.named)
        try:
            if isinstance(given, datetime):
                return _ms_of(given, zone, ambiguous)
            text = text_of(given)
            return None if text is None else of_text(text.strip())
        except ValueError as error:
            raise of_cell(cell, given, str(error)) from error

    return read


def _ms_of_text(
    text: str, form: str, zone: ZoneInfo | None, at: str | None, ambiguous: str | None
) -> int:
    """Epoch milliseconds of a text. Raises ValueError."""
    if form in _PER_SECOND:
        try:
            ms = int(Decimal(text) * 1000) // _PER_SECOND[form]
        except InvalidOperation:
            raise ValueError(f"is no number of {form}") from None
        return parse_ms(format_short(ms))  # within the bounds of events
    if form == "iso":
        if _ZONED.fullmatch(text):
            return parse_ms(_ZONE.sub(r"\1:\2", text))
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("is no ISO 8601 time: give time_form, such as %d.%m.%Y") from None
        dated = len(text) == len("2026-07-01")
    else:
        try:
            found = datetime.strptime(text, form)  # noqa: DTZ007 - the zone follows
        except ValueError:
            raise ValueError(f"is no time of the form {form}") from None
        dated = not re.search(r"%[HIXcsf]", form)
    if dated:
        if at is None:
            raise ValueError('is a date without a time of day: give at, such as at = "12:00"')
        found = found.replace(hour=int(at[:2]), minute=int(at[3:]))
    return _ms_of(found, zone, ambiguous)


def _ms_of(found: datetime, zone: ZoneInfo | None, ambiguous: str | None) -> int:
    """Epoch milliseconds of a time, by its own zone or the file's. Raises ValueError."""
    if found.tzinfo is None:
        if zone is None:
            raise ValueError('has no zone: give the file\'s zone, such as zone = "Europe/Berlin"')
        found = _in_zone(found, zone, ambiguous)
    ms = (found - _EPOCH) // timedelta(milliseconds=1)
    return parse_ms(format_short(ms))  # within the bounds of events


def _in_zone(found: datetime, zone: ZoneInfo, ambiguous: str | None) -> datetime:
    earlier, later = (found.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if earlier.utcoffset() == later.utcoffset():
        return earlier
    if earlier.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != found:
        raise ValueError(f"is a time that a clock change in {zone.key} leaves out")
    if ambiguous is None:
        raise ValueError(
            f"happened twice in {zone.key}, as clocks went back: give ambiguous, earlier or later"
        )
    return earlier if ambiguous == "earlier" else later
