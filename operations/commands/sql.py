"""`netsold sql`: a query by DuckDB over the files of an export, or of Kafka's present rows."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from operations.arguments import VersionName
from operations.commands.queried import Export, queried
from operations.exporting.libraries import connected, interruptible
from operations.exporting.views import unreadable
from operations.local.data_dir import full_disk
from operations.output import print_json, print_table
from schemas.errors import NetsoldError
from schemas.times import format_short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection, Statement

FETCHED: Final = 1000
"""How many rows are fetched at once."""

_OF_FILES: Final = re.compile(r"parquet|magic bytes|cannot open file", re.IGNORECASE)
"""What DuckDB's errors about files have in common; their classes are those of wrong queries."""


class QueryRefused(NetsoldError):
    """A query that is not one SELECT, or that DuckDB cannot run."""

    exit_code = 2


def command(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT; - reads stdin.")],
    directory: Export = None,
    version: VersionName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
) -> None:
    """Query an export by DuckDB: its datasets, and views such as sales_by_day. It changes nothing.

    Without --export the journal and the tables are read whole each time, to files in the data
    directory that are removed at the end. Times are UTC, amounts in minor units of their currency.
    Only files of the export can be read.
    """
    text = typer.get_text_stream("stdin").read() if query == "-" else query
    with interruptible():
        _refuse_statements(text)
        with queried(directory, version) as found:
            _answer(found.connection, text, as_json=as_json)


def _answer(connection: DuckDBPyConnection, text: str, *, as_json: bool) -> None:
    """Print the rows of a query."""
    names, rows = _found(connection, text)
    if as_json:
        _refuse_equal(names)
        for row in rows:
            print_json(dict(zip(names, row, strict=True)))
    else:
        _print(names, rows)


def _refuse_statements(text: str) -> None:
    """Raises QueryRefused where a text is not one SELECT, before anything is read."""
    connection = connected()
    try:
        _parsed(connection, text)
    finally:
        connection.close()


def _refuse_equal(names: list[str]) -> None:
    """Raises QueryRefused where an object would lose a column."""
    equal = sorted({name for name in names if names.count(name) > 1})
    if equal:
        raise QueryRefused(f"two columns are named {equal[0]}: name them apart by AS")


def _found(connection: DuckDBPyConnection, text: str) -> tuple[list[str], Iterator[list[Any]]]:
    """The columns and the rows of a query. Raises QueryRefused and ExportDamaged."""
    import duckdb

    statement = _parsed(connection, text)
    try:
        found = connection.execute(statement)
    except duckdb.Error as error:
        raise _refused(error) from error
    names = [one[0] for one in found.description or ()]
    return names, _rows(found)


def _parsed(connection: DuckDBPyConnection, text: str) -> Statement:
    """The one SELECT of a text. Raises QueryRefused."""
    import duckdb

    try:
        parsed = connection.extract_statements(text)
    except duckdb.Error as error:
        raise _refused(error) from error
    if [one.type for one in parsed] != [duckdb.StatementType.SELECT]:
        raise QueryRefused("write one SELECT: `netsold sql` changes nothing")
    return parsed[0]


def _rows(found: DuckDBPyConnection) -> Iterator[list[Any]]:
    """The rows, each value as JSON has it. Raises QueryRefused and ExportDamaged."""
    import duckdb

    try:
        while some := found.fetchmany(FETCHED):
            for row in some:
                yield [_value(one) for one in row]
    except duckdb.Error as error:
        raise _refused(error) from error


def _refused(error: Exception) -> Exception:
    line = str(error).partition("\n")[0]
    if _OF_FILES.search(line) or full_disk(error) is not None:
        return unreadable(error)
    return QueryRefused(f"DuckDB refuses the query: {line}")


def _value(value: object) -> object:
    """Times in ISO 8601, with `Z` where they have a zone; bytes in hexadecimal.

    A number that JSON does not have, such as 1/0, is null.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime) and value.tzinfo is not None:
        return format_short(round(value.timestamp() * 1000))
    if isinstance(value, date):  # a time without zone is one, too
        return value.isoformat()
    return value


def _print(names: list[str], rows: Iterator[list[Any]]) -> None:
    """Print rows for people, numbers on the right."""
    from rich.table import Table

    found = list(rows)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for at, name in enumerate(names):
        numbers = any(isinstance(row[at], int) for row in found)
        table.add_column(name, no_wrap=True, justify="right" if numbers else "left")
    for row in found:
        table.add_row(*["" if one is None else str(one) for one in row])
    print_table(table)
