"""The reader: follows the changelogs and the journal into its store until it is cancelled.

It belongs to no consumer group and commits no offset, so any number of readers may run. It waits
out lost connections and a Kafka that hasn't started. When a topic was deleted, created again or
cut, it logs that and fills its store anew.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import structlog

from serving import metrics
from serving.answers import Answers
from serving.applying import Applier
from serving.progress import JOURNAL, NOT_FOLLOWING, ReaderProgress
from serving.store import Identity, Store, now_ms
from serving.watching import Watch
from streams import log, topics
from streams.rocks import is_damage
from tables import catalogue
from tables.cycles import Calendar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schemas.answers import State
    from streams.settings import Settings

logger = structlog.get_logger()

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
GATHER_S: Final = 0.05
"""The pause after a small step. Records of many partitions arrive one by one, and each step has a
fixed cost."""

SMALL_STEP: Final = 2000


class NotReady(Exception):
    """The reader can't answer yet; the sentence says why."""


class TopicsMissing(Exception):
    """Topics that a reader follows don't exist."""


class _StoreReplaced(Exception):
    """The store was set aside: follow again, from the beginning."""


class Reader:
    """One reader of an application.

    `run` follows until it is cancelled. The other methods may be called meanwhile in its loop.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.calendar = Calendar(settings.cycle_ms, settings.anchor_ms)
        self.names: Final = {
            topics.changelog(settings, table.name): table.name for table in catalogue.READER_TABLES
        } | {settings.topic(catalogue.SALES_TOPIC): JOURNAL}
        self._store: Store | None = None
        self._applier: Applier | None = None
        self._changed = asyncio.Condition()
        self._thread = ThreadPoolExecutor(1, "apply")
        self._damage: str | None = None
        self._waiting_for = "it has just started"
        self._answered_ms: int | None = None
        self.watch = Watch(
            settings, lambda: self.progress, lambda: self._followed, lambda: self.silent_s
        )

    # --- what it answers

    def answers(self, *, even_incomplete: bool = False, state: State | None = None) -> Answers:
        """Answers from the tables as they are now; `state` in place of the one last judged.

        Raises NotReady while there are no tables, or they are incomplete.
        """
        if self._store is None or not self.progress.has_tables:
            raise NotReady(f"the reader has no tables yet: {self._waiting_for}")
        if not (self.progress.complete or even_incomplete):
            raise NotReady(f"the reader is reading the tables: {self.remaining():,} records to go")
        return Answers(
            self._store.snapshot(),
            self.calendar,
            self.settings.service_rules,
            now_ms(),
            self.watch.state if state is None else state,
        )

    @property
    def progress(self) -> ReaderProgress:
        """How far the tables are; of no partition before there are any."""
        return NOT_FOLLOWING if self._store is None else self._store.progress

    @property
    def silent_s(self) -> float:
        """Seconds since the log last answered, with records or without; 0 before it first did."""
        return 0.0 if self._answered_ms is None else max(0, now_ms() - self._answered_ms) / 1000

    @property
    def live(self) -> bool:
        """Whether the tables contain all that the log had when this process began."""
        return self.progress.live

    def sources(self) -> set[str]:
        """The source partitions, such as `orders-0` and `chats-0`.

        Raises NotReady while there are no tables.
        """
        partitions = self.answers(even_incomplete=True).progress.partitions[catalogue.ORDERS.name]
        return {
            f"{self.settings.topic(topic)}-{partition}"
            for topic in catalogue.EVENT_TOPICS
            for partition in partitions
        }

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

    async def until(self, names: tuple[str, ...], wanted: Mapping[str, int], wait_s: float) -> bool:
        """Wait until tables contain these source offsets; False if `wait_s` passed before."""

        def is_applied() -> bool:
            applied = self.progress.of(*names).applied if self.progress.complete else {}
            return all(applied.get(source, -1) >= offset for source, offset in wanted.items())

        async with self._changed:
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait_for(is_applied)
            except TimeoutError:
                return False
        return True

    async def change(self) -> None:
        """Wait for the next step, with or without records; at least two arrive a second."""
        async with self._changed:
            await self._changed.wait()

    def report_damage(self, error: Exception) -> None:
        """Report a damaged block of the store, which is set aside at the next step."""
        self._damage = str(error)

    # --- how it follows

    async def run(self) -> None:
        """Follow the log, and watch the whole way, until cancelled.

        Raises StoreUnusable, as waiting doesn't help.
        """
        pause_s, logged = FIRST_PAUSE_S, ""
        watching = asyncio.create_task(self.watch.run())
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._follow()
                except _StoreReplaced:
                    continue
                except (*log.READING_FAILS, TopicsMissing) as error:
                    self._waiting_for = str(error) or repr(error)
                    if time.monotonic() - began > LONGEST_PAUSE_S:
                        pause_s, logged = FIRST_PAUSE_S, ""
                    if self._waiting_for != logged:
                        logger.warning(
                            "the log can't be read, trying again", error=self._waiting_for
                        )
                        logged = self._waiting_for
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
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

    @property
    def _followed(self) -> Mapping[str, str]:
        return {} if self._store is None else self._store.identity.topics

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
                    logger.info(
                        "live", as_of=self.answers().freshness(store.progress.of_all()).as_of
                    )
                async with self._changed:
                    self._changed.notify_all()
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
