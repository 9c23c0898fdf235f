"""Parts of rows joined into events: one event for each id, with a line for each row.

The fields of an event must agree in all of its rows, where they have them; its time is the
earliest. An event of which a row was refused is left out whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.mapping.parts import LINE_BITS, NUMBERED, Part
from operations.mapping.plan import LINE_IDS, LINES, NAME_TYPES
from operations.mapping.values import RowUnmapped
from schemas.times import format_short

if TYPE_CHECKING:
    from operations.mapping.parts import EventReader
    from operations.mapping.spool import PartRow

MOST_LINES: Final = 10_000
"""Lines of an event that are kept in memory; the bound on an event's bytes is less than them."""

decode_part: Final = msgspec.msgpack.Decoder(Part).decode
encode_part: Final = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Joined:
    """An event of a mapping, or why there is none.

    `group` is what its rows have in common, its number in the mapping and its id without that of
    equal rows. `place` is its first row's. `keys` are, by line, what returns find it by, and when
    it was sold; `check` is the file's own total.
    """

    reader: EventReader
    group: tuple[int, str]
    place: int
    event: dict[str, Any] | RowUnmapped
    keys: list[tuple[str | None, int]] = field(default_factory=list)
    check: int | None = None
    unmatched: str | None = None


def joined(parts: Iterable[PartRow], readers: Sequence[EventReader], at: Namer) -> Iterator[Joined]:
    """All events, each from its parts; `at` names the place of a row."""
    for (number, id_), rows in groupby(parts, key=_EVENT):
        reader = readers[number]
        if reader.is_numbered:
            for count, row in enumerate(rows, 1):
                yield from _of_rows(reader, id_, [row], at, count)
        else:
            yield from _of_rows(reader, id_, rows, at, None)


def _EVENT(row: PartRow) -> tuple[int, str]:  # noqa: N802 - a key
    return row[0], row[1]


def _of_rows(
    reader: EventReader, id_: str, rows: Iterable[PartRow], at: Namer, count: int | None
) -> Iterator[Joined]:
    """The event of some rows, if any of them was not refused."""
    found: list[tuple[int, Part]] = []
    places: dict[bytes, int] = {}
    refused_at = repeated = None
    more = 0
    for _, _, place, _, data in rows:
        if data is None:
            refused_at = place if refused_at is None else refused_at
            continue
        if len(found) == MOST_LINES:
            more += 1
            continue
        found.append((place, decode_part(data)))
        before = places.setdefault(data, place)
        if before >> LINE_BITS != place >> LINE_BITS and reader.plan.line is not None:
            repeated = repeated or (before, place)
    if not found:
        return
    first, group = found[0][0], (reader.number, id_)
    name = f"{reader.plan.type} {id_.replace(NUMBERED, str(count))}"
    if refused_at is not None:
        fault = f"{name} is left out whole, as its row {at(refused_at)} is refused"
        yield Joined(reader, group, first, RowUnmapped(fault))
    elif more:
        fault = f"{name} has {len(found) + more:,} rows, and an event's lines are some 3,000"
        yield Joined(
            reader, group, first, RowUnmapped(f"{fault}: see whether id is that of one order")
        )
    elif repeated is not None:
        fault = f"{name} has the same row in {' and '.join(map(at, repeated))}"
        yield Joined(reader, group, first, RowUnmapped(f"{fault}: import it from one of them"))
    else:
        try:
            yield _join(reader, group, name, found, at, count)
        except RowUnmapped as error:
            yield Joined(reader, group, first, error)


def _join(  # noqa: PLR0917 - what `_of_rows` knows
    reader: EventReader,
    group: tuple[int, str],
    name: str,
    found: list[tuple[int, Part]],
    at: Namer,
    count: int | None,
) -> Joined:
    plan = reader.plan
    if plan.match and len(found) > 1:
        raise RowUnmapped(
            f"{name} is the id of {len(found)} rows: a return by match is one row, and {{#n}} in"
            " its id numbers equal ones"
        )
    fields = _agreed(name, found, at)
    check = _own_total(name, found, at)
    first_ms = fields.get("occurred_at")
    if first_ms is None and plan.type not in NAME_TYPES:
        raise RowUnmapped(f"{name} has no occurred_at: its column is empty")
    event: dict[str, Any] = {"type": plan.type, **fields}
    if first_ms is not None:
        event["occurred_at"] = format_short(first_ms)
    keys: list[tuple[str | None, int]] = []
    if plan.line is not None:
        lines = [part.line or {} for _, part in found]
        for number, line in enumerate(lines, 1):
            line.setdefault("line_id", str(number))
            if plan.match is None:
                line.pop("each", None)
        if plan.type in LINE_IDS:
            event["line_ids"] = [line["line_id"] for line in lines]
        elif plan.type in LINES:
            event["lines"] = lines
        keys = [
            (part.key, int(first_ms or 0) if part.sold_at is None else part.sold_at)
            for _, part in found
        ]
    unmatched = found[0][1].unmatched
    if count is not None:
        event, unmatched = _numbered([event, unmatched], str(count))
    return Joined(reader, group, found[0][0], event, keys, check, unmatched)


def _agreed(name: str, found: list[tuple[int, Part]], at: Namer) -> dict[str, Any]:
    """The fields of all rows. Raises RowUnmapped where two rows differ."""
    first = found[0][0]
    fields = dict(found[0][1].fields)
    for place, part in found[1:]:
        if part.fields == fields:
            continue
        for field_name, value in part.fields.items():
            known = fields.setdefault(field_name, value)
            if known == value:
                continue
            if field_name != "occurred_at":
                raise RowUnmapped(
                    f"{name} has {field_name} {value!r} in {at(place)}, and {known!r} in"
                    f" {at(first)}: rows of one id are one event;"
                    " fill_down fills what only its first row has"
                )
            fields[field_name] = min(known, value)
    return fields


def _own_total(name: str, found: list[tuple[int, Part]], at: Namer) -> int | None:
    totals = {part.check: place for place, part in reversed(found) if part.check is not None}
    if len(totals) > 1:
        places = ", ".join(at(place) for place in sorted(totals.values())[:2])
        raise RowUnmapped(f"{name} has two totals of its own: see {places}")
    return next(iter(totals), None)


def _numbered(value: Any, count: str) -> Any:  # noqa: ANN401 - a value of JSON
    """The same with the number of rows with an equal id where it goes."""
    if isinstance(value, str):
        return value.replace(NUMBERED, count)
    if isinstance(value, dict):
        return {name: _numbered(one, count) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbered(one, count) for one in value]
    return value


if TYPE_CHECKING:
    from collections.abc import Callable

    Namer = Callable[[int], str]
