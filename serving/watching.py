"""A reader's watch over the whole way: observes the cluster every few seconds, and on demand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from schemas import limits
from serving.evidence import Bounds, Evidence
from serving.judging import Judgement, judge
from serving.judging_cluster import STABLE
from serving.store import now_ms
from streams.broker_access import BROKER_AWAY
from streams.observe import OBSERVE_SECONDS, Observer
from streams.parked import DeadLetters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from schemas.answers import State
    from serving.progress import ReaderProgress
    from streams.log import At
    from streams.observe import Observation
    from streams.parked import Parked
    from streams.settings import Settings

logger = structlog.get_logger()

EVERY_SECONDS: Final = 3.0
"""From one observation to the next, and between readings of dead letters."""

MOST_AGE_SECONDS: Final = 5 * EVERY_SECONDS
"""An older observation says nothing about now."""

READING_SECONDS: Final = 20.0
"""How long one reading of dead letters may take; the next reading resumes where it ended."""


class Watch:
    """What is known of the whole way.

    `progress` and `followed` give the reader's own part as it is now; `silent_s` how long the log
    has not answered it.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Callable[[], ReaderProgress],
        followed: Callable[[], Mapping[str, str]],
        silent_s: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.observation: Observation | None = None
        self.failure: str | None = None
        self.parked: list[Parked] = []
        self.uncounted: str | None = "the first reading is under way"
        self._progress, self._followed, self._silent_s = progress, followed, silent_s
        self._state: State = "unknown"
        self._observed_s = -float("inf")
        self._unstable_since_s: float | None = None
        self._history: deque[tuple[int, Mapping[At, int]]] = deque(maxlen=limits.OBSERVATIONS)
        self._started = self._ended = 0
        self._running = False
        self._wanted = asyncio.Event()
        self._changed = asyncio.Condition()

    @property
    def bounds(self) -> Bounds:
        """The bounds of the settings."""
        return Bounds(self.settings.max_behind_records, self.settings.max_behind_seconds)

    @property
    def age_s(self) -> float:
        """The age of the last observation; infinite before the first."""
        return time.monotonic() - self._observed_s

    @property
    def state(self) -> State:
        """The state for answers, as judged at the last observation. Cheap."""
        if not self._progress().live:
            return "restoring"
        return self._state if self.age_s <= MOST_AGE_SECONDS else "unknown"

    def judgement(self, bounds: Bounds | None = None) -> Judgement:
        """The judgement from the last observation and the tables as they are now."""
        failure = self.failure
        if failure is None and self.observation is not None and self.age_s > MOST_AGE_SECONDS:
            failure = f"the last observation was {self.age_s:,.0f} s ago"
        unstable_s = (
            0.0 if self._unstable_since_s is None else time.monotonic() - self._unstable_since_s
        )
        evidence = Evidence(
            settings=self.settings,
            progress=self._progress(),
            followed=self._followed(),
            now_ms=now_ms(),
            observation=self.observation,
            failure=failure,
            history=tuple(self._history),
            silent_s=self._silent_s(),
            unstable_s=unstable_s,
            parked=self.parked,
            uncounted=self.uncounted,
        )
        return judge(evidence, bounds or self.bounds)

    async def fresh(self) -> None:
        """Wait for an observation that begins after this call, whether or not it succeeds.

        Returns at once if `run` isn't running.
        """
        if not self._running:
            return
        wanted = self._started + 1
        self._wanted.set()
        async with self._changed:
            with contextlib.suppress(TimeoutError):  # `failure` says why, or the age does
                async with asyncio.timeout(3 * OBSERVE_SECONDS):
                    await self._changed.wait_for(lambda: self._ended >= wanted)

    def observed(self, observation: Observation) -> None:
        """Judge by a new observation."""
        self.observation, self.failure, self._observed_s = observation, None, time.monotonic()
        self._history.append((observation.at_ms, observation.ends))
        group = observation.group
        if group is None or not group.members or group.state == STABLE:
            self._unstable_since_s = None
        elif self._unstable_since_s is None:
            self._unstable_since_s = time.monotonic()
        self._state = self.judgement().state

    async def run(self) -> None:
        """Observe until cancelled.

        A failure is in `failure` or `uncounted`, and the attempt is repeated.
        """
        observer, letters = Observer(self.settings), DeadLetters(self.settings)
        self._running = True
        try:
            await asyncio.gather(self._observing(observer), self._counting(letters))
        finally:
            self._running = False
            await observer.close()

    async def _observing(self, observer: Observer) -> None:
        async def observe() -> None:
            self.observed(await observer.observe(self._applied()))

        while True:
            self._wanted.clear()
            self._started += 1
            failure = await _tried(observe)
            if failure is not None:
                self.failure = failure
                self._state = self.judgement().state
            async with self._changed:
                self._ended = self._started
                self._changed.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._wanted.wait()

    async def _counting(self, letters: DeadLetters) -> None:
        async def count() -> None:
            async with asyncio.timeout(READING_SECONDS):
                await letters.read_on()

        while True:
            self.uncounted = await _tried(count)
            self.parked = letters.counts()
            await asyncio.sleep(EVERY_SECONDS)

    def _applied(self) -> dict[At, int]:
        """By source partition, the last offset that all tables contain."""
        applied = {}
        for source, offset in self._progress().of_all().applied.items():
            topic, _, number = source.rpartition("-")
            applied[topic, int(number)] = offset
        return applied


async def _tried(what: Callable[[], Awaitable[None]]) -> str | None:
    """Why something failed, None if it didn't.

    A fault of ours doesn't end the reader: it is logged, and the state is unknown.
    """
    try:
        await what()
    except BROKER_AWAY as error:
        return str(error) or repr(error)
    except Exception as error:
        logger.exception("the watch failed: a fault of ours, report it")
        return f"{error!r}: a fault of ours, report it"
    return None
