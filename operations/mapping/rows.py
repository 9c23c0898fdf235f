"""Rows of files: CSV in any encoding, JSONL, Parquet; plain or compressed, one at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator
from contextlib import closing
from decimal import Decimal
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from operations.exporting.libraries import arrow
from operations.files.opening import STDIN, EventFileUnreadable, is_a_pipe, name_of, opened
from operations.files.pieces import pieces
from operations.mapping.plan import MappingUnfit
from operations.mapping.plan_faults import did_you_mean
from operations.mapping.values import RowUnmapped, refused
from schemas import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from operations.mapping.plan import FilePlan
    from operations.mapping.values import Row

_PARQUET_ROWS: Final = 8192
_CELL_CHARS: Final = 4 * limits.VALUE_BYTES
_ROW_BYTES: Final = 4 * limits.MIB
_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode

Read = tuple[int, "Row | RowUnmapped", int]
"""A row's line or number from 1, its cells, and how many bytes of the file were read by then."""


def rows_of(path: str, plan: FilePlan, used: Iterable[str]) -> Generator[Read, None, None]:
    """All rows of a file; `used` are the columns that the mapping names.

    Raises EventFileUnreadable, ExtraMissing, and MappingUnfit where a column is not there.
    """
    if plan.format == "parquet":
        yield from _of_parquet(path, used)
        return
    with opened(path) as (stream, read_bytes):
        if plan.format == "jsonl":
            yield from _of_json(path, plan, stream, read_bytes)
        else:
            yield from _of_csv(path, plan, stream, read_bytes, used)


def check(path: str, plan: FilePlan, used: Iterable[str]) -> None:
    """Check that a file can be read and has the columns, unless it is a pipe, read only once.

    Raises as `rows_of`.
    """
    if plan.format != "jsonl" and not is_a_pipe(path):
        with closing(rows_of(path, plan, used)) as rows:
            next(rows, None)


def _of_csv(
    path: str, plan: FilePlan, stream: IO[bytes], read_bytes: Callable[[], int], used: Iterable[str]
) -> Iterator[Read]:
    name = name_of(path)
    encoding = "utf-8-sig" if plan.encoding.lower().replace("_", "-") == "utf-8" else plan.encoding
    text = io.TextIOWrapper(stream, encoding=encoding, newline="")
    csv.field_size_limit(_CELL_CHARS)
    line = 1
    try:
        first = text.readline()
        skipped = 0
        if first.lower().startswith("sep="):  # a hint that Excel writes
            first, skipped = text.readline(), 1
        if not first:
            raise EventFileUnreadable(f"{name}: is empty; its first line names the columns")
        reader = csv.reader(chain([first], text), delimiter=plan.delimiter, strict=True)
        header = next(reader)
        _check_columns(name, header, used, plan)
        width, line = len(header), reader.line_num + skipped + 1
        for cells in reader:
            if len(cells) == width:
                yield line, dict(zip(header, cells, strict=True)), read_bytes()
            elif cells:
                fault = f"the row has {len(cells)} cells, and the first line names {width}"
                yield line, RowUnmapped(f"{fault}: a mark in a text may lack its quotes"), 0
            line = reader.line_num + skipped + 1
    except UnicodeError as error:
        raise EventFileUnreadable(
            f"{name}: is not {plan.encoding}: {error}: give the file's encoding, such as cp1252"
        ) from error
    except csv.Error as error:
        fault = f"is no CSV from there on: {error}: see the marks of its texts"
        if "field limit" in str(error):
            most = csv.field_size_limit()
            fault = f"has a cell of more than {most:,} characters: see whether its quotes end"
        raise EventFileUnreadable(f"{name}:{line}: {fault}") from error


def _check_columns(name: str, found: list[str], used: Iterable[str], plan: FilePlan) -> None:
    for column in used:
        if column not in found:
            hint = "" if len(found) > 1 else f" (the mapping's delimiter is {plan.delimiter!r})"
            advice = did_you_mean(column, found)
            raise MappingUnfit(f"{name}: has no column {column!r}: {advice}{hint}")
        if found.count(column) > 1:
            raise MappingUnfit(f"{name}: has two columns {column!r}")


def _of_json(
    path: str, plan: FilePlan, stream: IO[bytes], read_bytes: Callable[[], int]
) -> Iterator[Read]:
    for number, piece in enumerate(pieces(path, stream, _ROW_BYTES), 1):
        line = number if piece.at.endswith("]") else int(piece.at.rpartition(":")[2] or number)
        yield line, json_row(piece.value, plan.json_columns), read_bytes()


def json_row(value: bytes | None, json_columns: Iterable[str]) -> Row | RowUnmapped:
    """A JSON object as a row: nested members with dots between their names, lists as they are."""
    if value is None:
        return RowUnmapped(f"the row has more than {_ROW_BYTES:,} bytes")
    try:
        found = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return RowUnmapped(f"it is no JSON: {error}")
    if not isinstance(found, dict):
        return RowUnmapped("it is JSON, but not one object")
    return opened_row(flat(found), json_columns)


def opened_row(row: Row, json_columns: Iterable[str]) -> Row | RowUnmapped:
    """The row with the members of columns whose texts are JSON."""
    for column in json_columns:
        text = row.get(column)
        if not isinstance(text, str | bytes):
            continue
        try:
            members = flat(_decode(text), f"{column}.") if text else {}
        except (msgspec.MsgspecError, AttributeError, RecursionError) as error:
            return refused(column, text, f"is no object of JSON: {error}")
        del row[column]
        row |= members
    return row


def flat(found: dict[str, Any], prefix: str = "") -> Row:
    """The members of an object, and those of objects within it by `outer.inner`."""
    row: Row = {}
    for name, value in found.items():
        if isinstance(value, dict):
            row |= flat(value, f"{prefix}{name}.")
        else:
            row[prefix + name] = value
    return row


def elements(row: Row, path: str) -> Iterator[Row]:
    """A row for each element of a list, and of the lists within it; each has the outer cells."""
    outer, _, rest = path.partition(".")
    return _elements(row, outer, rest)


def _elements(row: Row, here: str, rest: str) -> Iterator[Row]:
    found = row.get(here)
    if found is None and rest:  # the list may be a member of an object
        more, _, others = rest.partition(".")
        yield from _elements(row, f"{here}.{more}", others)
        return
    if found is None:
        return
    if not isinstance(found, list):
        raise refused(here, found, "is no list, and each names it")
    for element in found:
        if not isinstance(element, dict):
            raise refused(here, str(element), "is no object, and each names a list of them")
        inner = row | flat(element, f"{here}.")
        inner.pop(here, None)
        if rest:
            more, _, others = rest.partition(".")
            yield from _elements(inner, f"{here}.{more}", others)
        else:
            yield inner


def _of_parquet(path: str, used: Iterable[str]) -> Iterator[Read]:
    name = name_of(path)
    if path == STDIN:
        raise EventFileUnreadable(f"{name}: Parquet is read from a file, not from a pipe")
    parquet, lib = arrow("pyarrow.parquet"), arrow("pyarrow.lib")
    try:
        with parquet.ParquetFile(path) as file:
            found = file.schema_arrow.names
            wanted = sorted({one if one in found else one.partition(".")[0] for one in used})
            for column in wanted:
                if column not in found:
                    advice = did_you_mean(column, found)
                    raise MappingUnfit(f"{name}: has no column {column!r}: {advice}")
            number = 0
            for batch in file.iter_batches(_PARQUET_ROWS, columns=wanted):
                for given in batch.to_pylist():
                    number += 1
                    yield number, flat(given), 0
    except OSError as error:
        raise EventFileUnreadable(f"{name}: {error.strerror or error}") from error
    except lib.ArrowException as error:
        raise EventFileUnreadable(f"{name}: is no Parquet that can be read: {error}") from error
