"""`netsold status`: the whole way from the topics of events to a reader's tables.

It shows what runs, how fresh the tables are, and what is behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from operations.arguments import Json
from operations.in_words import duration, freshness_line, span
from operations.output import print_json
from operations.reader_client import get
from streams.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

MaxBehind = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="RECORDS",
        help="Fail if more are behind, such as 0; as NETSOLD_MAX_BEHIND_RECORDS.",
    ),
]
MaxBehindSeconds = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Fail if an event waits longer; as NETSOLD_MAX_BEHIND_SECONDS.",
    ),
]


def command(
    max_behind: MaxBehind = None, max_behind_seconds: MaxBehindSeconds = None, as_json: Json = False
) -> None:
    """Show what runs, how fresh the tables are and what is behind.

    Exit code 5 unless the whole way is alive.
    """
    seconds = None if max_behind_seconds is None else str(max_behind_seconds)
    answer = get(
        Settings(), "/v1/status", {"max_behind": max_behind, "max_behind_seconds": seconds}
    )
    if as_json:
        print_json(answer)
    else:
        _show(answer)
    if answer["state"] != "live":
        raise typer.Exit(5)


def _show(answer: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    _show_sources(console, answer)
    _show_tables(console, answer)
    cluster = answer["cluster"]
    for member in cluster["members"]:
        console.print(
            f"worker {member['name']} at {member['host']}"
            f" reads {' '.join(member['holds']) or 'nothing'}",
            soft_wrap=True,
        )
    for one in answer["dead_letters"]:
        since = f", {one['since_start']:,} since the reader began" if one["since_start"] else ""
        console.print(
            f"dead letters {one['topic']} {one['reason']}: {one['count']:,}{since};"
            f" {one['oldest']} to {one['newest']}",
            soft_wrap=True,
        )
    console.print(f"cycle {span(answer['cycle'])}" if answer["cycle"] else "no cycle yet")
    for finding in answer["findings"]:
        console.print(
            f"{finding['severity']}: {finding['sentence']}: {finding['remedy']}", soft_wrap=True
        )
    behind = (
        "an unknown number of records"
        if answer["records_behind"] is None
        else _records(answer["records_behind"])
    )
    console.print(
        f"{answer['app']}: {behind} behind; {freshness_line(answer['freshness'])}", soft_wrap=True
    )


def _records(count: int) -> str:
    return {0: "nothing", 1: "1 record"}.get(count, f"{count:,} records")


def _show_sources(console: Console, answer: dict[str, Any]) -> None:
    """A row per partition of events: its end, what is applied, what waits, and who reads it."""
    from rich.table import Table

    table = Table(
        "source",
        "end",
        "applied",
        "behind",
        "waits",
        "slowest",
        "read by",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    for column in table.columns[1:5]:
        column.justify = "right"
    for one in answer["sources"]:
        waits = (
            "unknown"
            if one["waiting_seconds"] is None
            else duration(one["waiting_seconds"])
            if one["behind"]
            else ""
        )
        applied = "nothing" if one["applied"] is None else f"{one['applied']:,}"
        table.add_row(
            one["source"],
            _number(one["end"]),
            applied,
            _number(one["behind"]),
            waits,
            one["slowest"] or "",
            one["read_by"] or "nobody",
        )
    console.print(table)


def _show_tables(console: Console, answer: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(
        "table", "complete through", "to read", box=None, pad_edge=False, header_style="dim"
    )
    table.columns[-1].justify = "right"
    for one in answer["tables"]:
        to_read = sum(partition["behind"] for partition in one["partitions"])
        table.add_row(one["name"], one["freshness"]["as_of"] or "unknown", f"{to_read:,}")
    console.print(table)


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
