"""How two stored rows of a table differ, in a line or two for people."""

from __future__ import annotations

from itertools import chain, takewhile
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.output import printable
from operations.replaying.row_keys import UNREADABLE, of_cycle, of_share
from schemas.money import shown
from schemas.times import format_ms
from tables import catalogue, orders, sales, service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_FIELDS: Final = 8
"""Most fields of a row that are shown; the JSON has more."""

CELL_CHARS: Final = 160
"""Most characters of a row that are shown."""

BEFORE_CHARS: Final = 40
"""How much is shown of what two rows have in common, before they differ."""

_MONEY: Final = {"amount", "discount", "unit_price"}
"""Fields of an order's facts that are money."""

Path = tuple[str | int, ...]


def named_row(table: str, key: str) -> str:
    """A row as people name it: its ids, and the start of its cycle.

    A key that names none is shown as it is.
    """
    if any(one.name == table and one.windowed for one in catalogue.TABLES):
        cycle = of_cycle(key.encode())
        return printable(key if cycle is None else f"{cycle[0]} {_instant(cycle[1])}")
    if table == catalogue.MARKETPLACE_SHARES.name:
        start_ms = of_share(key.encode())
        return printable(key) if start_ms is None else _instant(start_ms)
    return printable(" ".join(catalogue.split_conversation_key(key.encode())).strip())


def _instant(at_ms: int) -> str:
    return format_ms(at_ms).replace(".000Z", "Z")


def changes(
    first: str | None,
    second: str | None,
    sides: tuple[str, str] = ("live", "replayed"),
    table: str = "",
) -> list[str]:
    """A line with the fields that differ, where they have names; else a line for each side.

    `table` is the one that the rows are of; empty for rows of the journal.
    """
    return [printable(line) for line in _changes(first, second, sides, table)]


def _changes(
    first: str | None, second: str | None, sides: tuple[str, str], table: str
) -> list[str]:
    fields = None if first is None or second is None else _fields(table, first, second)
    if fields is not None:
        more = f" and {len(fields) - MOST_FIELDS:,} more" if len(fields) > MOST_FIELDS else ""
        return [f"{sides[0]} → {sides[1]}: {', '.join(fields[:MOST_FIELDS])}{more}"]
    common = 0
    if first is not None and second is not None:
        pairs = zip(first, second, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    if first is not None and first == second:  # both are cut
        return [f"they differ behind their first {len(first):,} characters"]
    start = max(0, common - BEFORE_CHARS)
    width = max(map(len, sides)) + 2
    both = zip(sides, (first, second), strict=True)
    return [f"{f'{side}:':<{width}}{_cell(text, start)}" for side, text in both]


def _fields(table: str, first_row: str, second_row: str) -> list[str] | None:
    """The named fields that differ; None where one has no name, or a row is cut."""
    form = next((one.form for one in catalogue.TABLES if one.name == table), "")
    fields_of = _FIELDS_OF.get(form, _of_json)
    try:
        first, second = both = [dict(fields_of(one)) for one in (first_row, second_row)]
    except UNREADABLE:
        return None
    paths = [path for path in first | second if first.get(path) != second.get(path)]
    if not paths or any(not path or isinstance(path[-1], int) for path in paths):
        return None
    return [f"{_name(path)} {' → '.join(_value(one.get(path)) for one in both)}" for path in paths]


def _of_json(row: str) -> Iterator[tuple[Path, Any]]:
    """The fields of any row; where it names a currency, amounts are of that."""
    fields = dict(_flat(msgspec.json.decode(row)))
    currency = fields.get(("currency",))
    for path, value in fields.items():
        is_money = currency is not None and path and str(path[-1]).startswith("amount_")
        yield path, f"{currency} {shown(currency, value)}" if is_money else value


def _of_sums(row: str) -> Iterator[tuple[Path, Any]]:
    """The columns of a row of sales, by currency."""
    tally = sales.decode(row.encode())
    yield ("version",), tally.version
    yield ("restatements",), tally.restatements
    for currency, sums in tally.currencies.items():
        for column, value in msgspec.structs.asdict(sums).items():
            is_money = column.startswith("amount_")
            yield (column, currency), shown(currency, value) if is_money else value


def _of_service(row: str) -> Iterator[tuple[Path, Any]]:
    """The columns of a row of service."""
    tally = service.decode(row.encode())
    yield ("version",), tally.version
    yield ("restatements",), tally.restatements
    for column, value in tally.columns.items():
        yield (column,), value


def _of_order(row: str) -> Iterator[tuple[Path, Any]]:
    """The fields of an order's facts, by type and id; amounts are of the order's currency."""
    order = orders.decode(row.encode())
    currency = order.placed[0].currency if order.placed else None
    yield ("version",), order.version
    for number, conflict in enumerate(order.conflicts):
        yield ("conflicts", str(number)), " ".join(conflict)
    for fact in chain.from_iterable(getattr(order, kind) for kind in orders.KINDS):
        content = orders.content(fact) | {"occurred_at": format_ms(fact.occurred_at_ms)}
        name = f"{content.pop('type')} {content.pop('id')}"
        for line in content.pop("lines", ()):
            content[f"lines.{line.pop('line_id')}"] = line
        for path, value in _flat(content):
            is_money = path[-1] in _MONEY and isinstance(value, int)
            text = f"{currency} {shown(currency, value)}" if is_money and currency else value
            yield (name, *path), text


_FIELDS_OF: Final[dict[str, Callable[[str], Iterator[tuple[Path, Any]]]]] = {
    "sales": _of_sums,
    "share": _of_sums,
    "service": _of_service,
    "order": _of_order,
}
"""What names the fields of a row, by the form of its table."""


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


def _value(value: object) -> str:
    """A value as people read it."""
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else str(value)


def _cell(text: str | None, start: int) -> str:
    if text is None:
        return "none"
    begun = f"…{text[start:]}" if start else text
    return begun if len(begun) <= CELL_CHARS else f"{begun[:CELL_CHARS]}…"
