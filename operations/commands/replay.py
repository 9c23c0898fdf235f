"""`netsold replay --dry-run`: what this build, or other terms, would make of the log.

It writes nothing outside of the data directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from operations.arguments import Json
from operations.commands import replay_view
from operations.commands.replay_run import Processes, ReplayRun, Resume
from operations.output import print_json
from operations.replaying.contributions import Contribution, Subject, contributions
from operations.term_options import Terms, takes_terms
from operations.versions.registering import with_terms
from schemas import times
from schemas.errors import NetsoldError
from schemas.positions import position_of
from streams import log
from tables.catalogue import EVENT_TOPICS

if TYPE_CHECKING:
    from operations.replaying.findings import Findings
    from operations.replaying.work import Report, Work
    from streams.settings import Settings

DIFFERENCE: Final = 3
"""The exit code where anything would change."""


class OnlyDry(NetsoldError):
    """A replay into the live tables is not there, for good reason."""

    exit_code = 2


DryRun = Annotated[bool, typer.Option("--dry-run", help="Needed: a replay changes no table.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="T|POSITION",
        help="Fold only events written from then on (ISO 8601 with zone), or those of a partition"
        " from a position such as orders-3@1841.",
    ),
]
Explain = Annotated[
    str | None,
    typer.Option(
        metavar="product:ID|shop:ID", help="Also show the orders that count differently for it."
    ),
]


@takes_terms
def command(  # noqa: PLR0917 - typer's form
    dry_run: DryRun = False,
    start: From = None,
    terms: Terms = None,
    explain: Explain = None,
    resume: Resume = False,
    processes: Processes = 1,
    as_json: Json = False,
) -> None:
    """Show what a replay of the log would change, with this build and these terms.

    The live tables are compared at the offsets that they include, while traffic goes on. Exit code
    3 if anything would change.
    """
    if not dry_run:
        raise OnlyDry(
            "a replay never changes live tables: add --dry-run to see what would change, and "
            "`netsold rebuild` makes them anew beside the live ones"
        )
    subject = None if explain is None else _subject(explain)
    run = ReplayRun(
        "replay --dry-run",
        lambda settings: with_terms(settings, terms or {}),
        [start or "", explain or ""],
        adds_up=True,
    )
    _show(run, subject, start, resume=resume, processes=processes, as_json=as_json)


def _show(
    run: ReplayRun,
    subject: Subject | None,
    start: str | None,
    *,
    resume: bool,
    processes: int,
    as_json: bool,
) -> None:
    explained: list[Contribution] = []

    async def then(work: Work, _found: Findings, report: Report) -> None:
        if subject is not None:
            explained.extend(await contributions(work, subject, report))

    starts = None if start is None else lambda settings: _starts(settings, start)
    found = run.findings(then, starts, resume=resume, processes=processes)
    answer = replay_view.json_of(run.settings, run.terms, found, subject, explained)
    if as_json:
        print_json(answer)
    else:
        replay_view.print_answer(run.settings, found, answer)
    if found.differing:
        raise typer.Exit(DIFFERENCE)


def _subject(text: str) -> Subject:
    kind, _, id_ = text.partition(":")
    if kind == "product" and id_:
        return Subject("product", id_)
    if kind == "shop" and id_:
        return Subject("shop", id_)
    raise typer.BadParameter(f"{text!r} is neither product:ID nor shop:ID", param_hint="--explain")


async def _starts(settings: Settings, text: str) -> dict[str, int]:
    """The first offset to fold, by source partition. Raises typer.BadParameter."""
    names = [settings.topic(topic) for topic in EVENT_TOPICS]
    try:
        position = position_of(text)
    except ValueError:
        position = None
    if position is not None:
        if position.topic not in names or position.partition >= settings.partitions:
            raise typer.BadParameter(
                f"{text!r} is in none of the topics {', '.join(names)}", param_hint="--from"
            )
        return {f"{position.topic}-{position.partition}": position.offset}
    try:
        at_ms = times.parse_ms(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint="--from") from error
    found = await log.offsets_at(settings, names, at_ms)
    return {f"{topic}-{number}": offset for (topic, number), offset in found.items()}
