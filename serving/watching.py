"""A reader's watch over the whole way.

Observes the cluster every few seconds, and at once for who must know how it is now.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from schemas import limits
from serving.judging import STABLE, Bounds, Evidence, Judgement, judge
from serving.store import now_ms
from streams.broker_access import BROKER_AWAY
from streams.observe import OBSERVE_SECONDS, Observer
from streams.parked import DeadLetters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from schemas.answers import State
    from serving.standing import Standing
    from streams.log import At
    from streams.observe import Observation
    from streams.parked import Parked
    from streams.settings import Settings

log = structlog.get_logger()

EVERY_SECONDS: Final = 3.0
"""From one observation to the next, and between readings of dead letters."""

MOST_AGE_SECONDS: Final = 5 * EVERY_SECONDS
"""What was observed longer ago says nothing about now."""

READING_SECONDS: Final = 20.0
"""How long dead letters are read before they count as uncounted; the next reading goes on there."""


class Watch:
    """What is known of the whole way.

    `standing` and `followed` are the reader's own part, as they are now; `silent_s` its silence.
    """

    def __init__(
        self,
        settings: Settings,
        standing: Callable[[], Standing],
        followed: Callable[[], Mapping[str, str]],
        silent_s: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.observation: Observation | None = None
        self.failure: str | None = None
        self.parked: list[Parked] = []
        self.uncounted: str | None = "the first reading is under way"
        self._standing, self._followed, self._silent_s = standing, followed, silent_s
        self._state: State = "unknown"
        self._observed_s = -float("inf")
        self._unstable_since_s: float | None = None
        self._history: deque[tuple[int, Mapping[At, int]]] = deque(maxlen=limits.OBSERVATIONS)
        self._begun = self._ended = 0
        self._running = False
        self._wanted = asyncio.Event()
        self._changed = asyncio.Condition()

    @property
    def bounds(self) -> Bounds:
        """Those of the settings."""
        return Bounds(self.settings.max_behind_records, self.settings.max_behind_seconds)

    @property
    def age_s(self) -> float:
        """How long ago the last observation was made; infinite before the first."""
        return time.monotonic() - self._observed_s

    @property
    def state(self) -> State:
        """The state for answers, as judged at the last observation: cheap."""
        standing = self._standing()
        if not standing.live:
            return "restoring"
        return self._state if self.age_s <= MOST_AGE_SECONDS else "unknown"

    def judgement(self, bounds: Bounds | None = None) -> Judgement:
        """What the last observation and the tables as they are now come to."""
        failure = self.failure
        if failure is None and self.observation is not None and self.age_s > MOST_AGE_SECONDS:
            failure = f"the last observation was {self.age_s:,.0f} s ago"
        unstable_s = (
            0.0 if self._unstable_since_s is None else time.monotonic() - self._unstable_since_s
        )
        evidence = Evidence(
            self.settings, self._standing(), self._followed(), now_ms(), self.observation, failure, tuple(self._history),
            self._silent_s(), unstable_s, self.parked, self.uncounted,
        )  # fmt: skip
        return judge(evidence, bounds or self.bounds)

    async def fresh(self) -> None:
        """Wait for an observation that begins after this call, whether or not it succeeds.

        Returns at once where `run` doesn't run.
        """
        if not self._running:
            return
        wanted = self._begun + 1
        self._wanted.set()
        async with self._changed:
            with contextlib.suppress(TimeoutError):  # `failure` says why, or the age does
                async with asyncio.timeout(3 * OBSERVE_SECONDS):
                    await self._changed.wait_for(lambda: self._ended >= wanted)

    def observed(self, observation: Observation) -> None:
        """Take an observation in."""
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

        What fails stands in `failure` and `uncounted`, and tried again.
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
            self._begun += 1
            failure = await _tried(observe)
            if failure is not None:
                self.failure = failure
                self._state = self.judgement().state
            async with self._changed:
                self._ended = self._begun
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
        """By source partition, the last offset that all tables hold."""
        applied = {}
        for source, offset in self._standing().least().applied.items():
            topic, _, number = source.rpartition("-")
            applied[topic, int(number)] = offset
        return applied


async def _tried(what: Callable[[], Awaitable[None]]) -> str | None:
    """Why something failed, None if it didn't.

    A fault of ours mustn't end the reader; it is logged, and the state says unknown.
    """
    try:
        await what()
    except BROKER_AWAY as error:
        return str(error) or repr(error)
    except Exception as error:
        log.exception("the watch failed: a fault of ours, report it")
        return f"{error!r}: a fault of ours, report it"
    return None
