"""`netsold replay --dry-run`: what this build, or other terms, would make of the log.

It writes nothing outside of the data directory.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from operations.arguments import Json, Resume, RulesFile, VersionName
from operations.commands import replay_view
from operations.commands.replay_run import Narrow, Processes, ReplayRun
from operations.commands.replay_span import From, To, narrowed
from operations.output import print_json
from operations.replaying.contributions import Contributions, Subject, contributions
from operations.versions.registering import with_rules
from schemas.errors import NetsoldError
from streams.rules import read_rules

if TYPE_CHECKING:
    from operations.replaying.findings import Findings
    from operations.replaying.work import Report, Work

DIFFERENCE: Final = 3
"""The exit code where anything would change."""


class OnlyDry(NetsoldError):
    """A replay into the live tables is not there, for good reason."""

    exit_code = 2


DryRun = Annotated[bool, typer.Option("--dry-run", help="Needed: a replay changes no table.")]
Explain = Annotated[
    str | None,
    typer.Option(
        metavar="product:ID|shop:ID",
        help="Also show the orders that count differently for it; inquiries are not explained.",
    ),
]


def command(  # noqa: PLR0917 - typer's form
    dry_run: DryRun = False,
    version: VersionName = None,
    start: From = None,
    end: To = None,
    rules: RulesFile = None,
    explain: Explain = None,
    resume: Resume = False,
    processes: Processes = 1,
    as_json: Json = False,
) -> None:
    """Show what a replay of the log would change, with this build and these terms.

    The live tables are compared at the offsets that they include, while traffic flows. Exit code
    3 if anything would change.
    """
    if not dry_run:
        raise OnlyDry(
            "a replay never changes live tables: add --dry-run to see what would change, and "
            "`netsold rebuild` makes them anew beside the live ones"
        )
    if end is not None and rules is not None:
        raise typer.BadParameter(
            "it compares with the journal, which has the terms of its workers: leave out --rules",
            param_hint="--to",
        )
    other = None if rules is None else read_rules(rules)
    subject = None if explain is None else _subject(explain)
    run = ReplayRun(
        "replay --dry-run",
        version,
        lambda settings: with_rules(settings, other),
        [start or "", end or "", explain or ""],
        adds_up=True,
    )
    narrow = partial(narrowed, start=start, end=end)
    _show(run, subject, narrow, start, resume=resume, processes=processes, as_json=as_json)


def _show(
    run: ReplayRun,
    subject: Subject | None,
    narrow: Narrow,
    start: str | None,
    *,
    resume: bool,
    processes: int,
    as_json: bool,
) -> None:
    explained = Contributions()

    async def then(work: Work, _found: Findings, report: Report) -> None:
        nonlocal explained
        if subject is not None:
            explained = await contributions(work, subject, report)

    found = run.findings(then, narrow, resume=resume, processes=processes)
    answer = replay_view.json_of(run.settings, run.terms, found, subject, explained)
    if as_json:
        print_json(answer)
    else:
        replay_view.print_answer(run.settings, found, answer, start)
    if found.differing or answer["sold_monthly_rows"]:
        raise typer.Exit(DIFFERENCE)


def _subject(text: str) -> Subject:
    kind, _, id_ = text.partition(":")
    if kind == "product" and id_:
        return Subject("product", id_)
    if kind == "shop" and id_:
        return Subject("shop", id_)
    raise typer.BadParameter(f"{text!r} is neither product:ID nor shop:ID", param_hint="--explain")
