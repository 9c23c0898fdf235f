"""`netsold compare`: how two versions differ, or a version and the output of `netsold recount`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from operations.arguments import Json
from operations.commands.rebuild import DIFFERENCE, compared, show
from operations.commands.rebuild_options import Limit, Within
from operations.journal_sums import Report
from operations.local.kafka import named_cluster
from operations.versions.comparing import compare_with_report
from operations.waiting import answer
from schemas.errors import NetsoldError
from streams.versions import read_versions

if TYPE_CHECKING:
    from operations.versions.comparison import Comparison


class NoReport(NetsoldError):
    """A file is not the output of `netsold recount` or `netsold tables`."""

    exit_code = 2


def command(
    first: Annotated[str, typer.Argument(metavar="VERSION", help="Such as netsold or r1.")],
    second: Annotated[
        str, typer.Argument(metavar="VERSION|FILE", help="Or a file that recount has printed.")
    ],
    within: Within = 30.0,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """Compare two versions while traffic flows, or a version with a recount while none does.

    Exit code 3 if they differ.
    """
    found = _found(first, second, within)
    show(found, limit, as_json=as_json)
    if found.differences():
        raise typer.Exit(DIFFERENCE)


def _found(first: str, second: str, within_s: float) -> Comparison:
    settings = named_cluster()
    versions = answer(settings, read_versions(settings))
    of_first = versions.settings_of(first, settings)
    if Path(second).is_file():
        report = _report(Path(second))
        return answer(of_first, compare_with_report(of_first, second, report))
    return compared(of_first, versions.settings_of(second, settings), within_s)


def _report(file: Path) -> Report:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except msgspec.MsgspecError as error:
        raise NoReport(f"{file} is no output of `netsold recount`: {error}") from error
