"""The hub of all streams of an app: it opens and counts them, and works while there are any."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from schemas import limits
from serving import metrics
from serving.entries import Entries, JournalView
from serving.event_ids import log_tag
from serving.problems import Kind, ProblemRaised
from serving.reader import NotReady
from serving.sending import Sender
from serving.stream import Source, Stream
from streams.rocks import is_damage
from tables.catalogue import SALES_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from serving.access import Access
    from serving.answers import Answers
    from serving.channels import Channel
    from serving.reader import Reader

logger = structlog.get_logger()

TICK_S: Final = 0.1
"""From one tick to the next at least: what changes meanwhile is sent once."""

IDLE_S: Final = 1.0
"""The longest time without a tick."""


class Hub:
    """All streams of one app, at most `most`. It works while there are any."""

    def __init__(self, reader: Reader, access: Access, most: int = limits.STREAMS) -> None:
        self.most = most
        self._access = access
        self.count = 0
        self._reader = reader
        self._sender = Sender(access, reader.settings.app)
        self._watchers = self._sender.watchers
        self._log = ""
        self._journal: JournalView | None = None
        self._tokens = access.tokens_version
        self._woken = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._has_ended = False

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count a stream while it is open. Raises ProblemRaised where as many are as may be."""
        if self.count >= self.most:
            raise ProblemRaised(
                Kind.BUSY, f"{self.count} streams are open, the most at once: try again later"
            )
        self.count += 1
        metrics.STREAMS.inc()
        try:
            yield
        finally:
            self.count -= 1
            metrics.STREAMS.dec()

    @contextmanager
    def stream(
        self,
        channels: Sequence[Channel],
        sent: Mapping[int, int],
        may_go_on: Callable[[], bool],
    ) -> Iterator[Stream]:
        """A stream of channels while it is open; `sent` as `Entries` has it."""
        settings = self._reader.settings
        known = [self._watchers.known(channel) for channel in dict.fromkeys(channels)]
        entries = Entries(
            (channel for channel in known if channel.answer is None), settings.partitions, sent
        )
        journal = settings.topic(SALES_TOPIC)
        source = Source(self._journal_now, journal, log_tag(self._reader))
        stream = Stream(known, entries, source, may_go_on)
        changes = self._reader.changes
        self._sender.add(stream)
        changes.watched = self._watchers.by_change
        stream.begins_after = changes.begun  # that step may have passed over what is watched now
        self._woken.set()
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        if self._has_ended or not may_go_on():
            stream.close()
        try:
            yield stream
        finally:
            self._sender.remove(stream)

    def close(self) -> None:
        """End all streams."""
        for stream in self._watchers.streams:
            stream.close()

    def end(self) -> None:
        """End all streams, and those that are still being opened: another hub has the next ones."""
        self._has_ended = True
        self.close()

    async def _work(self) -> None:
        try:
            while self._watchers.streams:
                began_s = time.monotonic()
                await self._tick()
                await asyncio.sleep(max(0.0, TICK_S - (time.monotonic() - began_s)))
                if not self._sender.is_behind:
                    await self._moved()
        except Exception:
            logger.exception("the streams of events are ended by a fault")
            raise
        finally:
            self._journal = None
            self.close()

    async def _tick(self) -> None:
        """A tick; a damaged store is reported, and filled anew."""
        self._end_streams_of_another_log()
        self._end_revoked_streams()
        self._journal = None  # a snapshot keeps files open
        changes = self._reader.changes
        ended = changes.ended  # before the snapshot, which has these steps
        self._sender.note(changes.drain())
        try:
            await self._sender.tick(self._answers(), ended)
        except Exception as error:
            if not is_damage(error):
                raise
            self._reader.report_damage(error)

    async def _moved(self) -> None:
        """Wait for a change that concerns a stream or for a new stream, at most IDLE_S."""
        self._woken.clear()
        waiting = [asyncio.create_task(one) for one in (self._changed(), self._woken.wait())]
        try:
            await asyncio.wait(waiting, timeout=IDLE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _changed(self) -> bool:
        async with self._reader.changed:
            return await self._reader.changed.wait_for(lambda: self._reader.changes.waits)

    def _end_streams_of_another_log(self) -> None:
        """A log that was created anew has other positions: clients must begin again."""
        if self._reader.followed:
            former, self._log = self._log, log_tag(self._reader)
            if former not in {"", self._log}:
                self.close()

    def _end_revoked_streams(self) -> None:
        """End the streams whose tokens don't stand in the file any more."""
        former, self._tokens = self._tokens, self._access.tokens_version
        if former != self._tokens:
            for stream in self._watchers.streams:
                if not stream.may_go_on():
                    stream.close()

    def _journal_now(self) -> JournalView | None:
        """The journal as the tables have it now, one view for all streams until they move."""
        if self._journal is None or self._journal.progress is not self._reader.progress:
            answers = self._answers()
            self._journal = None if answers is None else JournalView(answers, self._access)
        return self._journal

    def _answers(self) -> Answers | None:
        """Answers from the tables as they are now; None while they are incomplete."""
        try:
            return self._reader.answers()
        except NotReady:
            return None
