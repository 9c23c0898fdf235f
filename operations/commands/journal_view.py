"""How `netsold journal` shows the rows of the journal and their sums, to people and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from operations.in_words import name_in_words, signed
from operations.output import print_json, print_table
from schemas import times
from schemas.columns import SALE_COLUMNS
from schemas.journal import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from schemas.columns import MeasureSums
    from tables.journal_changes import ChangeSums, ColumnValue, JournalSums, WrittenRow


@dataclass(frozen=True, slots=True)
class Span:
    """What is read of a journal topic: between two instants in epoch milliseconds.

    `starts` and `ends` are offsets by partition, half-open. `cut` are the partitions whose log
    begins with their start: earlier records of the span may have been deleted.
    """

    app: str
    topic: str
    since_ms: int
    until_ms: int
    starts: dict[int, int]
    ends: dict[int, int]
    cut: list[int]


UNKNOWN = "unknown"
"""Shown in place of a value that a row does not have, such as the order of a service row."""


def print_sums_json(span: Span, by: Sequence[str], changes: JournalSums, limit: int) -> None:
    """Print one object: the span, the sums of all, of each build and rules, and of the groups."""
    print_json(
        {
            "app": span.app,
            "since": times.format_ms(span.since_ms),
            "until": times.format_ms(span.until_ms),
            "positions": {
                f"{span.topic}-{number}": {"from": span.starts[number], "to": end}
                for number, end in sorted(span.ends.items())
            },
            "complete": not span.cut,
            "by": list(by),
            "total": _sums(changes.total),
            "writers": [
                {"build": build or None, "rules": rules, **_sums(sums)}
                for (build, rules), sums in _by_time(changes)
            ],
            "groups": [
                {
                    **{
                        name: None if value == "" else value
                        for name, value in zip(by, values, strict=True)
                    },
                    **_sums(sums),
                }
                for values, sums in changes.largest(limit)
            ],
            "groups_left_out": max(0, changes.count - limit),
        }
    )


def _by_time(changes: JournalSums) -> list[tuple[tuple[str, int], ChangeSums]]:
    """The builds and rules in the order in which they first wrote."""
    return sorted(changes.writers.items(), key=lambda item: (item[1].first_ms, item[0]))


def _sums(sums: ChangeSums) -> dict[str, Any]:
    sales = sums.sales
    return {
        "entries": sums.entries,
        "service_rows": sums.service_rows,
        "restatements": sums.restatements,
        **sales.of_cycle(),
        "service": {column: change for column, change in sorted(sums.service.items()) if change},
        "first_written": times.format_ms(sums.first_ms) if sums.rows else None,
        "last_written": times.format_ms(sums.last_ms) if sums.rows else None,
    }


def print_sums(span: Span, by: Sequence[str], changes: JournalSums, limit: int) -> None:
    """Print the sums for people: of all, which builds wrote them, and the largest groups."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    between = f"{times.format_short(span.since_ms)} until {times.format_short(span.until_ms)}"
    total = changes.total
    if not total.rows:
        console.print(f"{between}: nothing changed", soft_wrap=True)
        return
    console.print(
        f"{between}: {_counted(total.entries, 'sales entry', 'sales entries')},"
        f" {_counted(total.service_rows, 'service row', 'service rows')};"
        f" {_counted(total.restatements, 'restates', 'restate')} an ended cycle",
        soft_wrap=True,
    )
    for (build, rules), sums in _by_time(changes):
        console.print(
            f"by build {build or UNKNOWN}, rules {rules}:"
            f" {_counted(sums.rows, 'row', 'rows')},"
            f" {times.format_ms(sums.first_ms)} to {times.format_ms(sums.last_ms)}",
            soft_wrap=True,
        )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in by:
        table.add_column(name, no_wrap=True)
    for name in ("rows", "restate", "gross", "net"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("net revenue", no_wrap=True)
    for values, sums in changes.largest(limit):
        table.add_row(*map(_text, values), *_figures(sums))
    print_table(table)
    if changes.count > limit:
        console.print(f"and {changes.count - limit:,} more: --limit, or --by", style="dim")


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _text(value: ColumnValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return UNKNOWN if value in {None, ""} else str(value)


def _figures(sums: ChangeSums) -> Iterator[str]:
    yield f"{sums.rows:,}"
    yield f"{sums.restatements:,}"
    sales = sums.sales
    for units in (sales.units.gross, sales.net):
        yield f"{units:+,}" if units else "0"
    yield _revenue(sales.amounts.items())


def _revenue(amounts: Iterable[tuple[str, MeasureSums]]) -> str:
    return "\n".join(f"{signed(currency, sums.net)}" for currency, sums in amounts)


def _parts(row: Entry) -> Iterator[str]:
    """What an entry changes: units and money of a sum together, then other columns."""
    for column in SALE_COLUMNS:
        measure, _, name = column.rpartition("_")
        number = getattr(row, column)
        if measure == "units":
            amount = getattr(row, f"amount_{name}")
            if number or amount:
                yield f"{name} {number:+,} {signed(row.currency, amount)}"
        elif measure != "amount" and number:
            yield f"{name_in_words(column)} {number:+,}"


def print_row_json(written: WrittenRow) -> None:
    """Print a row unchanged, with its position, when it was written, and its build."""
    print_json(
        {
            "position": str(written.position),
            "written_at": times.format_ms(written.written_ms),
            "build": written.build or None,
            **msgspec.to_builtins(written.row),
        }
    )


def print_row(written: WrittenRow) -> None:
    """Print a row for people, in one line."""
    row = written.row
    if isinstance(row, Entry):
        about, change = f"order {row.order_id}", "  ".join(_parts(row))
    else:
        about = "service"
        change = " ".join(f"{name} {number:+,}" for name, number in row.columns.items())
    typer.echo(
        f"{times.format_ms(written.written_ms)}  {written.position}  {about}"
        f"  product {row.product_id}  cycle {row.cycle}  {change}"
        f"  {row.event_type} {row.id}{'  restates' if row.restates else ''}"
        f"  build {written.build or UNKNOWN} rules {row.rules}"
    )
