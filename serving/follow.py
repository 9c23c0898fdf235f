"""Follows the changelogs and the journal into the store until it is cancelled.

A reader belongs to no consumer group and commits no offset, so any number of readers may run. It
waits out lost connections and a Kafka that hasn't started. When a topic was deleted, created
again or cut, it logs that and fills its store anew.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import structlog

from schemas import times
from schemas.errors import NetsoldError
from serving import metrics
from serving.applying import Applier
from serving.progress import NOT_FOLLOWING, SALES_JOURNAL, ReaderProgress
from serving.store import Identity, Store, now_ms
from streams import log, topics
from streams.rocks import is_damage
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from serving.store import Snapshot
    from streams.settings import Settings

logger = structlog.get_logger()

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
GATHER_S: Final = 0.05
"""The pause after a small step. Records of many partitions arrive one by one, and each step has a
fixed cost."""

SMALL_STEP: Final = 2000


class TopicsMissing(NetsoldError):
    """Topics that a reader follows don't exist."""


class _StoreReplaced(Exception):
    """The store was set aside: follow again, from the beginning."""


class Follower:
    """Follows the log into the store, and knows how far that is.

    `run` follows until it is cancelled. The other methods may be called meanwhile in its loop.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.names: Final = {
            topics.changelog(settings, table.name): table.name for table in catalogue.READER_TABLES
        } | {settings.topic(catalogue.SALES_TOPIC): SALES_JOURNAL}
        self.changed = asyncio.Condition()
        self.waiting_for = "it has just started"
        self._store: Store | None = None
        self._applier: Applier | None = None
        self._thread = ThreadPoolExecutor(1, "apply")
        self._damage: str | None = None
        self._answered_ms: int | None = None

    @property
    def progress(self) -> ReaderProgress:
        """How far the tables are; of no partition before there are any."""
        return NOT_FOLLOWING if self._store is None else self._store.progress

    @property
    def followed(self) -> Mapping[str, str]:
        """The ids of the followed topics by name; empty before the first contact."""
        return {} if self._store is None else self._store.identity.topics

    @property
    def silent_s(self) -> float:
        """Seconds since the log last answered, with records or without; 0 before it first did."""
        return 0.0 if self._answered_ms is None else max(0, now_ms() - self._answered_ms) / 1000

    @property
    def live(self) -> bool:
        """Whether the tables contain all that the log had when this process began."""
        return self.progress.live

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

    def snapshot(self) -> Snapshot | None:
        """A snapshot of the store, None before there are tables."""
        if self._store is None or not self.progress.has_tables:
            return None
        return self._store.snapshot()

    def report_damage(self, error: Exception) -> None:
        """Report a damaged block of the store, which is set aside at the next step."""
        self._damage = str(error)

    async def run(self) -> None:
        """Follow the log until cancelled.

        Raises StoreUnusable, as waiting doesn't help.
        """
        pause_s, logged = FIRST_PAUSE_S, ""
        try:
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
                        logger.warning(
                            "the log can't be read, trying again", error=self.waiting_for
                        )
                        logged = self.waiting_for
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            self._thread.shutdown()  # waits for the step that is being applied
            self.close()

    def open_store(self, identity: Identity, beginnings: Mapping[log.At, int]) -> Applier:
        """Open the store of this identity, and the applier of records to it.

        `beginnings` are where the logs begin.
        """
        if self._store is None or self._store.identity != identity:
            self.close()
            self._store = Store(self.settings.data_dir / "reader", identity)
        self._applier = Applier(self._store, self.names, beginnings)
        return self._applier

    def close(self) -> None:
        """Release the store's files."""
        if self._store is not None:
            self._store.close()
            self._store = self._applier = None

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        identity = await identity_of(self.settings, self.names)
        beginnings, ends = await log.bounds(self.settings, self.names)
        applier = await loop.run_in_executor(self._thread, self.open_store, identity, beginnings)
        store = applier.store
        _require_positions(applier, beginnings, ends)
        applier.ends = ends
        logger.info("following", records_behind=self.remaining(), complete=store.progress.complete)
        was_live = False
        async with aclosing(log.follow(self.settings, applier.positions)) as steps:
            async for step in steps:
                began = time.perf_counter()
                self._answered_ms = step.answered_ms or self._answered_ms
                try:
                    applied = await loop.run_in_executor(self._thread, applier.apply, step)
                except Exception as error:
                    if not is_damage(error):
                        raise
                    self.report_damage(error)
                    applied = 0
                if self._damage is not None:
                    why, self._damage = self._damage, None
                    store.set_aside(f"it is damaged: {why}")
                    raise _StoreReplaced
                metrics.APPLIED.inc(applied)
                metrics.APPLY_SECONDS.observe(time.perf_counter() - began)
                if self.live and not was_live:
                    was_live = True
                    through_ms = store.progress.of_all().through_ms
                    as_of = None if through_ms is None else times.format_ms(through_ms)
                    logger.info("live", as_of=as_of)
                async with self.changed:
                    self.changed.notify_all()
                if applied < SMALL_STEP:
                    await asyncio.sleep(GATHER_S)


def _require_positions(
    applier: Applier, beginnings: Mapping[log.At, int], ends: Mapping[log.At, int]
) -> None:
    """Set the store aside where a position lies outside of its log, and raise _StoreReplaced."""
    for at, position in applier.positions.items():
        if not beginnings[at] <= position <= ends[at]:
            offsets = f"{at[0]}-{at[1]}'s offsets {beginnings[at]} to {ends[at]}"
            applier.store.set_aside(
                f"its position {position} lies outside of {offsets}: the log was cut"
            )
            raise _StoreReplaced


async def identity_of(settings: Settings, names: Iterable[str]) -> Identity:
    """The identity of the tables that a reader follows by these topics. Raises TopicsMissing."""
    ids = await topics.topic_ids(settings)
    missing = [name for name in names if name not in ids]
    if missing:
        raise TopicsMissing(f"there is no topic {', '.join(missing)}: run `netsold topics create`")
    return Identity(
        await topics.cluster_id(settings),
        settings.app,
        {name: ids[name] for name in names},
        settings.partitions,
        settings.cycle_ms,
        settings.anchor_ms,
        settings.service_rules.terms,
    )
