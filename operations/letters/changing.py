"""The way of a change to dead letters: a preview with counts, a yes, the change, what was done."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import typer

from operations.consent import confirm
from operations.in_words import signed
from operations.letters.deciding import Done, decide, preview
from operations.letters.effects import COUNTED_ALREADY, effects_of
from operations.letters.reading import Reading
from operations.output import print_error, print_json
from operations.waiting import GaveUp, Interrupted, Waiting
from schemas import limits
from streams.letter_writer import DecisionsInDoubt
from streams.verdicts import FORCIBLE

if TYPE_CHECKING:
    from operations.letters.deciding import Plan, Request
    from operations.letters.effects import Effect
    from schemas.errors import NetsoldError
    from schemas.letters import Letter
    from streams.settings import Settings
    from streams.verdicts import LetterVerdict

_END_WITHIN_S: Final = 10.0
"""How long the last transaction may take after a signal."""

_FAULTS: Final = {
    "refused": "would be parked again",
    "attempts": f"put back {limits.REQUEUE_ATTEMPTS} times or more",
    "no_key": "without a key",
    "no_events": "of no topic of events",
}
"""By outcome, what keeps letters from being put back, behind their number."""

_KNOWN: Final = "already_counted"
"""The outcome of an accepted letter whose event its order has: it changes nothing (S11)."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether a change is only shown, and whether a person has to confirm it."""

    dry_run: bool
    yes: bool
    no_input: bool


def change(
    settings: Settings, request: Request, consent: Consent, give_up_after_s: float, *, as_json: bool
) -> None:
    """Show what would become of the letters, and do it where that is confirmed.

    Raises LetterUnknown, NotConfirmed, TopicsUnfit, KafkaUnreachable, and typer.Exit where letters
    are left or the change ended early.
    """
    reading = Reading(settings, request.selection)
    waiting = Waiting(settings, give_up_after_s, print_error)
    plan = asyncio.run(waiting.bounded(preview(settings, request, reading), reading.pending))
    if consent.dry_run:
        _show_preview(settings, request, plan, as_json=as_json)
        raise typer.Exit(3 if plan.left else 0)
    done, ended = Done(), None
    if plan.chosen:
        _confirm(request, plan, consent)
        chosen = replace(request, most=plan.chosen)
        ended = _run(settings, chosen, done, give_up_after_s)
    _show_done(request, plan, done, ended, as_json=as_json)
    if ended is not None:
        raise typer.Exit(ended.exit_code)
    if plan.left:
        raise typer.Exit(1)


def _run(
    settings: Settings, request: Request, done: Done, give_up_after_s: float
) -> NetsoldError | None:
    """What ended the change early, None if it is complete; `done` counts either way."""
    reading = Reading(settings, request.selection)

    def pending() -> tuple[object, str] | None:
        if done.pacing:
            return None
        return (done.letters, reading.pending()[0]), f"{done.letters:,} letters are done"

    async def work() -> bool:
        waiting = Waiting(settings, give_up_after_s, print_error)
        deciding = decide(settings, request, reading, waiting.stop, done)
        await waiting.bounded(deciding, pending, _END_WITHIN_S)
        return waiting.stop.is_set()

    try:
        stopped = asyncio.run(work())
    except (DecisionsInDoubt, GaveUp, Interrupted) as error:
        return error
    return Interrupted("interrupted") if stopped and done.letters < (request.most or 0) else None


def _confirm(request: Request, plan: Plan, consent: Consent) -> None:
    verb = "put back" if request.decision == "requeued" else "discard"
    if not consent.yes and not consent.no_input and sys.stdin.isatty():
        for line in _counts(request, plan):
            print_error(line)
    confirm(
        f"{verb} {_number(plan.chosen)}?",
        f"{_number(plan.chosen)} would be {_done(request)}: give --yes to do it, or --dry-run",
        yes=consent.yes,
        no_input=consent.no_input,
    )


def _show_preview(settings: Settings, request: Request, plan: Plan, *, as_json: bool) -> None:
    effects, unknown_why = effects_of(settings, plan.shown)
    rows = [
        _row(letter, verdict, effects.get(str(letter.position))) for letter, verdict in plan.shown
    ]
    if as_json:
        print_json({"dry_run": True, **_as_json(plan), "letters": rows, "reader": unknown_why})
        return
    for row in rows:
        typer.echo(f"{row['id']} of {row['of']}, {row['parked_as']}: {_fate(request, row)}")
    if len(rows) < sum(plan.outcomes.values()):
        typer.echo(f"and {sum(plan.outcomes.values()) - len(rows):,} more")
    for line in _counts(request, plan):
        typer.echo(line)
    if unknown_why is not None:
        print_error(f"netsold: what the events would change isn't known: {unknown_why}")


def _fate(request: Request, row: dict[str, Any]) -> str:
    """What would become of a letter of a preview, in words."""
    outcome = row["outcome"]
    why = ": ".join(row[name] for name in ("reason", "detail") if row[name])
    if request.decision == "discarded":
        return "would be discarded"
    to = f"would go to {row['to']} with the key {row['key']}"
    if outcome == "accepted":
        return to + _change(row["effect"])
    if outcome == _KNOWN:
        return f"{to}, and change nothing: its event is counted already"
    fault = why or _FAULTS[outcome]
    if request.force and outcome in FORCIBLE and row["to"]:
        return f"{to}, by --force: {fault}"
    return f"stays: {fault}"


def _change(effect: dict[str, Any] | None) -> str:
    """What an event would change of its order, in words; nothing where that isn't known."""
    if effect is None:
        return ""
    units = effect["units"]
    parts = [f"{units:+,} unit{'' if abs(units) == 1 else 's'}"] if units else []
    parts += [signed(currency, amount) for currency, amount in effect["revenue"].items()]
    return f", and change its order by {', '.join(parts)}" if parts else ", and change no sales"


def _row(letter: Letter, verdict: LetterVerdict, effect: Effect | None) -> dict[str, Any]:
    """A letter of a preview as JSON has it; `effect` is null where it isn't known."""
    record = verdict.record
    is_known = effect is COUNTED_ALREADY
    return {
        "id": str(letter.position),
        "of": None if letter.source is None else str(letter.source),
        "parked_as": letter.reason,
        "attempt": letter.attempt,
        "outcome": _KNOWN if is_known else verdict.outcome,
        "reason": verdict.reason or None,
        "detail": verdict.detail or None,
        "to": None if record is None else f"{record.topic}-{record.partition}",
        "key": None if record is None else record.key.decode(errors="backslashreplace"),
        "effect": effect and {"units": effect.units, "revenue": effect.amounts},
    }


def _as_json(plan: Plan) -> dict[str, Any]:
    return {
        "outcomes": [
            {"outcome": outcome, "reason": reason or None, "count": count}
            for (outcome, reason), count in sorted(plan.outcomes.items())
        ],
        "chosen": plan.chosen,
        "left": plan.left,
        "decided_before": plan.decided,
    }


def _counts(request: Request, plan: Plan) -> list[str]:
    """The counts of a plan in lines: what is left and why, then what would be done."""
    return [*_left(plan), f"{_number(plan.chosen)} would be {_done(request)}"]


def _left(plan: Plan) -> list[str]:
    """What is not chosen, in lines, with the reasons."""
    lines = [
        f"{count:,} {_FAULTS[outcome]}{reason and f': {reason}'}"
        for (outcome, reason), count in sorted(plan.outcomes.items())
        if outcome in _FAULTS
    ]
    if plan.left:
        lines.append(f"{_number(plan.left)} left open")
    if plan.decided:
        lines.append(f"{_number(plan.decided)} decided before")
    return lines


def _show_done(
    request: Request, plan: Plan, done: Done, ended: NetsoldError | None, *, as_json: bool
) -> None:
    if as_json:
        about = {"dry_run": False, **_as_json(plan), request.decision: done.letters}
        print_json(about | {"ended": None if ended is None else str(ended)})
    else:
        typer.echo(f"{_number(done.letters)} {_done(request)}")
        for line in _left(plan):
            typer.echo(line)
    if ended is not None:
        print_error(
            f"netsold: {ended}; {_number(done.letters)} {_done(request)}, run the same command"
            " again to go on"
        )


def _done(request: Request) -> str:
    return "put back" if request.decision == "requeued" else "discarded"


def _number(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count:,} dead letters"
