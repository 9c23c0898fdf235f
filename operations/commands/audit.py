"""`netsold audit`: counts the whole log again and compares every table, row by row."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from operations.arguments import Json, Resume, VersionName
from operations.commands import audit_view
from operations.commands.replay_run import Processes, ReplayRun
from operations.output import print_error
from operations.replaying.first_events import add_first_events
from operations.waiting import answer
from schemas.audits import AuditRecord
from schemas.times import format_ms
from streams.audits import last_audit, record_audit
from streams.build import this_build

if TYPE_CHECKING:
    from operations.replaying.findings import Findings
    from operations.replaying.work import Report, Work
    from streams.settings import Settings

DIFFERENCE: Final = 3
"""The exit code where a row differs."""


Stores = Annotated[
    bool,
    typer.Option(
        help="Also compare the stores of workers and of the reader in the data directory."
    ),
]


def command(
    version: VersionName = None,
    stores: Stores = True,
    resume: Resume = False,
    processes: Processes = 1,
    as_json: Json = False,
) -> None:
    """Compare every table and the journal `sales` with a replay of the log, at the same offsets.

    Traffic may go on. Exit code 3 on a difference, 5 if there are no tables, or the log lacks what
    they include. Needs room in the data directory for all rows twice.
    """

    async def complete(work: Work, found: Findings, report: Report) -> None:
        await add_first_events(work, found.rows, report)

    run = ReplayRun(
        "audit", version, compares_journal=True, compares_stores=stores, same_terms=True
    )
    found = run.findings(complete, resume=resume, processes=processes)
    _record(run.settings, found)
    if as_json:
        audit_view.print_findings_json(run.settings, found)
    else:
        audit_view.print_findings(run.settings, found, stores=stores)
    if found.differing:
        raise typer.Exit(DIFFERENCE)


def _record(settings: Settings, found: Findings) -> None:
    """Record the result for the metrics of readers."""

    async def written() -> bool:
        known, at = await last_audit(settings), format_ms(time.time_ns() // 1_000_000)
        record = AuditRecord(
            app=settings.app,
            at=at,
            build=str(this_build()),
            mismatches=found.differing,
            succeeded_at=at if not found.differing else known.succeeded_at if known else None,
            vector={source: least for source, (least, _) in found.vector.items()},
        )
        return await record_audit(settings, record)

    if not answer(settings, written()):
        print_error("netsold: not recorded, topic control is missing: run `netsold topics create`")
