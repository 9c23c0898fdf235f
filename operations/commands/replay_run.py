"""What `netsold audit` and `netsold replay` share: options, progress on stderr, and resuming."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any

import typer

from operations.local.data_dir import keep_private
from operations.local.resuming import directory_of
from operations.output import print_error
from operations.progress import Steps
from operations.replaying.findings import Findings, findings_of
from operations.replaying.live_tables import require_tables
from operations.replaying.processes import quiet
from operations.replaying.running import replay, replay_terms
from operations.replaying.source_log import KafkaLog
from operations.replaying.work import Report, Work
from operations.versions.pointed import named_version
from operations.waiting import Interrupted, answer
from streams.open_files import allow_open_files
from streams.settings import Settings

Processes = Annotated[
    int, typer.Option(min=1, max=64, help="How many processes fold; at most one a core helps.")
]
Then = Callable[[Work, Findings, Report], Awaitable[None]]
Narrow = Callable[[Settings, Work], Coroutine[Any, Any, Work]]


class ReplayRun:
    """One run of the command `name`; `terms` gives the settings to fold by.

    It is of a version, by default of the one that readers answer from.
    """

    def __init__(
        self,
        name: str,
        version: str | None = None,
        terms: Callable[[Settings], Settings] = lambda settings: settings,
        options: Sequence[str] = (),
        **how: bool,
    ) -> None:
        """`options` are those that a run which continues this one must have, too.

        `how` are fields of `Work`. Raises NoKafkaKnown, KafkaUnreachable and NoSuchVersion.
        """
        self.settings = named_version(version)
        directory = self.settings.data_dir / self.settings.app / "replay"
        folding = terms(self.settings)
        self._work = Work(folding, directory, KafkaLog(folding), **how)  # type: ignore[arg-type]  # flags alone
        self.terms = replay_terms(self._work, name, list(options))
        self._steps = Steps()

    def findings(
        self, then: Then, narrow: Narrow | None = None, *, resume: bool, processes: int
    ) -> Findings:
        """Carry it out; `then` completes the findings while the files are there.

        `narrow` gives the work with the offsets to fold between. Raises what `replay` raises,
        NoTables and Interrupted.
        """
        keep_private()
        quiet()
        allow_open_files()
        try:
            answer(self.settings, require_tables(self.settings))
            work = self._work
            if narrow is not None:
                work = answer(self.settings, narrow(self.settings, work))
            with (
                directory_of(work.directory, "a replay", self.terms, resume=resume),
                self._steps,
            ):
                carrying_out = self._carried_out(work, processes, then)
                return answer(self.settings, carrying_out, self._steps.pending)
        except Interrupted:
            again = [one for one in sys.argv[1:] if one != "--resume"]
            if "--version" not in again and self.settings.app != self.settings.family:
                again += ["--version", self.settings.app]  # the pointer may move before
            print_error(f"netsold: `{shlex.join(['netsold', *again, '--resume'])}` continues")
            raise

    async def _carried_out(self, work: Work, processes: int, then: Then) -> Findings:
        work, results = await replay(work, processes, self._steps.begin)
        found = findings_of(results.values())
        await then(work, found, self._steps.begin("records read again", None))
        return found
