"""`netsold export`: the journal and the tables as Parquet files, and their proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from operations.arguments import Json, VersionName
from operations.exporting.forms import DATASETS, ENTRIES
from operations.exporting.places import place_of
from operations.exporting.verifying import verify
from operations.output import print_error, print_json
from operations.progress import Meter, Steps
from operations.waiting import Interrupted, answer

if TYPE_CHECKING:
    from operations.exporting.places import Place
    from operations.exporting.running import Exported
    from operations.exporting.verdicts import Verdict
    from streams.settings import Settings

app = typer.Typer()

DIFFERENCE: Final = 3
"""The exit code where an export differs."""


@app.callback(invoke_without_command=True)
def export(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="A directory, or a URI that pyarrow knows, such as s3://bucket/path.",
        ),
    ] = None,
    version: VersionName = None,
    as_json: Json = False,
) -> None:
    """Write what is new since the last export as Parquet, at one vector; `_COMPLETE.json` is last.

    A run that was interrupted is completed first, to the vector that it began with. Needs room in
    the data directory for the rows of the tables.
    """
    if context.invoked_subcommand is not None:
        return
    if to is None:
        raise typer.BadParameter("name a directory", param_hint="--to")
    place = place_of(to)
    from operations.versions.pointed import named_version

    settings = named_version(version)
    steps = Steps()
    try:
        with steps:
            found = answer(settings, _exported(settings, place, steps), steps.pending)
    except Interrupted:
        print_error("netsold: the next `netsold export` to the same place continues")
        raise
    show = _print_exported_json if as_json else _print_exported
    show(place, found)


async def _exported(settings: Settings, place: Place, steps: Steps) -> Exported:
    from operations.exporting.running import export as run
    from operations.replaying.live_tables import require_tables
    from operations.replaying.source_log import KafkaLog

    await require_tables(settings)
    return await run(settings, KafkaLog(settings), place, steps.begin)


def _print_exported_json(place: Place, found: Exported) -> None:
    complete = found.complete
    print_json(
        {
            "place": place.root,
            "number": complete.number,
            "continued": found.continued,
            "complete_through": complete.complete_through,
            "vector": complete.vector,
            "rows": {name: one.rows for name, one in complete.datasets.items()},
            "new_files": [one.path for one in found.new],
            "files": len(complete.files),
            "unreadable": complete.unreadable,
        }
    )


def _print_exported(place: Place, found: Exported) -> None:
    complete = found.complete
    entries = sum(one.rows for one in found.new if one.dataset == ENTRIES.name)
    begun = ", continued" if found.continued else ""
    typer.echo(
        f"export {complete.number}{begun} in {place.root}: complete through"
        f" {complete.complete_through or 'no known instant'};"
        f" {_counted(entries, 'new entry', 'new entries')},"
        f" {_counted(len(found.new), 'new file')} of {len(complete.files):,}"
    )
    if complete.unreadable:
        print_error(f"netsold: {complete.unreadable:,} records are no rows of the journal")


@app.command("verify")
def verify_export(
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="The directory or URI of the export.")
    ],
    as_json: Json = False,
) -> None:
    """Prove an export: bytes, rows and digests of its files, and its tables by the journal's sums.

    It needs no Kafka. Exit code 3 on a difference, 4 if there is no export.
    """
    place = place_of(directory)
    done = 0
    with Meter("bytes", None) as meter:

        def report(more: int) -> None:
            nonlocal done
            done += more
            meter.at(done)

        verdict = verify(place, report)
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
