"""How commands print: one JSON object or a table on stdout, a line on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table


_WIDEST = 10_000


def print_json(value: object) -> None:
    """Print one JSON object on stdout, in ASCII where stdout isn't UTF-8."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    typer.echo(json.dumps(value, ensure_ascii=not unicode, default=str))


def print_table(table: Table) -> None:
    """Print a table as wide as it is: a narrow terminal, or none, cuts no figure."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(highlight=False, markup=False)
    width = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    Console(highlight=False, markup=False, width=max(width, console.width)).print(table)


def print_error(line: str) -> None:
    """Print a line on stderr at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
