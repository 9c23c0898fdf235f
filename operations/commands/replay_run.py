"""What `netsold audit` and `netsold replay` share: options, progress on stderr, and resuming."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from operations.local.data_dir import keep_private
from operations.local.kafka import named_cluster
from operations.output import print_error
from operations.progress import Meter
from operations.replaying.findings import Findings, findings_of
from operations.replaying.live_tables import NoTables
from operations.replaying.processes import quiet
from operations.replaying.running import directory_of, replay, replay_terms
from operations.replaying.source_log import KafkaLog
from operations.replaying.work import Report, Work
from operations.waiting import Interrupted, answer
from streams import topics
from streams.open_files import allow_open_files
from streams.settings import Settings
from tables.catalogue import TABLES

if TYPE_CHECKING:
    from types import TracebackType

Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the last run, which was interrupted.")
]
Processes = Annotated[
    int, typer.Option(min=1, max=64, help="How many processes fold; at most one a core helps.")
]
Then = Callable[[Work, Findings, Report], Awaitable[None]]
Narrow = Callable[[Settings, Work], Coroutine[Any, Any, Work]]


class ReplayRun:
    """One run of the command `name`; `terms` gives the settings to fold by."""

    def __init__(
        self,
        name: str,
        terms: Callable[[Settings], Settings] = lambda settings: settings,
        options: Sequence[str] = (),
        **how: bool,
    ) -> None:
        """`options` are those that a run which continues this one must have, too.

        `how` are fields of `Work`. Raises NoKafkaKnown.
        """
        self.settings = named_cluster()
        self._name = name
        directory = self.settings.data_dir / self.settings.app / "replay"
        folding = terms(self.settings)
        self._work = Work(folding, directory, KafkaLog(folding), **how)  # type: ignore[arg-type]  # flags alone
        self.terms = replay_terms(self._work, name, list(options))
        self._steps = _Steps()

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
            answer(self.settings, self._require_tables())
            work = self._work
            if narrow is not None:
                work = answer(self.settings, narrow(self.settings, work))
            with directory_of(work.directory, self.terms, resume=resume), self._steps:
                carrying_out = self._carried_out(work, processes, then)
                return answer(self.settings, carrying_out, self._steps.pending)
        except Interrupted:
            print_error(f"netsold: `netsold {self._name} --resume` continues")
            raise

    async def _carried_out(self, work: Work, processes: int, then: Then) -> Findings:
        work, results = await replay(work, processes, self._steps.begin)
        found = findings_of(results.values())
        await then(work, found, self._steps.begin("records read again", None))
        return found

    async def _require_tables(self) -> None:
        ids = await topics.topic_ids(self.settings)
        names = [topics.changelog(self.settings, table.name) for table in TABLES]
        missing = [name for name in names if name not in ids]
        if missing:
            raise NoTables(f"topic {missing[0]} is missing: no worker has made the tables yet")


class _Steps:
    """Shows each step's progress, one after the other."""

    def __init__(self) -> None:
        self._meter: Meter | None = None
        self._reports = 0

    def __enter__(self) -> None:
        """Nothing is shown before the first step."""

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """End what shows the last step."""
        if self._meter is not None:
            self._meter.__exit__(kind, error, trace)

    def begin(self, what: str, total: int | None) -> Report:
        """Begin a step; returns what gets how much more is done."""
        self.__exit__()
        meter = self._meter = Meter(what, total)
        meter.__enter__()
        done = 0

        def report(more: int) -> None:
            nonlocal done
            done += more
            self._reports += 1
            meter.at(done)

        return report

    def pending(self) -> tuple[object, str]:
        """For `operations/waiting.py`: what changes while it works."""
        return self._reports, "nothing was read or folded"
