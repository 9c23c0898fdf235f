"""Answers from the version that the pointer names, once its tables are as far as the log.

When the pointer moves, a second reader follows that version beside the one that answers, in a
directory of its own. Once it has caught up it answers, from one request to the next. The former
one runs on until the requests that began on it are answered; then it is stopped, and its store
stays, so that a rollback catches up from there. At most two readers run at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog

from schemas.errors import NetsoldError
from serving.catch_up import CatchUp
from serving.pointer import have_same_tables
from serving.reader import end
from serving.store import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from serving.pointer import PointerReader, Pointing
    from serving.reader import Reader
    from serving.version_state import VersionState
    from serving.version_stores import VersionStores
    from streams.settings import Settings

logger = structlog.get_logger()

STEP_S: Final = 0.1
"""From one step to the next."""

FINISH_S: Final = 60.0
"""How long the former reader runs on. No request waits longer for one: for its `min_position`, for
the journal, for Kafka. What a request reads after that is in its snapshot."""

RETRY_S: Final = 30.0
"""After which time a version that failed is prepared again."""


class Switch:
    """Runs the reader that answers, and prepares the next one.

    `make` makes the reader of a version, and `swapped` is called when another one answers.
    """

    def __init__(
        self,
        state: VersionState,
        pointer: PointerReader,
        stores: VersionStores,
        make: Callable[[Settings], Reader],
        swapped: Callable[[], None],
    ) -> None:
        self.state = state
        self._pointer, self._stores = pointer, stores
        self._make, self._swapped = make, swapped
        self._running: dict[Reader, asyncio.Task[None]] = {}
        self._kept: Collection[str] = ()
        self._catch_up = CatchUp()
        self._finishes_s = 0.0
        self._failed = "", 0.0
        """The version that failed last, and when to try it again."""

    async def run(self) -> None:
        """Follow the pointer until cancelled.

        Raises what makes the reader that answers fail, such as StoreUnusable.
        """
        reading = asyncio.create_task(self._pointer.run())
        try:
            while True:
                await self._step()
                await asyncio.sleep(STEP_S)
        finally:
            await end(reading, *self._running.values())

    async def _step(self) -> None:
        state, pointing = self.state, self._pointer.pointing
        state.pointing, state.unread = pointing, self._pointer.unread
        task = self._running.get(state.answering)
        if task is not None and task.done():
            task.result()  # raises
        if pointing is None:
            state.answering.waiting_for = state.unread or "the pointer to a version is read first"
            return
        if task is None:
            self._begin(pointing)
        await self._stop_finished()
        await self._prepare(pointing)
        kept = {one.settings.app for one in self._running} | pointing.versions.keys()
        if kept != self._kept:
            self._kept = kept
            await self._stores.delete_others(kept)

    def _begin(self, pointing: Pointing) -> None:
        """Begin with the version that was answered last, if there still is one, else the pointed.

        So a process that is started again while it prepares a version answers at once.
        """
        last = self._stores.answered_last()
        settings = pointing.versions[last if last in pointing.versions else pointing.pointed]
        reader = self.state.answering
        if not have_same_tables(reader.settings, settings):
            reader = self._make(settings)
        self._start(reader)
        self._answer(reader)

    def _start(self, reader: Reader) -> None:
        self._running[reader] = asyncio.create_task(reader.run())

    async def _stop(self, reader: Reader) -> None:
        task = self._running.pop(reader)
        await end(task)
        with contextlib.suppress(asyncio.CancelledError):
            if (error := task.exception()) is not None:
                logger.warning("a reader that was stopped had failed", error=str(error))

    def _answer(self, reader: Reader) -> None:
        """Answer the next requests from a reader; nothing else runs meanwhile."""
        reader.is_beside = False
        version = reader.settings.app
        self.state.answering, self.state.since_ms = reader, now_ms()
        self._swapped()
        self._pointer.answered = version
        self._stores.note_answered(version)
        logger.info("answers from a version", version=version)

    async def _stop_finished(self) -> None:
        former = self.state.finishing
        if former is not None and _now_s() >= self._finishes_s:
            self.state.finishing = None
            await self._stop(former)

    async def _prepare(self, pointing: Pointing) -> None:
        """Prepare the pointed version, and answer from it once it has caught up."""
        state, pointed = self.state, pointing.pointed
        if state.preparing is not None and state.preparing.settings.app != pointed:
            other, state.preparing = state.preparing, None
            await self._stop(other)
        if state.answering.settings.app == pointed:
            state.unprepared = None
            return
        reader = state.preparing or self._prepared(pointing.versions[pointed])
        if reader is None:
            return
        task = self._running[reader]
        if task.done():
            self._note_failure(reader, task)
        elif self._is_ready(reader):
            self._swap(reader)

    def _prepared(self, settings: Settings) -> Reader | None:
        """The reader of a version, which starts; None while two run, or soon after a failure."""
        state, (failed, again_s) = self.state, self._failed
        finishing = state.finishing
        if finishing is not None and have_same_tables(finishing.settings, settings):
            reader, state.finishing = finishing, None
        elif finishing is not None or (failed == settings.app and _now_s() < again_s):
            return None
        else:
            reader = self._make(settings)
            reader.is_beside = True
            self._start(reader)
        state.preparing, state.unprepared = reader, None
        self._catch_up = CatchUp()
        logger.info("prepares a version", version=settings.app)
        return reader

    def _note_failure(self, reader: Reader, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        why = str(error) if isinstance(error, NetsoldError) else f"a fault of ours: {error!r}"
        logger.warning("a version can't be prepared", version=reader.settings.app, error=why)
        del self._running[reader]
        self.state.preparing, self.state.unprepared = None, why
        self._failed = reader.settings.app, _now_s() + RETRY_S

    def _is_ready(self, reader: Reader) -> bool:
        """Whether it lacks nothing that the reader has that answers."""
        if not reader.live or (self.state.answering.index.live and not reader.index.live):
            return False
        return self._catch_up.is_done({**reader.behind(), **reader.index.behind()}, _now_s())

    def _swap(self, reader: Reader) -> None:
        former = self.state.answering
        self.state.preparing, self.state.finishing = None, former
        self._finishes_s = _now_s() + FINISH_S
        self._answer(reader)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
