"""`netsold doctor`: checks everything that netsold depends on, and mends what it safely can."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from operations.arguments import Json, NoInput, VersionName, Yes
from operations.doctor import mending
from operations.doctor.checks import CHECKS, MENDED, examine
from operations.doctor.evidence import OBSERVE_SECONDS, Evidence, now_ms
from operations.doctor.results import LEVELS, worst
from operations.local.kafka import with_local
from operations.output import print_error, print_json
from operations.versions.pointed import version_of
from schemas.times import format_short
from streams.broker_access import BROKER_AWAY
from streams.settings import NoKafkaKnown, Settings
from streams.signals import interruptible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operations.doctor.mending import Plan
    from operations.doctor.results import CheckResult

Mend = Annotated[
    bool,
    typer.Option(
        "--mend", help="Abort hanging transactions, put committed offsets back; workers stopped."
    ),
]

FORMAT: Final = 1
"""Version of the names in the JSON."""

DIFFERENCE: Final = 3
"""The exit code where a fault is found."""

_AGAIN: Final = (
    "netsold: interrupted; `netsold doctor` shows what is left, `--mend` continues with it"
)


def command(
    mend: Mend = False,
    yes: Yes = False,
    no_input: NoInput = False,
    version: VersionName = None,
    as_json: Json = False,
) -> None:
    """Check brokers, topics, workers, transactions, offsets, clocks and this machine.

    Exit code 3 if a fault is left, 0 with warnings alone.
    """
    if yes and not mend:
        raise typer.BadParameter("nothing is changed without --mend", param_hint="--yes")
    settings, show = with_local(Settings()), _Shown(as_json=as_json)
    try:
        settings = interruptible(_version_of(settings, version))
        results, plan = interruptible(_examined(settings, show, mend=mend))
        if plan and _agreed(yes=yes, no_input=no_input):
            again = interruptible(_mended(settings, plan, show))
            show.answer["mend"]["done"] = True
            results = [*(one for one in results if one.check not in MENDED), *again]
    except KeyboardInterrupt:
        print_error(_AGAIN)
        raise
    show.summary(settings.app, results)
    if as_json:
        print_json(show.answer)
    if worst(results) == "fault":
        raise typer.Exit(DIFFERENCE)


class _Shown:
    """What is shown: lines as they come, or one JSON object at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._at_terminal = sys.stderr.isatty()
        self.answer: dict[str, Any] = {"format": FORMAT}

    def started(self, check: str) -> None:
        """Show which check runs, at a terminal."""
        if self._at_terminal:
            sys.stderr.write(f"\r\x1b[Kchecking {check} …")
            sys.stderr.flush()

    def done(self) -> None:
        """Remove the line of the running check."""
        if self._at_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def line(self, text: str) -> None:
        """A line of data, for people."""
        if not self._as_json:
            typer.echo(text)

    def results(self, results: Sequence[CheckResult]) -> None:
        """A line for each result, and the remedy below it."""
        self.done()
        for one in results:
            self.line(f"{one.level:<8}{one.check:<16}{one.sentence}")
            if one.remedy is not None:
                self.line(f"{'':<24}{one.remedy}")

    def summary(self, app: str, results: Sequence[CheckResult]) -> None:
        """How many of each level; also the rest of the JSON."""
        counts = {level: sum(one.level == level for one in results) for level in LEVELS}
        found = ", ".join(f"{count} {level}" for level, count in counts.items())
        self.line(f"{app}: {worst(results)} ({found})")
        self.answer |= {
            "app": app,
            "at": format_short(now_ms()),
            "level": worst(results),
            "results": [
                {
                    "check": one.check,
                    "level": one.level,
                    "sentence": one.sentence,
                    "remedy": one.remedy,
                    "details": list(one.details),
                }
                for one in results
            ],
        }

    def plan(self, plan: Plan) -> None:
        """What would be changed."""
        self.answer["mend"] = {"changes": plan.rows(), "done": False}
        for line in plan.lines():
            self.line(f"to mend: {line}")


async def _version_of(settings: Settings, version: str | None) -> Settings:
    """The settings of the version to check. Raises NoSuchVersion.

    Where Kafka can't be read they stay as they are: the checks report that.
    """
    try:
        async with asyncio.timeout(OBSERVE_SECONDS):
            return await version_of(settings, version)
    except (*BROKER_AWAY, NoKafkaKnown):
        return settings


async def _examined(
    settings: Settings, show: _Shown, *, mend: bool
) -> tuple[list[CheckResult], Plan | None]:
    """The results of all checks and, where it is wanted, what can be mended."""
    async with Evidence(settings) as evidence:
        results = await examine(evidence, CHECKS, show.started)
        show.results(results)
        if not mend:
            return results, None
        if not any(one.level == "fault" and one.check in MENDED for one in results):
            print_error("netsold: there is nothing to mend")
            return results, None
        await mending.until_empty(evidence, print_error)
        plan = await mending.plan(evidence)
        show.plan(plan)
        if not plan:
            print_error("netsold: nothing of this can be mended here: see each remedy")
        return results, plan


async def _mended(settings: Settings, plan: Plan, show: _Shown) -> list[CheckResult]:
    """Carry out a plan; the results of the checks that it concerns."""
    async with Evidence(settings) as evidence:
        await mending.carry_out(evidence, plan, show.line)
        results = await examine(evidence, MENDED, show.started)
        show.results(results)
        return results


def _agreed(*, yes: bool, no_input: bool) -> bool:
    """Whether the changes that were shown may be made."""
    if yes:
        return True
    if no_input or not sys.stdin.isatty():
        print_error("netsold: nothing was changed: `netsold doctor --mend --yes` does it")
        return False
    try:
        return typer.confirm("Make these changes?", err=True)
    except typer.Abort:  # Ctrl-C at the prompt
        raise KeyboardInterrupt from None
