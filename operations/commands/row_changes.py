"""How two stored rows of a table differ, in a line or two for people."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.money import shown
from schemas.times import format_ms
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_FIELDS: Final = 8
"""Most fields of a row that are shown; the JSON has more."""

CELL_CHARS: Final = 160
"""Most characters of a row that are shown."""

BEFORE_CHARS: Final = 40
"""How much is shown of what two rows have in common, before they differ."""

Path = tuple[str | int, ...]


def named_row(table: str, key: str) -> str:
    """A row as people name it: its ids, and the start of its cycle."""
    if any(one.name == table and one.windowed for one in catalogue.TABLES):
        subject, start_ms = catalogue.split_cycle_key(key.encode())
        return f"{subject} {format_ms(start_ms).replace('.000Z', 'Z')}"
    return " ".join(catalogue.split_conversation_key(key.encode())).strip()


def changes(
    first: str | None, second: str | None, sides: tuple[str, str] = ("live", "replayed")
) -> list[str]:
    """A line with the fields that differ, where they have names; else a line for each side."""
    fields = None if first is None or second is None else _fields(first, second)
    if fields is not None:
        more = f" and {len(fields) - MOST_FIELDS:,} more" if len(fields) > MOST_FIELDS else ""
        return [f"{sides[0]} → {sides[1]}: {', '.join(fields[:MOST_FIELDS])}{more}"]
    common = 0
    if first is not None and second is not None:
        pairs = zip(first, second, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    start = max(0, common - BEFORE_CHARS)
    width = max(map(len, sides)) + 2
    both = zip(sides, (first, second), strict=True)
    return [f"{f'{side}:':<{width}}{_cell(text, start)}" for side, text in both]


def _fields(first_row: str, second_row: str) -> list[str] | None:
    """The named fields that differ; None where one has no name, or a row is cut."""
    try:
        both = [dict(_flat(msgspec.json.decode(one))) for one in (first_row, second_row)]
    except msgspec.DecodeError:
        return None
    first, second = both
    paths = [path for path in first | second if first.get(path) != second.get(path)]
    if not paths or any(not path or isinstance(path[-1], int) for path in paths):
        return None
    currency = first.get(("currency",)) or second.get(("currency",))
    return [
        f"{_name(path)} {' → '.join(_value(path, one.get(path), currency) for one in both)}"
        for path in paths
    ]


def _flat(value: Any, within: Path = ()) -> Iterator[tuple[Path, Any]]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _flat(one, (*within, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _flat(one, (*within, index))
    else:
        yield within, value


def _name(path: Path) -> str:
    return ".".join(one for one in path if isinstance(one, str))


def _value(path: Path, value: object, currency: str | None) -> str:
    """A value as people read it; of a row that names a currency, amounts are of that."""
    if not isinstance(value, int):
        return "none" if value is None else str(value)
    if currency is not None and str(path[-1]).startswith("amount_"):
        return f"{currency} {shown(currency, value)}"
    return f"{value:,}"


def _cell(text: str | None, start: int) -> str:
    if text is None:
        return "none"
    begun = f"…{text[start:]}" if start else text
    return begun if len(begun) <= CELL_CHARS else f"{begun[:CELL_CHARS]}…"
