"""`netsold dead-letters list|show|requeue|discard`: refused records, and what becomes of them."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from operations.arguments import Json, NoInput, VersionName, Yes
from operations.letters import listing
from operations.letters.options import (
    At,
    By,
    DryRun,
    From,
    Limit,
    Rate,
    Reasons,
    Sources,
    To,
    recorded,
    selection_of,
    spans_of,
    takes_selection,
)
from operations.letters.reading import Reading
from operations.output import print_json, printable
from operations.versions.pointed import named_version
from operations.waiting import GIVE_UP_AFTER, GiveUpAfter, answer, give_up_s
from schemas import limits
from schemas.decisions import LETTER_STATES
from tables.requeueing import Selection

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from schemas.decisions import Decision, LetterState
    from schemas.letters import Letter

app = typer.Typer()


@app.command("list")
def list_letters(  # noqa: PLR0917 - a parameter for each option
    at: At = None,
    reason: Reasons = None,
    source: Sources = None,
    since: From = None,
    until: To = None,
    state: Annotated[
        Literal["open", "requeued", "discarded"] | None,
        typer.Option("--state", help="Only those; else all."),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Each letter in a line of its own, also with --json.")
    ] = False,
    version: VersionName = None,
    as_json: Json = False,
) -> None:
    """List dead letters by reason, topic and producer, with times and how many are open."""
    reading = Reading(named_version(version), selection_of(at, reason, source, since, until))
    if each:
        _read(reading, _print_each(reading, state, as_json=as_json))
        return
    groups = _read(reading, listing.groups_of(reading, state))
    if as_json:
        print_json({"groups": [group.as_json() for group in groups]})
    else:
        _show_groups(groups)


@app.command("show")
def show(
    ids: Annotated[
        list[str], typer.Argument(metavar="POSITION…", help="Of letters or of their records.")
    ],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="With keys, headers and values as they are.")
    ] = False,
    version: VersionName = None,
    as_json: Json = False,
) -> None:
    """Show single dead letters with headers, the exact fault, and a masked value.

    Exit code 4 if one isn't there.
    """
    selection = Selection(spans=spans_of(ids, "POSITION"))
    reading = Reading(named_version(version), selection)
    shown = _read(reading, _whole(reading, reveal=reveal))
    if as_json:
        print_json({"letters": shown})
    else:
        typer.echo("\n\n".join(in_lines(letter) for letter in shown))


@app.command("requeue")
@takes_selection
def requeue(  # noqa: PLR0917 - a parameter for each option
    selection: Selection,
    dry_run: DryRun = False,
    yes: Yes = False,
    no_input: NoInput = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also those that would be parked again, or were too often."),
    ] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", help="For those whose key is missing or wrong; else the content's."),
    ] = None,
    rate: Rate = None,
    limit: Limit = None,
    by: By = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Recorded.")] = "",
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    version: VersionName = None,
    as_json: Json = False,
) -> None:
    """Put dead letters back into their topics; the present decoder and rules judge them first.

    Exit code 1 if some are left. Run it again to go on: no letter is put back twice.
    """
    raw_key = None if key is None else key.encode(errors="surrogateescape")
    who, text = recorded(by, why)
    from operations.letters.changing import Consent, change  # only here: it loads the rules
    from operations.letters.deciding import Request

    request = Request("requeued", selection, who, text, raw_key, force, rate, limit)
    consent = Consent(dry_run, yes, no_input)
    change(named_version(version), request, consent, give_up_s(give_up_after), as_json=as_json)


@app.command("discard")
@takes_selection
def discard(  # noqa: PLR0917 - a parameter for each option
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Recorded.")],
    selection: Selection,
    dry_run: DryRun = False,
    yes: Yes = False,
    no_input: NoInput = False,
    limit: Limit = None,
    by: By = None,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    version: VersionName = None,
    as_json: Json = False,
) -> None:
    """Record that dead letters need nothing more, by whom and why; nothing is deleted."""
    if not why.strip():
        raise typer.BadParameter("has no text", param_hint="--why")
    who, text = recorded(by, why)
    from operations.letters.changing import Consent, change  # only here: it loads the rules
    from operations.letters.deciding import Request

    request = Request("discarded", selection, who, text, most=limit)
    consent = Consent(dry_run, yes, no_input)
    change(named_version(version), request, consent, give_up_s(give_up_after), as_json=as_json)


def _read(reading: Reading, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - as the work's
    """The result of reading letters. Raises LetterUnknown if a named one isn't there."""
    found = answer(reading.settings, work, reading.pending)
    reading.require_named()
    return found


async def _print_each(reading: Reading, state: LetterState | None, *, as_json: bool) -> None:
    async with aclosing(reading.each()) as letters:
        async for letter, its_state in letters:
            if state not in {None, its_state}:
                continue
            one = listing.brief(letter, its_state)
            if as_json:
                print_json(one)
            else:
                typer.echo(
                    f"{one['id']} of {one['of']} {one['parked_at']} {one['source']}"
                    f" {its_state} {one['reason']}: {one['detail']}"
                )


async def _whole(reading: Reading, *, reveal: bool) -> list[dict[str, Any]]:
    found: list[tuple[Letter, LetterState]] = []
    async with aclosing(reading.each()) as letters:
        async for pair in letters:
            if len(found) == limits.SHOWN_LETTERS:
                raise typer.BadParameter(
                    f"selects more than {limits.SHOWN_LETTERS} letters: `list --each` shows them",
                    param_hint="POSITION",
                )
            found.append(pair)
    decided: dict[object, list[Decision]] = {letter.position: [] for letter, _ in found}
    if any(state != "open" for _, state in found):
        async with aclosing(reading.letters.decided()) as decisions:
            async for one in decisions:
                if one.letter in decided:
                    decided[one.letter].append(one)
    return [
        listing.whole(letter, state, decided[letter.position], reveal=reveal)
        for letter, state in found
    ]


def in_lines(letter: dict[str, Any]) -> str:
    """A letter for people: a line a field; what is masked is JSON."""
    lines = []
    for name, value in letter.items():
        if name == "headers":
            lines += [f"header {header}: {content}" for header, content in value]
        elif name == "decisions":
            lines += [
                f"{one['decision']} at {one['at']} by {one['by']}: {one['why']}" for one in value
            ]
        elif not name.endswith("_base64") and value is not None and name != "masked":
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines.append(f"{name.replace('_', ' ')}: {text}")
    if letter["masked"]:
        lines.append("masked: --reveal shows key, headers and value as they are")
    return "\n".join(map(printable, lines))


def _show_groups(groups: list[listing.Group]) -> None:
    """A row a group, as wide as its contents: a reason or a topic is never cut."""
    if not groups:
        typer.echo("no dead letters")
        return
    rows = [("reason", "topic", "source", *LETTER_STATES, "first parked", "last parked")]
    for group in groups:
        one = group.as_json()
        rows.append(
            (
                *(one[name] for name in ("reason", "topic", "source")),
                *(f"{one[state]:,}" for state in LETTER_STATES),
                one["first_parked"],
                one["last_parked"],
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
