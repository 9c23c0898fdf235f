"""A reader's watch over the whole way: observes the cluster every few seconds, and on demand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from schemas import limits
from serving.evidence import Bounds, Evidence
from serving.hanging_watch import HangingWatch, tried
from serving.judging import Judgement, judge
from serving.letter_watch import LetterWatch
from serving.rates import Rates
from serving.store import now_ms
from streams.build import this_build
from streams.copied import read_copy_if_any
from streams.observe import OBSERVE_SECONDS, STABLE_GROUP, Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemas.answers import State
    from serving.progress import ReaderProgress
    from streams.copied import CopyState
    from streams.log import At
    from streams.observe import Observation
    from streams.settings import Settings

EVERY_SECONDS: Final = 3.0
"""From one observation to the next."""

MOST_AGE_SECONDS: Final = 5 * EVERY_SECONDS
"""An older observation says nothing about now."""


_Readings = deque[tuple[int, "Mapping[At, int]"]]
"""Offsets by partition, each with the time in epoch milliseconds, oldest first."""


class Watch:
    """What is known of the whole way.

    `progress` and `followed` give the reader's own part as it is now, `positions` its next offsets;
    `silent_s` how long the log has not answered it.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Callable[[], ReaderProgress],
        followed: Callable[[], Mapping[str, str]],
        positions: Callable[[], Mapping[At, int]],
        silent_s: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.observation: Observation | None = None
        self.failure: str | None = None
        self.copy: CopyState | None = None
        self.letters, self.hanging = LetterWatch(settings), HangingWatch(settings)
        self._progress, self._followed, self._silent_s = progress, followed, silent_s
        self._positions = positions
        self.rates = Rates()
        self._state: State = "unknown"
        self._observed_s = -float("inf")
        self._unstable_since_s: float | None = None
        self._history: _Readings = deque(maxlen=limits.OBSERVATIONS)
        self._applied_at: _Readings = deque(maxlen=limits.OBSERVATIONS)
        self._started, self._ended, self._running = 0, 0, False
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
            applied=tuple(self._applied_at),
            silent_s=self._silent_s(),
            unstable_s=unstable_s,
            parked=self.letters.parked,
            uncounted=self.letters.uncounted,
            rates=self.rates.per_second(now_ms()),
            build=str(this_build()),
            copy=self.copy,
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
        self._applied_at.append((observation.at_ms, observation.applied))
        self.rates.add(observation.at_ms, {**observation.ends, **self._positions()})
        group = observation.group
        if group is None or not group.members or group.state == STABLE_GROUP:
            self._unstable_since_s = None
        elif self._unstable_since_s is None:
            self._unstable_since_s = time.monotonic()
        self._state = self.judgement().state

    async def run(self) -> None:
        """Observe until cancelled.

        A failure is in `failure` or `letters.uncounted`, and the attempt is repeated.
        """
        observer = Observer(self.settings)
        self._running = True
        try:
            await asyncio.gather(
                self._observing(observer), self.letters.run(), self.hanging.run(self._alive)
            )
        finally:
            self._running = False
            await observer.close()

    async def _observing(self, observer: Observer) -> None:
        async def observe() -> None:
            async with asyncio.timeout(OBSERVE_SECONDS):
                self.copy = await read_copy_if_any(self.settings)
            self.observed(await observer.observe(self._applied()))

        while True:
            self._wanted.clear()
            self._started += 1
            failure = await tried(observe)
            if failure is not None:
                self.failure = failure
                self._state = self.judgement().state
            async with self._changed:
                self._ended = self._started
                self._changed.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._wanted.wait()

    def _alive(self) -> list[int]:
        """The brokers that answered the last observation."""
        brokers = {} if self.observation is None else self.observation.brokers
        return [broker for broker, answers in brokers.items() if answers]

    def _applied(self) -> dict[At, int]:
        """By source partition, the last offset that all tables contain."""
        applied = {}
        for source, offset in self._progress().of_all().applied.items():
            topic, _, number = source.rpartition("-")
            applied[topic, int(number)] = offset
        return applied
