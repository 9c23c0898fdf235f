"""`netsold sql`: a query by DuckDB over the files of an export, or of Kafka's present rows."""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from operations.arguments import VersionName
from operations.exporting.libraries import connected
from operations.exporting.places import place_of
from operations.exporting.scratch import scratch
from operations.exporting.views import close_in, complete_of, database, unreadable
from operations.output import print_error, print_json, print_table
from operations.waiting import ANSWER_WITHIN_S
from schemas.errors import NetsoldError
from schemas.times import format_short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection, Statement

    from operations.exporting.places import Place
    from operations.exporting.running import Exported

FETCHED: Final = 1000
"""How many rows are fetched at once."""

_OF_FILES: Final = re.compile(r"parquet|magic bytes|cannot open file", re.IGNORECASE)
"""What DuckDB's errors about files have in common; their classes are those of wrong queries."""


class QueryRefused(NetsoldError):
    """A query that is not one SELECT, or that DuckDB cannot run."""

    exit_code = 2


def command(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT; - reads stdin.")],
    directory: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="DIR",
            help="The directory or URI of the export; else all is read from Kafka first.",
        ),
    ] = None,
    version: VersionName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
) -> None:
    """Query an export by DuckDB: its datasets, and views such as sales_by_day. It changes nothing.

    Without --export the journal and the tables are read whole each time, to files in the data
    directory that are removed at the end. Times are UTC, amounts in minor units of their currency.
    Only files of the export can be read.
    """
    if directory is not None and version is not None:
        raise typer.BadParameter("an export is of one version", param_hint="--version")
    text = typer.get_text_stream("stdin").read() if query == "-" else query
    if directory is not None:
        _answer(place_of(directory), text, as_json=as_json)
        return
    _refuse_statements(text)
    with _exported(version) as place:
        _answer(place, text, as_json=as_json)


@contextmanager
def _exported(version: str | None) -> Iterator[Place]:
    """A new export of what Kafka has now, removed at the end."""
    from operations.commands.export_run import ExportRun
    from operations.local.kafka import named_cluster

    with scratch(named_cluster().data_dir, "sql") as directory:
        place = place_of(str(directory / "export"))
        ExportRun(place, version, ANSWER_WITHIN_S, _print_exported).once()
        yield place


def _print_exported(found: Exported) -> None:
    through = found.complete.complete_through or "no known instant"
    print_error(f"netsold: read from Kafka, complete through {through}")


def _answer(place: Place, text: str, *, as_json: bool) -> None:
    """Print the rows of a query over an export."""
    complete = complete_of(place)
    place.require(complete.files)
    connection = database(place, complete)
    try:
        close_in(connection, place, complete)
        names, rows = _found(connection, text)
        if as_json:
            _refuse_equal(names)
            for row in rows:
                print_json(dict(zip(names, row, strict=True)))
        else:
            _print(names, rows)
    finally:
        connection.close()


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
        with _interruptible():
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
        while some := _fetched(found):
            for row in some:
                yield [_value(one) for one in row]
    except duckdb.Error as error:
        raise _refused(error) from error


def _fetched(found: DuckDBPyConnection) -> list[Any]:
    with _interruptible():
        return found.fetchmany(FETCHED)


@contextmanager
def _interruptible() -> Iterator[None]:
    """At Ctrl-C, DuckDB ends its query by an error of its own, in place of KeyboardInterrupt."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" not in str(error):
            raise
        raise KeyboardInterrupt from error


def _refused(error: Exception) -> NetsoldError:
    line = str(error).partition("\n")[0]
    if _OF_FILES.search(line):
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
