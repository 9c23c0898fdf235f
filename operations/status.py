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

    table = Table("table", "topic", "complete through", "applied", "records behind", box=None, pad_edge=False, header_style="dim")
    table.columns[-1].justify = "right"
    for one in answer["tables"]:
        freshness = one["freshness"]
        applied = " ".join(f"{source}:{offset}" for source, offset in freshness["applied"].items())
        behind = sum(partition["behind"] for partition in one["partitions"])
        table.add_row(one["name"], one["topic"], freshness["as_of"] or "unknown", applied or "nothing", f"{behind:,}")
    console = Console(highlight=False)
    console.print(table)
    console.print(f"cycle {span(answer['cycle'])}" if answer["cycle"] else "no cycle yet")
    console.print(f"{answer['app']}: {freshness_line(answer['freshness'])}", soft_wrap=True)
