"""`netsold import --dry-run`: what a mapping makes of files, and which tables would result."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import typer

from operations.mapping.mapped import MappedFiles
from operations.mapping.preview import Preview
from operations.output import print_error, print_json, print_table
from schemas.money import shown
from schemas.refusals import Refusal
from schemas.times import format_short
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operations.mapping.plan import Mapping
    from operations.progress import Meter

DIFFERENCE: Final = 3
"""The exit code where the files' own totals differ."""


def dry_run(mapping: Mapping, files: Sequence[str], meter: Meter, *, as_json: bool) -> None:
    """Read everything, and print what would result. Raises typer.Exit 1 or 3 where it is not fine.

    Raises as `MappedFiles.refusals`.
    """
    settings = Settings()
    refused: Counter[str] = Counter()
    preview = Preview(settings.terms)
    with closing(MappedFiles(mapping, files, settings.max_ahead_seconds)) as mapped:
        mapped.report = meter.at
        for line in mapped.refusals():
            if isinstance(line.event, Refusal):
                refused[line.event.reason.value] += 1
                meter.print(f"{line.at}: {line.event.reason}: {line.event.detail}")
            meter.at(line.done_bytes)
        preview.add(mapped.records_by_order())
    found = _found(mapped, refused, preview)
    if as_json:
        print_json(found | preview.tables() | {"anomalies": preview.anomalies})
    else:
        _show(found, preview)
    if mapped.counts.checked.differ:
        raise typer.Exit(DIFFERENCE)
    if refused:
        raise typer.Exit(1)


def _found(mapped: MappedFiles, refused: Counter[str], preview: Preview) -> dict[str, Any]:
    counts, checked = mapped.counts, mapped.counts.checked
    first, last = preview.first_ms, preview.last_ms
    return {
        "rows": counts.rows,
        "skipped": dict(counts.skipped),
        "events": dict(counts.events),
        "refused": dict(refused),
        "first": None if first is None else format_short(first),
        "last": None if last is None else format_short(last),
        "own_totals": {
            "agree": checked.agree,
            "differ": checked.differ,
            "differences": checked.differences,
        },
        "orders_never_placed": preview.unplaced,
        "cycles": preview.cycles(),
    }


def _show(found: dict[str, Any], preview: Preview) -> None:
    skipped = ", ".join(f"{number:,} {why}" for why, number in found["skipped"].items())
    typer.echo(f"rows     {found['rows']:,} read{f', left out: {skipped}' if skipped else ''}")
    typer.echo(f"events   {_listed(found['events'])}")
    typer.echo(f"refused  {_listed(found['refused'])}")
    typer.echo(f"times    {found['first'] or 'none'} to {found['last'] or 'none'}")
    totals = found["own_totals"]
    if totals["agree"] or totals["differ"]:
        typer.echo(f"totals   {totals['agree']:,} as in the files, {totals['differ']:,} others")
        for line in totals["differences"]:
            print_error(line)
    if preview.unplaced:
        typer.echo(
            f"orders   {preview.unplaced:,} are not placed in these files: without a placing in the"
            " log they count nothing"
        )
    _show_cycles(found["cycles"])
    tables = preview.tables()
    sizes = [f"{len({row[key] for row in tables[name]}):,} {name}" for name, key in _KEYS.items()]
    anomalies = Counter(one["anomaly"] for one in preview.anomalies)
    typer.echo(f"tables   {', '.join(sizes)}; anomalies: {_listed(anomalies)}")
    typer.echo("nothing was written")


_KEYS: Final = {"products": "product_id", "shops": "shop_id"}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items())) or "none"


def _show_cycles(cycles: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("cycle")
    table.add_column("")
    for name in ("units gross", "reversed", "net", "gross", "reversed", "net", "booked"):
        table.add_column(name, justify="right")
    for row in cycles:
        units = row["units_gross"], row["units_reversed"]
        amounts = row["amount_gross"], row["amount_reversed"]
        currency = row["currency"]
        table.add_row(
            row["cycle"]["start"][:10],
            currency,
            *(f"{number:,}" for number in (*units, units[0] - units[1])),
            *(shown(currency, number) for number in (*amounts, amounts[0] - amounts[1])),
            shown(currency, row["amount_booked"]),
        )
    print_table(table)
