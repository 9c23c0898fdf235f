"""The libraries of the extra `export`, loaded only by the commands that need them."""

from __future__ import annotations

import importlib
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection


MEMORY_MB: Final = 512
"""Most memory of a query that sorts or groups all rows; what is more goes to files."""

THREADS: Final = 4
"""Most threads of such a query: each needs its share of the memory."""


class ExtraMissing(NetsoldError):
    """A library of the extra is not installed."""

    exit_code = 2


def arrow(module: str = "pyarrow") -> Any:  # noqa: ANN401 - pyarrow has no types
    """A module of pyarrow. Raises ExtraMissing."""
    return _loaded(module)


def iceberg(module: str) -> Any:  # noqa: ANN401 - loaded late
    """A module of pyiceberg, or of what it needs. Raises ExtraMissing."""
    return _loaded(module, "iceberg")


def connected() -> DuckDBPyConnection:
    """A new DuckDB database in memory, with UTC as its time zone. Raises ExtraMissing."""
    connection: DuckDBPyConnection = _loaded("duckdb").connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def bounded() -> DuckDBPyConnection:
    """A new database for all rows of an export. Raises ExtraMissing."""
    connection = connected()
    connection.execute(f"SET memory_limit = '{MEMORY_MB}MB'")
    connection.execute(f"SET temp_directory = '{quoted(tempfile.gettempdir())}'")
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute(f"SET threads = {min(threads, THREADS)}")
    return connection


@contextmanager
def interruptible() -> Iterator[None]:
    """At Ctrl-C, DuckDB ends its query by an error of its own, in place of KeyboardInterrupt."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" not in str(error):
            raise
        raise KeyboardInterrupt from error


def quoted(text: str) -> str:
    """A text between the quotes of a string of SQL."""
    return text.replace("'", "''")


def _loaded(module: str, extra: str = "export") -> Any:  # noqa: ANN401 - any module
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExtraMissing(
            f"this command needs {module.partition('.')[0]}, which is not installed:"
            f" run `pip install 'netsold[{extra}]'`"
        ) from error
