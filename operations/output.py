"""How commands print: one JSON object on stdout, a line on stderr."""

import json
import sys

import typer


def print_json(value: object) -> None:
    """Print one JSON object on stdout, in ASCII where stdout isn't UTF-8."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    typer.echo(json.dumps(value, ensure_ascii=not unicode, default=str))


def print_error(line: str) -> None:
    """Print a line on stderr at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
