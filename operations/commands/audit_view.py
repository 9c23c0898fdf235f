"""How `netsold audit` shows what it found."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
import typer

from operations.commands.row_changes import changes, named_row
from operations.output import print_json, printable
from schemas.columns import RULES
from schemas.wording import with_count
from streams.build import this_build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operations.replaying.differences import TableResult
    from operations.replaying.findings import Findings
    from operations.replaying.journal_check import JournalResult
    from operations.replaying.published_check import TopicResult
    from operations.replaying.store_check import StoreResult
    from streams.settings import Settings

MOST_ROWS: Final = 10
"""Most rows of a table, or of the journal, that are shown to people; the JSON has all kept ones."""

FORMAT: Final = 1
"""Version of the names in the JSON."""


def json_of(settings: Settings, found: Findings) -> dict[str, Any]:
    """What was found, with stable names."""
    return {
        "format": FORMAT,
        "app": settings.app,
        "build": str(this_build()),
        "rules": RULES,
        "equal": not found.differing,
        "differing": found.differing,
        "vector": {
            source: {"least": least, "greatest": greatest}
            for source, (least, greatest) in found.vector.items()
        },
        "tables": [
            {
                "table": name,
                "rows": sum(one.rows for one in tables),
                "differing": sum(one.differing for one in tables),
                "partitions": [
                    {
                        "partition": mark.partition,
                        "offset": mark.offset,
                        "sources": mark.sources,
                        "build": mark.build,
                    }
                    for mark in sorted(found.marks, key=lambda mark: mark.partition)
                    if mark.table == name
                ],
            }
            for name, tables in found.tables.items()
        ],
        "journal": {
            "rows": sum(one.rows for one in found.journal),
            "differing": sum(one.differing for one in found.journal),
        },
        "topics": [
            {
                "topic": topic,
                **{
                    what: sum(getattr(one, what) for one in results)
                    for what in ("rows", "left_out", "differing")
                },
            }
            for topic, results in _by_topic(found).items()
        ],
        "stores": [msgspec.to_builtins(one) for one in found.stores],
        "impossible": [msgspec.to_builtins(one) for one in found.impossible],
        "rows": [msgspec.to_builtins(row) for row in found.rows],
        "topic_rows": [msgspec.to_builtins(row) for one in found.published for row in one.shown],
        "journal_rows": [msgspec.to_builtins(row) for row in found.journal_rows],
    }


def _by_topic(found: Findings) -> dict[str, list[TopicResult]]:
    """The comparisons of the topics of rows, by topic."""
    by_topic: dict[str, list[TopicResult]] = {}
    for one in found.published:
        by_topic.setdefault(one.topic, []).append(one)
    return by_topic


def print_findings_json(settings: Settings, found: Findings) -> None:
    """Print one JSON object."""
    print_json(json_of(settings, found))


def print_findings(settings: Settings, found: Findings, *, stores: bool) -> None:
    """Print a line for each table, the journal and each topic of rows, then the differing rows.

    `stores`: those of workers and of the reader have been compared.
    """
    print_tables(found)
    _print_line(
        "journal sales",
        sum(one.rows for one in found.journal),
        sum(one.differing for one in found.journal),
    )
    for topic, results in _by_topic(found).items():
        rows, differing = (
            sum(getattr(one, what) for one in results) for what in ("rows", "differing")
        )
        _print_line(f"topic {topic}", rows, differing)
    if stores:
        _print_stores(settings, found.stores)
    print_rows(found)
    verdict = with_count("difference", range(found.differing)) if found.differing else "equal"
    typer.echo(f"{settings.app}: {verdict}")


def print_tables(found: Findings) -> None:
    """Print a line for each table."""
    for name, tables in found.tables.items():
        rows, differing = (
            sum(getattr(one, what) for one in tables) for what in ("rows", "differing")
        )
        _print_line(name, rows, differing)


def _print_stores(settings: Settings, found: Sequence[StoreResult]) -> None:
    """Print a line for the workers' stores and one for the reader's, then those that differ."""
    of_workers = [one for one in found if one.of == "worker"]
    of_reader = [one for one in found if one.of == "reader"]
    directory = settings.data_dir
    for name, stores, without in (
        ("stores of workers", of_workers, f"no stores of workers in {directory / settings.app}"),
        ("store of the reader", of_reader, f"no store of its reader in {directory / 'reader'}"),
    ):
        if not stores:
            typer.echo(without)
            continue
        rows, differing, left_out = (
            sum(getattr(one, what) for one in stores) for what in ("rows", "differing", "left_out")
        )
        unread = len({one.path for one in stores if one.unreadable is not None})
        more = f", {left_out:,} written meanwhile" if left_out else ""
        _print_line(name, rows, differing, f"{more}, {unread:,} can't be read" if unread else more)
    for path in dict.fromkeys(one.path for one in found if one.unreadable is not None):
        _print_unreadable([one for one in found if one.path == path and one.unreadable])
    for one in found:
        if one.differing:
            _print_store(one)


def _print_unreadable(tables: Sequence[StoreResult]) -> None:
    """Print why a store can't be read, and the remedy."""
    one = tables[0]
    names = ", ".join(result.table for result in tables)
    remedy = _remedy(one) if one.damaged else "mend that (docs/runbook.md, Store not opened)"
    typer.echo(f"store {one.path}, table {names}: {one.unreadable}: {remedy}")


def _remedy(one: StoreResult) -> str:
    return (
        f"stop its {one.of}, move this directory aside, start it: it fills from the changelog"
        " (docs/runbook.md, Tables differ from the log)"
    )


def _print_store(one: StoreResult) -> None:
    """Print the rows of a store that differ, and the remedy."""
    typer.echo(
        f"store {one.path}, table {one.table}: {one.differing:,} rows differ: {_remedy(one)}"
    )
    for row in one.shown:
        typer.echo(f"  {row.table}-{row.partition} {named_row(row.table, row.key)}")
        for line in changes(row.live, row.replayed, ("changelog", "store"), row.table):
            typer.echo(f"    {line}")


def print_rows(found: Findings) -> None:
    """Print impossible sums, then some differing rows of each table, topic and the journal.

    And how many more there are of each.
    """
    for sums in found.impossible:
        typer.echo(
            f"{sums.id_name} {sums.id!r}: sums become impossible, and a worker of this build would"
            f" end at them: {sums.why}"
        )
    _print_more(found.impossible_ids - len(found.impossible), "ids with impossible sums")
    for table, results in found.tables.items():
        for row in islice((row for one in results for row in one.shown), MOST_ROWS):
            name = named_row(row.table, row.key)
            typer.echo(f"{row.table}-{row.partition} {name} differs{_since(row.first)}")
            for line in changes(row.live, row.replayed, table=row.table):
                typer.echo(f"  {line}")
        _print_more_rows(results, table)
    for topic, of_topic in _by_topic(found).items():
        for row in islice((row for one in of_topic for row in one.shown), MOST_ROWS):
            typer.echo(f"{row.table}-{row.partition} {printable(row.key)} differs from its table")
            for line in changes(row.live, row.replayed, ("topic", "table")):
                typer.echo(f"  {line}")
        _print_more_rows(of_topic, f"topic {topic}")
    for one in found.journal_rows[:MOST_ROWS]:
        name = printable(one.id) or "without id"
        typer.echo(f"sales row {name} differs, {one.position or 'missing'}")
        for line in changes(one.live, one.replayed):
            typer.echo(f"  {line}")
    _print_more_rows(found.journal, "journal sales")


def _print_more_rows(
    results: Sequence[TableResult | JournalResult | TopicResult], what: str
) -> None:
    kept = sum(len(one.shown) for one in results)
    printed = min(MOST_ROWS, kept)
    more = f"; --json has {kept - printed:,} of them" if kept > printed else ""
    _print_more(sum(one.differing for one in results) - printed, f"rows of {what}{more}")


def _print_more(count: int, what: str) -> None:
    if count:
        typer.echo(f"and {count:,} more {what}")


def _print_line(name: str, rows: int, differing: int, more: str = "") -> None:
    result = f"{differing:,} differ" if differing else "equal"
    typer.echo(f"{name:<24}{rows:>14,} rows  {result}{more}")


def _since(first: str | None) -> str:
    return "" if first is None else f" from {first} on"
