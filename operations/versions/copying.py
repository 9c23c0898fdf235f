"""Runs a copier until a signal, and shows how far it is."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from operations.in_words import duration
from operations.output import print_error
from operations.versions.progress import Pace
from operations.waiting import Waiting, stopped_within
from streams import topics
from streams.broker_access import BROKER_AWAY, WITHOUT_RIGHTS
from streams.copied import read_copy
from streams.copier import Copier, CopyFenced, CopyInDoubt
from streams.throttle import Throttle
from streams.versions import read_versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings

AGAIN_S: Final = 2.0
"""After a failure, how long until the next attempt."""

END_WITHIN_S: Final = 5.0
"""How long a copier may end its transaction after a signal."""

LINE_EVERY_S: Final = 10.0
DROPPED_EVERY_S: Final = 3.0
"""How often it is read whether the version is still registered."""

POLL_S: Final = 1.0


class CopyRun:
    """One copier's life in this process: through outages, until `stop`.

    `show` gets the progress every ten seconds and at the end, `report` lines for people.
    """

    def __init__(
        self,
        settings: Settings,
        rate: float | None,
        show: Callable[[dict[str, Any]], None],
        report: Callable[[str], None] = print_error,
    ) -> None:
        self._settings = settings
        self._throttle = None if rate is None else Throttle(rate, time.monotonic)
        self._show, self._report = show, report
        self._copied = 0
        self._copier: Copier | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Copy until `stop` is set.

        Raises CopyFenced where another copier runs, NoSuchVersion once the version is dropped,
        TopicsUnfit, and one of WITHOUT_RIGHTS.
        """
        copying = asyncio.create_task(self._copy_again(stop))
        dropped = asyncio.create_task(self._until_dropped())
        tasks = [copying, dropped, asyncio.create_task(self._show_progress())]
        try:
            done, _ = await asyncio.wait([copying, dropped], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _copy_again(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._copy(stop)
            except (CopyFenced, *WITHOUT_RIGHTS):
                raise
            except (CopyInDoubt, *BROKER_AWAY) as error:
                self._report(f"netsold: {error or repr(error)}; it begins again")
                await stopped_within(stop, AGAIN_S)

    async def _until_dropped(self) -> None:
        """Raise NoSuchVersion once the version is dropped.

        An idle copier writes nothing, so it never meets the one that fences it.
        """
        while True:
            await asyncio.sleep(DROPPED_EVERY_S)
            try:
                versions = await read_versions(self._settings)
            except BROKER_AWAY:  # the copier itself reports that
                continue
            if versions.registered:  # a cluster that has just started may not show the topic
                versions.app_of(self._settings.app)

    async def _copy(self, stop: asyncio.Event) -> None:
        (await read_versions(self._settings)).app_of(self._settings.app)  # it may be dropped by now
        await topics.require(self._settings)
        async with Copier(self._settings) as copier:
            before, self._copier = self._copied, copier
            try:
                await copier.run(stop, self._wait)
            finally:
                self._copied, self._copier = before + copier.copied, None

    async def _wait(self, records: int) -> None:
        if self._throttle is not None:
            await self._throttle.wait(records)

    async def _show_progress(self) -> None:
        pace, shown_s = Pace(), time.monotonic()
        while True:
            await asyncio.sleep(POLL_S)
            copied = self._copied + (0 if self._copier is None else self._copier.copied)
            if time.monotonic() - shown_s < LINE_EVERY_S:
                continue
            shown_s = time.monotonic()
            try:
                state = await read_copy(self._settings)
            except BROKER_AWAY:  # the copier itself reports that
                continue
            pace.add(time.monotonic(), copied, state.left)
            self._show(progress(copied, state.left, pace))


def progress(copied: int, left: int, pace: Pace) -> dict[str, Any]:
    """How far a copier is, with stable names."""
    return {
        "copied": copied,
        "records_left": left,
        "records_per_second": pace.records_s,
        "seconds_left": pace.left_s,
    }


def progress_line(app: str, found: dict[str, Any]) -> str:
    """The same for people."""
    text = f"netsold: {app}: {found['copied']:,} records copied, {found['records_left']:,} left"
    if found["seconds_left"] and found["records_per_second"]:
        text += (
            f", {found['records_per_second']:,.0f} records/s, "
            f"about {duration(found['seconds_left'])} left"
        )
    return text


def copy(settings: Settings, rate: float | None, show: Callable[[dict[str, Any]], None]) -> None:
    """Copy the log of a version until SIGTERM or Ctrl-C. Raises as `CopyRun.run`."""

    async def bounded() -> None:
        waiting = Waiting(settings, float("inf"), print_error)
        running = CopyRun(settings, rate, show).run(waiting.stop)
        await waiting.bounded(running, lambda: None, END_WITHIN_S)

    asyncio.run(bounded())
