"""How far a version is behind, how quickly it goes, and how long that takes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from threading import Thread
from typing import TYPE_CHECKING, Final

from operations.in_words import duration
from operations.output import print_error
from streams.backlog import backlog
from streams.broker_access import BROKER_AWAY
from tables.catalogue import EVENT_TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.backlog import Backlog
    from streams.log import At
    from streams.settings import Settings

POLL_SECONDS: Final = 2.0
LINE_EVERY_S: Final = 10.0
SPAN_S: Final = 30.0
"""The time over which the pace is taken."""

CATCH_UP_SECONDS: Final = 30.0
"""A version keeps up, and may be promoted, if it has applied what the log had so long ago."""


class Pace:
    """The pace of a version, by what it had applied and not yet applied at some instants.

    Times are in seconds.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()

    def add(self, now_s: float, applied: int, left: int) -> None:
        """So many records are applied by now, and so many are left."""
        self._samples.append((now_s, applied, left))
        while self._samples[-1][0] - self._samples[0][0] > SPAN_S and len(self._samples) > 2:  # noqa: PLR2004 - a pace needs two
            self._samples.popleft()

    @property
    def records_s(self) -> float | None:
        """Records that are applied a second; None while that is not known."""
        (began_s, first, _), (now_s, last, _) = self._samples[0], self._samples[-1]
        return None if now_s <= began_s else (last - first) / (now_s - began_s)

    @property
    def left_s(self) -> float | None:
        """How long what is left takes, at the pace at which it becomes less.

        None while that is not known, or it does not become less, as at the end of a log that grows.
        """
        (began_s, _, before), (now_s, _, left) = self._samples[0], self._samples[-1]
        if not left:
            return 0.0
        return None if left >= before else left * (now_s - began_s) / (before - left)


def applied_of(settings: Settings, found: Backlog) -> int:
    """The offsets of events that are applied, added up."""
    events = {settings.topic(name) for name in EVENT_TOPICS}
    return sum(offset for (topic, _), offset in found.following.items() if topic in events)


class CatchUp:
    """Reports, in a thread of its own, how a version's worker in this process catches up.

    It ends with the process. `report` gets lines.
    """

    def __init__(self, settings: Settings, report: Callable[[str], None] = print_error) -> None:
        self._settings = settings
        self._report = report

    def start(self) -> None:
        """Begin."""
        Thread(target=lambda: asyncio.run(self._run()), daemon=True).start()

    async def _run(self) -> None:
        pace, shown_s, app = Pace(), float("-inf"), self._settings.app
        earlier: deque[tuple[float, Mapping[At, int]]] = deque()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                now = await backlog(self._settings)
            except BROKER_AWAY:  # the worker itself reports that
                continue
            at_s, applied = time.monotonic(), applied_of(self._settings, now)
            pace.add(at_s, applied, now.records)
            while earlier and at_s - earlier[0][0] > CATCH_UP_SECONDS:
                earlier.popleft()
            # what the log had lately; while events flow, something is always left
            if applied and any(now.has_reached(ends) for _, ends in earlier):
                self._report(
                    f"netsold: {app} has caught up, and goes on; compare it by "
                    "`netsold rebuild diff`, in another terminal"
                )
                return
            earlier.append((at_s, now.ends))
            if at_s - shown_s >= LINE_EVERY_S:
                shown_s = at_s
                self._report(f"netsold: {app}: {progress_line(pace, now)}")


def progress_line(pace: Pace, now: Backlog) -> str:
    """The records that are left, the pace, and the time left."""
    left_s, records_s = pace.left_s, pace.records_s
    text = f"{now.records:,} records behind"
    if records_s is not None:
        text += f", {records_s:,.0f} events/s"
    return text if left_s is None else f"{text}, about {duration(left_s)} left"
