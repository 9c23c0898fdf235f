"""The reader: follows the log, watches the whole way, and gives answers from its tables."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from schemas.errors import NetsoldError
from schemas.positions import offset_after
from serving.answers import Answers, Source
from serving.audits import AuditWatch
from serving.event_index import EventIndex
from serving.follow_tables import TableFollower
from serving.kept_answers import KeptAnswers
from serving.progress import SALES_JOURNAL, topics_of
from serving.store import now_ms
from serving.watching import Watch
from streams import log
from tables import catalogue
from tables.catalogue import ORDERS_TOPIC, SALES_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from schemas.answers import State
    from serving.progress import ReaderProgress
    from streams.settings import Settings

DIRECTORY: Final = "reader"
"""Below the data directory: the stores of a reader."""

LOG_S: Final = 8.0
"""How long a request waits for Kafka to say where the log was at an instant."""


CANCEL_AGAIN_S: Final = 5.0
"""How long a cancelled task has to end before it is cancelled again."""


class NotReady(NetsoldError):
    """The reader can't answer yet; the sentence says why."""


class Reader(TableFollower):
    """One reader of an application.

    `run` follows until it is cancelled. The other methods may be called meanwhile in its loop. The
    stores are in `directory`, by default in that of the base version.
    """

    def __init__(self, settings: Settings, directory: Path | None = None) -> None:
        super().__init__(settings, directory or settings.data_dir / DIRECTORY)
        self.calendar = settings.terms.calendar
        self._kept = KeptAnswers(self.changes)
        self.index = EventIndex(settings, self)
        self.audits = AuditWatch(settings)
        self.watch = Watch(
            settings,
            lambda: self.progress,
            lambda: self.followed,
            lambda: {at: position for at, (position, _) in self.behind().items()},
            lambda: self.silent_s,
        )

    def answers(self, *, even_incomplete: bool = False, state: State | None = None) -> Answers:
        """Answers from the tables as they are now; `state` in place of the one last judged.

        Raises NotReady while there are no tables, or they are incomplete.
        """
        step = self.changes.ended  # before the snapshot, which has it
        snapshot = self.snapshot()
        if snapshot is None or self._applier is None:
            raise NotReady(f"the reader has no tables yet: {self.waiting_for}")
        if not (snapshot.progress.complete or even_incomplete):
            raise NotReady(f"the reader is reading the tables: {self.remaining():,} records to go")
        return Answers(
            Source(snapshot, self._applier.store.heads, self._kept, step),
            self.settings.terms,
            now_ms(),
            self.watch.state if state is None else state,
        )

    def report_damage(self, error: Exception) -> None:
        """Report a damaged block of the tables' store or of the event index, as the error names it.

        That store is set aside at its next step.
        """
        if str(self.index.directory) in str(error):
            self.index.report_damage(error)
        else:
            super().report_damage(error)

    def has_file_of(self, error: Exception) -> bool:
        """Whether an error names a file of this reader's stores."""
        text = str(error)
        return any(f"{path}/store-" in text for path in (self.directory, self.index.directory))

    def sources(self, *names: str) -> set[str]:
        """The source partitions of the tables of these names, such as `orders-0` and `chats-0`.

        Raises NotReady while there are no tables.
        """
        partitions = self.answers(even_incomplete=True).progress.partitions[catalogue.ORDERS.name]
        return {
            f"{self.settings.topic(topic)}-{partition}"
            for topic in topics_of(*names)
            for partition in partitions
        }

    async def until(self, names: tuple[str, ...], wanted: Mapping[str, int], wait_s: float) -> bool:
        """Wait until tables contain these source offsets; False if `wait_s` passed before."""

        def is_applied(progress: ReaderProgress) -> bool:
            applied = progress.of(*names).applied if progress.complete else {}
            return all(applied.get(source, -1) >= offset for source, offset in wanted.items())

        return await self.until_progress(is_applied, wait_s)

    async def until_progress(
        self, is_enough: Callable[[ReaderProgress], bool], wait_s: float
    ) -> bool:
        """Wait until the progress is enough; False if `wait_s` passed before."""
        async with self.changed:
            try:
                async with asyncio.timeout(wait_s):
                    await self.changed.wait_for(lambda: is_enough(self.progress))
            except TimeoutError:
                return False
        return True

    def now_ms(self) -> int:
        """This machine's clock in epoch milliseconds."""
        return now_ms()

    async def written_by(self, at_ms: int) -> dict[log.At, log.WrittenBy]:
        """Where the partitions of orders and of the sales journal were at an instant of log time.

        Raises NotReady where Kafka doesn't answer.
        """
        names = [self.settings.topic(name) for name in (ORDERS_TOPIC, SALES_TOPIC)]
        try:
            async with asyncio.timeout(LOG_S):
                return await log.written_by(self.settings, names, at_ms)
        except log.READING_FAILS as error:
            raise _unread(error) from error

    async def unjournalled(self, ends: Mapping[log.At, int], wait_s: float) -> str:
        """What the journal lacks of the events before `ends`, after a wait; empty if nothing.

        Raises NotReady where Kafka doesn't answer.
        """
        last = {f"{at[0]}-{at[1]}": end - 1 for at, end in ends.items() if end > 0}
        if await self.until((SALES_JOURNAL,), last, wait_s):
            return ""
        applied = self.progress.of(SALES_JOURNAL).applied
        starts = {
            at: start
            for at, end in ends.items()
            if (start := offset_after(applied.get(f"{at[0]}-{at[1]}", -1))) < end
        }
        try:
            async with asyncio.timeout(LOG_S):
                found = await log.first(self.settings, starts, ends, wait_s)
        except log.READING_FAILS as error:
            raise _unread(error) from error
        lacking = [at for at in starts if at not in found or found[at] is not None]
        return ", ".join(
            f"{topic}-{number} from {starts[topic, number]:,}" for topic, number in lacking
        )

    async def run(self) -> None:
        """Follow the log, watch the whole way, and fill the event index, until cancelled.

        Raises StoreUnusable, as waiting doesn't help.
        """
        runs = (self.watch.run, self.index.run, self.audits.run)
        beside = [asyncio.create_task(run()) for run in runs]
        try:
            await super().run()
        finally:
            await end(*beside)


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they end: a Kafka client that starts or stops may lose a cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


def _unread(error: BaseException) -> NotReady:
    """Why an answer needs the log and has none."""
    why = str(error) or f"Kafka gave no answer within {LOG_S:g} s"
    return NotReady(f"the log can't be read: {why}")
