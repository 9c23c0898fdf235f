"""How `netsold audit` shows what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import typer

from operations.commands.row_changes import changes, named_row
from operations.output import print_json
from schemas.columns import RULES
from schemas.wording import with_count
from streams.build import this_build

if TYPE_CHECKING:
    from operations.replaying.differences import TableResult
    from operations.replaying.findings import Findings
    from operations.replaying.journal_check import JournalResult
    from operations.replaying.published_check import TopicResult
    from operations.replaying.store_check import StoreResult
    from streams.settings import Settings

FORMAT: Final = 1
"""Version of the names in the JSON."""

ROWS: Final = 20
"""Most differing rows that are printed, as many of each table that differs."""


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


def print_findings(settings: Settings, found: Findings) -> None:
    """Print a line for each table, the journal and each topic of rows, then the differing rows."""
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
    for one in found.stores:
        _print_store(one)
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


def _print_store(one: StoreResult) -> None:
    """Print a store only where it differs."""
    if one.is_equal:
        return
    what = f"{one.differing:,} rows differ" if one.unreadable is None else one.unreadable
    typer.echo(f"store {one.path}, table {one.table}: {what}")
    for row in one.shown:
        typer.echo(f"  {row.table}-{row.partition} {named_row(row.table, row.key)}")
        for line in changes(row.live, row.replayed, ("changelog", "store"), row.table):
            typer.echo(f"    {line}")


def print_rows(found: Findings) -> None:
    """Print impossible sums, some differing rows of each table, and how many more there are."""
    for sums in found.impossible:
        typer.echo(
            f"{sums.id_name} {sums.id!r}: sums become impossible, and a worker of this build would"
            f" end at them: {sums.why}"
        )
    by_table = [[row for one in some for row in one.shown] for some in found.tables.values()]
    by_table.append([row for one in found.published for row in one.shown])
    most = ROWS // max(1, sum(1 for rows in by_table if rows) + bool(found.journal_rows))
    rows = [row for some in by_table for row in some[:most]]
    of_topics = {one.topic for one in found.published}
    for row in rows:
        if row.table in of_topics:
            name, sides = f"{row.key} differs from its table", ("topic", "table")
        else:
            name = f"{named_row(row.table, row.key)} differs{_since(row.first)}"
            sides = ("live", "replayed")
        typer.echo(f"{row.table}-{row.partition} {name}")
        for line in changes(row.live, row.replayed, sides, row.table):
            typer.echo(f"  {line}")
    journal_rows = found.journal_rows[:most]
    for one in journal_rows:
        typer.echo(f"sales row {one.id or 'without id'} differs, {one.position or 'missing'}")
        for line in changes(one.live, one.replayed):
            typer.echo(f"  {line}")
    _print_left(found, len(rows) + len(journal_rows))


def _print_left(found: Findings, printed: int) -> None:
    """Print how many rows and impossible sums are not printed, and where more of them are."""
    results: list[TableResult | JournalResult | TopicResult] = [*found.journal, *found.published]
    results += [one for some in found.tables.values() for one in some]
    left = sum(one.differing for one in results) - printed
    left += found.impossible_ids - len(found.impossible)
    kept = sum(len(one.shown) for one in results)
    if left:
        where = f"; --json has {kept:,} rows, some of each table" if kept > printed else ""
        typer.echo(f"and {left:,} more{where}")


def _print_line(name: str, rows: int, differing: int) -> None:
    result = f"{differing:,} differ" if differing else "equal"
    typer.echo(f"{name:<24}{rows:>14,} rows  {result}")


def _since(first: str | None) -> str:
    return "" if first is None else f" from {first} on"
