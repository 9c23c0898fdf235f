"""`netsold export`: the journal and the tables as Parquet files, and their proof."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from operations.arguments import Json, VersionName
from operations.exporting.forms import DATASETS, ENTRIES
from operations.exporting.iceberg import IcebergTables
from operations.exporting.libraries import interruptible
from operations.exporting.places import place_of
from operations.exporting.verifying import verify
from operations.in_words import duration
from operations.output import print_error, print_json
from operations.progress import Meter
from operations.waiting import GIVE_UP_AFTER, GiveUpAfter, Interrupted, give_up_s
from schemas.times import duration_ms, parse_ms

if TYPE_CHECKING:
    from operations.exporting.manifest import Complete
    from operations.exporting.places import Place
    from operations.exporting.running import Exported
    from operations.exporting.verdicts import Verdict

app = typer.Typer()

Iceberg = Annotated[
    str | None,
    typer.Option(
        metavar="CATALOGUE",
        help="Also as tables of Apache Iceberg: a catalogue of pyiceberg, or CATALOGUE.NAMESPACE.",
    ),
]
EVERY: Final = "5m"
SHORTEST_MS: Final = 1000

DIFFERENCE: Final = 3
"""The exit code where an export differs."""


@app.callback(invoke_without_command=True)
def export(  # noqa: PLR0917 - typer's form
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="A directory, or a URI that pyarrow knows, such as s3://bucket/path.",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Export again and again, until a signal.")
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help=f"With --follow: such as 90s, 2h or PT2H, from begin to begin ({EVERY}).",
        ),
    ] = None,
    iceberg: Iceberg = None,
    version: VersionName = None,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    as_json: Json = False,
) -> None:
    """Write what is new since the last export as Parquet, at one vector; `_COMPLETE.json` is last.

    A run that was interrupted is completed first, to the vector that it began with. Needs room in
    the data directory for the rows of the tables. With --follow and --json: one object an export.
    """
    if context.invoked_subcommand is not None:
        return
    if to is None:
        raise typer.BadParameter("name a directory", param_hint="--to")
    if every is not None and not follow:
        raise typer.BadParameter("it is for --follow", param_hint="--every")
    every_s = _every_s(every or EVERY)
    place = place_of(to)
    show = _print_exported_json if as_json else _print_exported
    from operations.commands.export_run import ExportRun

    tables = None if iceberg is None else IcebergTables(iceberg)
    most_s = give_up_s(give_up_after)
    run = ExportRun(place, version, most_s, lambda found: show(place, found), tables)
    if follow:
        run.follow(every_s)
        return
    try:
        run.once()
    except Interrupted:
        print_error("netsold: the next `netsold export` to the same place continues")
        raise


def _every_s(text: str) -> float:
    """Seconds of `--every`. Raises typer.BadParameter."""
    try:
        found_ms = duration_ms(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--every") from error
    if found_ms < SHORTEST_MS:
        raise typer.BadParameter(f"{text!r} is less than a second", param_hint="--every")
    return found_ms / 1000


def _print_exported_json(place: Place, found: Exported) -> None:
    complete = found.complete
    print_json(
        {
            "place": place.root,
            "number": complete.number,
            "continued": found.continued,
            "app": complete.terms.app,
            "complete_through": complete.complete_through,
            "lag_seconds": _lag_s(complete),
            "vector": complete.vector,
            "rows": {name: one.rows for name, one in complete.datasets.items()},
            "new_files": [one.path for one in found.new],
            "merged_files": sorted(found.merged),
            "files": len(complete.files),
            "unreadable": complete.unreadable,
        }
    )


def _print_exported(place: Place, found: Exported) -> None:
    complete = found.complete
    entries = sum(
        one.rows
        for one in found.new
        if one.dataset == ENTRIES.name and one.path not in found.merged
    )
    lag_s = _lag_s(complete)
    through = (
        "no known instant"
        if lag_s is None
        else f"{complete.complete_through}, {duration(lag_s)} ago"
    )
    begun = ", continued" if found.continued else ""
    merged = f" ({len(found.merged):,} merged)" if found.merged else ""
    typer.echo(
        f"export {complete.number}{begun} in {place.root}: complete through {through};"
        f" {_counted(entries, 'new entry', 'new entries')},"
        f" {_counted(len(found.new), 'new file')}{merged} of {len(complete.files):,}"
    )
    if complete.first == complete.number > 1:
        print_error(f"netsold: all files are anew, of the version {complete.terms.app}")
    if complete.unreadable:
        print_error(f"netsold: {complete.unreadable:,} records are no rows of the journal")


def _lag_s(complete: Complete) -> float | None:
    """How long ago the instant is through which an export is complete."""
    through = complete.complete_through
    return None if through is None else max(0, time.time_ns() // 10**6 - parse_ms(through)) / 1000


@app.command("verify")
def verify_export(
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="The directory or URI of the export.")
    ],
    iceberg: Iceberg = None,
    as_json: Json = False,
) -> None:
    """Prove an export: bytes, rows and digests of its files, and its tables by the journal's sums.

    It needs no Kafka. With --iceberg also the rows of those tables. Exit code 3 on a difference, 4
    if there is no export.
    """
    place = place_of(directory)
    tables = None if iceberg is None else IcebergTables(iceberg)
    done = 0
    with interruptible(), Meter("bytes", None) as meter:

        def report(more: int) -> None:
            nonlocal done
            done += more
            meter.at(done)

        verdict = verify(place, report, tables)
    show = _print_verdict_json if as_json else _print_verdict
    show(verdict)
    if not verdict.equal:
        raise typer.Exit(DIFFERENCE)


def _print_verdict_json(verdict: Verdict) -> None:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(verdict)
    print_json({"equal": verdict.equal, **found})


def _print_verdict(verdict: Verdict) -> None:
    for one in verdict.differences:
        recorded, found = one.recorded or "not recorded", one.found or "none"
        typer.echo(f"{one.check}: {one.where}: {recorded}; found {found}")
    left = sum(verdict.counts.values()) - len(verdict.differences)
    if left:
        typer.echo(f"and {_counted(left, 'more difference')}: --json has the counts")
    for lane in verdict.in_part:
        typer.echo(f"{lane} had read a transaction in part: its rows are not compared with sums")
    rows = ", ".join(f"{verdict.rows[name]:,} {name}" for name in DATASETS if name in verdict.rows)
    result = "equal" if verdict.equal else _counted(sum(verdict.counts.values()), "difference")
    typer.echo(
        f"export {verdict.number}, complete through"
        f" {verdict.complete_through or 'no known instant'}: {result};"
        f" {_counted(verdict.files, 'file')}{f' ({rows})' if rows else ''}"
    )


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
