"""`netsold status`: how far a reader's tables are, and what is behind."""

from __future__ import annotations

from typing import Any

import typer

from operations.asking import ask, freshness_line, span
from operations.cli import Json, print_json
from streams.settings import Settings


def command(as_json: Json = False) -> None:
    """Tell how fresh the tables are and what is behind; exit code 5 while they are being restored."""
    answer = ask(Settings(), "/v1/status")
    if as_json:
        print_json(answer)
    else:
        _show(answer)
    if answer["freshness"]["state"] != "live":
        raise typer.Exit(5)


def _show(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("table", "complete through", "records behind", box=None, pad_edge=False, header_style="dim")
    table.columns[-1].justify = "right"
    for one in answer["tables"]:
        behind = sum(partition["behind"] for partition in one["partitions"])
        table.add_row(one["name"], one["freshness"]["as_of"] or "unknown", f"{behind:,}")
    console = Console(highlight=False)
    console.print(table)
    console.print(f"cycle {span(answer['cycle'])}" if answer["cycle"] else "no cycle yet")
    applied = "  ".join(f"{source}:{offset}" for source, offset in answer["freshness"]["applied"].items())
    console.print(f"applied {applied or 'nothing'}", soft_wrap=True)
    console.print(f"{answer['app']}: {freshness_line(answer['freshness'])}", soft_wrap=True)
