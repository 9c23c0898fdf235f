"""The libraries of the extra `export`, loaded only by the commands that need them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class ExtraMissing(NetsoldError):
    """A library of the extra is not installed."""

    exit_code = 2


def arrow(module: str = "pyarrow") -> Any:  # noqa: ANN401 - pyarrow has no types
    """A module of pyarrow. Raises ExtraMissing."""
    return _loaded(module)


def connected() -> DuckDBPyConnection:
    """A new DuckDB database in memory, with UTC as its time zone. Raises ExtraMissing."""
    connection: DuckDBPyConnection = _loaded("duckdb").connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def _loaded(module: str) -> Any:  # noqa: ANN401 - any module
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExtraMissing(
            f"this command needs {module.partition('.')[0]}, which is not installed:"
            " run `pip install 'netsold[export]'`"
        ) from error
