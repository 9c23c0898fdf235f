"""Follows topics into a store of the reader until it is cancelled.

A reader belongs to no consumer group and commits no offset, so any number of readers may run. It
waits out lost connections and a Kafka that hasn't started. When a topic was deleted, created
again or cut, it logs that and fills its store anew.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

import structlog

from schemas.errors import NetsoldError
from serving.store import LogIdentity, now_ms
from serving.turns import in_turns, whole
from streams import log, topics, tracing
from streams.rocks import is_damage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from serving.store import CacheStore
    from serving.turns import Parts
    from streams.log import FollowStep
    from streams.settings import Settings

logger = structlog.get_logger()

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
GATHER_S: Final = 0.02
"""The pause after a small step. Records of many partitions arrive one by one, and each step has a
fixed cost."""


class TopicsMissing(NetsoldError):
    """Topics that a reader follows don't exist."""


class _StoreReplaced(Exception):
    """The store was set aside: follow again, from the beginning."""


class AppliedStep(NamedTuple):
    """A step: how many records were applied and how many fetched, and the seconds it took."""

    records: int
    fetched: int
    seconds: float


def trace_step(store: str, step: AppliedStep) -> None:
    """Make the span of a step that applied records, while traces are on."""
    spans = tracing.spans()
    if spans is not None and step.records:
        spans.step(store, step.records, step.seconds)


class StepApplier(Protocol):
    """Applies fetched records to a store.

    `positions` are the next offsets to fetch, `ends` where the logs end, as last known.
    """

    positions: Mapping[log.At, int]
    ends: Mapping[log.At, int]

    @property
    def store(self) -> CacheStore[Any]:
        """The store."""
        ...

    @property
    def in_turns(self) -> bool:
        """Whether the next step is applied in turns with answers, else in another thread."""
        ...

    def apply(self, step: FollowStep) -> Parts[int]:
        """Apply a step and write it with its positions; returns how many records were applied."""
        ...


Applying = TypeVar("Applying", bound=StepApplier)


class Follower(ABC, Generic[Applying]):
    """Follows topics into a store, and knows how far that is.

    `run` follows until it is cancelled. The other methods may be called meanwhile in its loop.
    """

    def __init__(self, settings: Settings, names: Iterable[str]) -> None:
        self.settings = settings
        self._topics = tuple(names)
        self.changed = asyncio.Condition()
        self.waiting_for = "it has just started"
        self._applier: Applying | None = None
        self._thread = ThreadPoolExecutor(1, "apply")
        self._damage: str | None = None
        self._answered_ms: int | None = None

    @property
    def followed(self) -> Mapping[str, str]:
        """The ids of the followed topics by name; empty before the first contact."""
        return {} if self._applier is None else self._applier.store.identity.topics

    @property
    def silent_s(self) -> float:
        """Seconds since the log last answered, with records or without; 0 before it first did."""
        return 0.0 if self._answered_ms is None else max(0, now_ms() - self._answered_ms) / 1000

    def behind(self) -> dict[log.At, tuple[int, int]]:
        """By followed partition: the next offset to read, and the log's end as last known.

        Empty before the first contact.
        """
        if self._applier is None:
            return {}
        ends = self._applier.ends
        return {at: (position, ends[at]) for at, position in self._applier.positions.items()}

    def remaining(self) -> int:
        """The records still to be read, of all partitions; control records count."""
        return sum(max(0, end - position) for position, end in self.behind().values())

    def report_damage(self, error: Exception) -> None:
        """Report a damaged block of the store, which is set aside at the next step."""
        self._damage = str(error)

    async def change(self) -> None:
        """Wait for the next step, with or without records; at least two arrive a second."""
        async with self.changed:
            await self.changed.wait()

    async def run(self) -> None:
        """Follow the log until cancelled.

        Raises StoreUnusable, as waiting doesn't help.
        """
        try:
            await self.follow()
        finally:
            self._thread.shutdown()  # waits for the step that is being applied
            self.close()

    async def follow(self) -> None:
        """Follow the log until an error that waiting doesn't mend; the store stays open."""
        pause_s, logged = FIRST_PAUSE_S, ""
        while True:
            began = time.monotonic()
            try:
                await self._follow()
            except _StoreReplaced:
                continue
            except (*log.READING_FAILS, TopicsMissing) as error:
                self.waiting_for = str(error) or repr(error)
                if time.monotonic() - began > LONGEST_PAUSE_S:
                    pause_s, logged = FIRST_PAUSE_S, ""
                if self.waiting_for != logged:
                    logger.warning("the log can't be read, trying again", error=self.waiting_for)
                    logged = self.waiting_for
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    @abstractmethod
    async def identity(self) -> LogIdentity:
        """The identity of the log that is followed. Raises TopicsMissing."""

    @abstractmethod
    def new_applier(
        self, former: Applying | None, identity: LogIdentity, beginnings: Mapping[log.At, int]
    ) -> Applying:
        """An applier to the former one's store, or to the newly opened store of this identity."""

    @abstractmethod
    def following(self, applier: Applying) -> None:
        """The log was reached, and its steps follow."""

    @abstractmethod
    def most_records(self) -> int:
        """Most records of the next step."""

    def steps(self, applier: Applying) -> AsyncGenerator[FollowStep, None]:
        """The steps from the applier's positions on; as `log.follow`."""
        return log.follow(self.settings, applier.positions, self.most_records)

    @abstractmethod
    def applied(self, applier: Applying, step: AppliedStep) -> float:
        """A step was applied; returns the seconds to pause before the next one."""

    def open_store(self, identity: LogIdentity, beginnings: Mapping[log.At, int]) -> Applying:
        """Open the store of this identity, and the applier of records to it.

        `beginnings` are where the logs begin.
        """
        if self._applier is not None and self._applier.store.identity != identity:
            self.close()
        self._applier = self.new_applier(self._applier, identity, beginnings)
        return self._applier

    def close(self) -> None:
        """Release the store's files."""
        if self._applier is not None:
            self._applier.store.close()
            self._applier = None

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        identity = await self.identity()
        beginnings, ends = await log.bounds(self.settings, self._topics)
        applier = await loop.run_in_executor(self._thread, self.open_store, identity, beginnings)
        _require_positions(applier, beginnings, ends)
        applier.ends = ends
        self.following(applier)
        async with aclosing(self.steps(applier)) as steps:
            async for step in steps:
                began = time.perf_counter()
                self._answered_ms = step.answered_ms or self._answered_ms
                try:
                    records = await _apply(applier, step, self._thread)
                except Exception as error:
                    if not is_damage(error):
                        raise
                    self.report_damage(error)
                    records = 0
                if self._damage is not None:
                    why, self._damage = self._damage, None
                    applier.store.set_aside(f"it is damaged: {why}")
                    raise _StoreReplaced
                took_s = time.perf_counter() - began
                pause_s = self.applied(applier, AppliedStep(records, step.count, took_s))
                async with self.changed:
                    self.changed.notify_all()
                if pause_s:
                    await asyncio.sleep(pause_s)


async def _apply(applier: StepApplier, step: FollowStep, thread: ThreadPoolExecutor) -> int:
    parts = applier.apply(step)
    if applier.in_turns:
        return await in_turns(parts)
    return await asyncio.get_running_loop().run_in_executor(thread, whole, parts)


def _require_positions(
    applier: StepApplier, beginnings: Mapping[log.At, int], ends: Mapping[log.At, int]
) -> None:
    """Set the store aside where a position lies outside of its log, and raise _StoreReplaced."""
    for at, position in applier.positions.items():
        if not beginnings[at] <= position <= ends[at]:
            offsets = f"{at[0]}-{at[1]}'s offsets {beginnings[at]} to {ends[at]}"
            applier.store.set_aside(
                f"its position {position} lies outside of {offsets}: the log was cut"
            )
            raise _StoreReplaced


async def log_identity(settings: Settings, names: Iterable[str]) -> LogIdentity:
    """The identity of the log that these topics have. Raises TopicsMissing."""
    ids = await topics.topic_ids(settings)
    missing = [name for name in names if name not in ids]
    if missing:
        raise TopicsMissing(f"there is no topic {', '.join(missing)}: run `netsold topics create`")
    return LogIdentity(
        await topics.cluster_id(settings),
        settings.app,
        {name: ids[name] for name in names},
        settings.partitions,
    )
