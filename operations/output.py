"""How commands print: one JSON object or a table on stdout, a line on stderr."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from rich.table import Table


_WIDEST = 10_000

_CONTROLS: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Ends of lines, escapes, changes of direction, and halves of characters."""


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


def printable(text: str) -> str:
    """A text of others for a terminal: all that isn't printable is written out, wide spaces too."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def escaped(text: str) -> str:
    """A text of people whose control characters alone are written out, as JSON does."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_error(line: str) -> None:
    """Print a line on stderr at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
