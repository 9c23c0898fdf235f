"""The options of the commands about dead letters, and what they mean."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from operations.option_groups import with_group
from operations.output import escaped
from schemas import limits
from schemas.letters import UNNAMED
from schemas.refusals import Reason
from schemas.times import parse_any_ms
from tables.requeueing import Selection, position_range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tables.requeueing import PositionRange

At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        metavar="POSITION",
        help="Of a letter or of its record: orders-0@12, or orders-0@12..99; may be repeated.",
    ),
]
Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="Of these reasons; may be repeated.")
]
Sources = Annotated[
    list[str] | None,
    typer.Option("--source", help="Of these producers (CloudEvents source); may be repeated."),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Parked then or later: 2026-07-01T08:00:00Z."),
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Parked before then.")]
Everything = Annotated[bool, typer.Option("--all", help="All open letters.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would become of each; write nothing.")
]
By = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Recorded; else this user at this host.")
]
Rate = Annotated[
    float | None, typer.Option("--rate", min=0.1, help="Most letters a second; else any number.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Most letters in this run.")]


def selection_of(
    at: Sequence[str] | None,
    reason: Sequence[str] | None = None,
    source: Sequence[str] | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Selection:
    """The letters that the options select. Raises typer.BadParameter."""
    known = {*(one.value for one in Reason), UNNAMED}
    for one in reason or ():
        if one not in known:
            raise typer.BadParameter(
                f"{one!r} is no reason; there are {', '.join(sorted(known))}",
                param_hint="--reason",
            )
    return Selection(
        spans=spans_of(at or (), "--at"),
        reasons=frozenset(reason or ()),
        producers=frozenset(source or ()),
        from_ms=_instant(since, "--from"),
        to_ms=_instant(until, "--to"),
    )


def takes_selection(command: Callable[..., None]) -> Callable[..., None]:
    """A command with options that select letters in place of its parameter `selection`."""
    return with_group(command, "selection", _deliberate)


def _deliberate(  # noqa: PLR0917 - a parameter for each option
    at: At = None,
    reason: Reasons = None,
    source: Sources = None,
    since: From = None,
    until: To = None,
    everything: Everything = False,
) -> Selection:
    """The selection, if it selects anything or `--all` is given. Raises typer.BadParameter."""
    selection = selection_of(at, reason, source, since, until)
    if selection.is_everything and not everything:
        raise typer.BadParameter(
            "select letters by --at, --reason, --source, --from or --to; or --all"
        )
    if everything and not selection.is_everything:
        raise typer.BadParameter("--all selects all open letters: leave the other options out")
    return selection


def recorded(by: str | None, why: str) -> tuple[str, str]:
    """Who decides, and why, as they are recorded. Raises typer.BadParameter."""
    who = f"{getpass.getuser()}@{socket.gethostname()}" if by is None else by
    for text, option in ((who, "--by"), (why, "--why")):
        if len(text) > limits.DECISION_CHARS:
            raise typer.BadParameter(
                f"has more than {limits.DECISION_CHARS} characters", param_hint=option
            )
        if (shown := escaped(text)) != text:
            raise typer.BadParameter(
                f"has a control character, leave it out: {shown}", param_hint=option
            )
    if not who.strip():
        raise typer.BadParameter("names nobody", param_hint="--by")
    return who, why


def spans_of(texts: Sequence[str], parameter: str) -> tuple[PositionRange, ...]:
    """The positions that a parameter names. Raises typer.BadParameter."""
    try:
        return tuple(position_range(text) for text in texts)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=parameter) from error


def _instant(text: str | None, option: str) -> int | None:
    try:
        return None if text is None else parse_any_ms(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint=option) from error
