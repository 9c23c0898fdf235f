"""The reader: follows the changelogs and the journal into its store, for ever, and hands out looks at it.

It belongs to no consumer group and moves no committed offset; any number of readers may run. Lost connections and a Kafka that
isn't there yet are waited for; a topic that was deleted, created again or cut is told, and the store filled anew.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import structlog

from schemas.errors import NetsoldError
from serving import metrics
from serving.applying import Applier
from serving.look import Look
from serving.standing import FOLLOWED, JOURNAL, TABLES, Standing
from serving.store import Identity, Store, now_ms
from serving.watching import Watch
from streams import log, topics
from streams.rocks import is_damage
from tables import catalogue
from tables.cycles import Calendar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings import Settings

logger = structlog.get_logger()

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
GATHER_S: Final = 0.05
"""So long is waited after a small step, as records of many partitions come one by one, and each
step has its price."""

SMALL_STEP: Final = 2000

NOTHING: Final = Standing({name: {} for name in FOLLOWED}, complete=False, live=False)
"""How far the tables are before there are any."""


class NotReady(NetsoldError):
    """There is nothing that may be answered yet; the sentence says why."""


class TopicsMissing(NetsoldError):
    """Topics that a reader follows don't exist."""


class _BeginAnew(Exception):
    """The store was laid aside: follow again, from the beginning."""


class Reader:
    """One reader of an application.

    `run` follows until it is cancelled; everything else may be called meanwhile, in its loop.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.calendar = Calendar(settings.cycle_ms, settings.anchor_ms)
        self.names: Final = {
            topics.changelog(settings, table.name): table.name for table in TABLES
        } | {settings.topic(catalogue.SALES_TOPIC): JOURNAL}
        self._store: Store | None = None
        self._applier: Applier | None = None
        self._changed = asyncio.Condition()
        self._thread = ThreadPoolExecutor(1, "apply")
        self._damage: str | None = None
        self._waiting_for = "it has just begun"
        self._answered_ms: int | None = None
        self.watch = Watch(settings, self._standing, self._followed, lambda: self.silent_s)

    # --- looking
    # ---------------------------------------------------------------------------------------------------------------

    def look(self, *, even_incomplete: bool = False) -> Look:
        """A look at the tables as they are now.

        Raises NotReady while there are none, or they aren't complete.
        """
        if self._store is None or not self._store.standing.reached:
            raise NotReady(f"the reader has no tables yet: {self._waiting_for}")
        if not (self._store.standing.complete or even_incomplete):
            raise NotReady(f"the reader is reading the tables: {self.remaining():,} records to go")
        return Look(
            self._store.moment(),
            self.calendar,
            self.settings.service_rules,
            now_ms(),
            self.watch.state,
        )

    @property
    def silent_s(self) -> float:
        """How long ago the log last answered, be it that there is nothing new.

        0 before it has for the first time.
        """
        return 0.0 if self._answered_ms is None else max(0, now_ms() - self._answered_ms) / 1000

    @property
    def live(self) -> bool:
        """Whether the tables have come to the end that the log had when this process began."""
        return self._store is not None and self._store.standing.live

    def sources(self) -> set[str]:
        """The source partitions, such as `orders-0` and `chats-0`.

        Raises NotReady while there are no tables.
        """
        partitions = self.look(even_incomplete=True).standing.reached[catalogue.ORDERS.name]
        sources = (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC)
        return {
            f"{self.settings.topic(source)}-{partition}"
            for source in sources
            for partition in partitions
        }

    def behind(self) -> dict[log.At, tuple[int, int]]:
        """By followed partition: the next offset to read, and the log's end as last heard.

        Empty before the first contact.
        """
        if self._applier is None:
            return {}
        ends = self._applier.ends
        return {at: (position, ends[at]) for at, position in self._applier.positions.items()}

    def remaining(self) -> int:
        """How many records are still to be read, of all partitions; control records count."""
        return sum(max(0, end - position) for position, end in self.behind().values())

    async def until(self, names: tuple[str, ...], wanted: Mapping[str, int], wait_s: float) -> bool:
        """Wait until tables hold these source offsets; False if `wait_s` passed before."""

        def holds() -> bool:
            applied = (
                self._store.standing.extent(*names).applied
                if self._store and self._store.standing.complete
                else {}
            )
            return all(applied.get(source, -1) >= offset for source, offset in wanted.items())

        async with self._changed:
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait_for(holds)
            except TimeoutError:
                return False
        return True

    async def change(self) -> None:
        """Wait for the next step, whether or not it brings records.

        One comes about every half second at least.
        """
        async with self._changed:
            await self._changed.wait()

    def distrust(self, error: Exception) -> None:
        """Say that the store gave a damaged block: it is laid aside at the next step."""
        self._damage = str(error)

    # --- following
    # -------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow, and watch the whole way, until cancelled.

        Raises what can't be waited out: StoreUnusable.
        """
        pause_s, told = FIRST_PAUSE_S, ""
        watching = asyncio.create_task(self.watch.run())
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._follow()
                except _BeginAnew:
                    continue
                except (*log.READING_FAILS, TopicsMissing) as error:
                    self._waiting_for = str(error) or repr(error)
                    if time.monotonic() - began > LONGEST_PAUSE_S:
                        pause_s, told = FIRST_PAUSE_S, ""
                    if self._waiting_for != told:
                        logger.warning(
                            "the log can't be read, trying again", error=self._waiting_for
                        )
                        told = self._waiting_for
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            self._thread.shutdown()  # a step that is being applied is applied to its end
            self.close()

    def begin(self, identity: Identity, beginnings: Mapping[log.At, int]) -> Applier:
        """Open the store of this identity, and what applies records to it.

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

    def _standing(self) -> Standing:
        return (
            NOTHING
            if self._store is None or not self._store.standing.reached
            else self._store.standing
        )

    def _followed(self) -> Mapping[str, str]:
        return {} if self._store is None else self._store.identity.topics

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        identity = await self._identity()
        beginnings, ends = await log.bounds(self.settings, self.names)
        applier = await loop.run_in_executor(self._thread, self.begin, identity, beginnings)
        store = applier.store
        for at, position in applier.positions.items():
            if not beginnings[at] <= position <= ends[at]:
                name = f"{at[0]}-{at[1]}"
                store.lay_aside(
                    f"its position {position} lies outside of {name}'s offsets {beginnings[at]} to {ends[at]}: the log was cut"
                )
                raise _BeginAnew
        applier.ends = ends
        logger.info("following", records_behind=self.remaining(), complete=store.standing.complete)
        was_live = False
        async with aclosing(log.follow(self.settings, applier.positions)) as steps:
            async for step in steps:
                began, self._answered_ms = (
                    time.perf_counter(),
                    step.answered_ms or self._answered_ms,
                )
                try:
                    applied = await loop.run_in_executor(self._thread, applier.take, step)
                except Exception as error:
                    if not is_damage(error):
                        raise
                    self.distrust(error)
                    applied = 0
                if self._damage is not None:
                    why, self._damage = self._damage, None
                    store.lay_aside(f"it is damaged: {why}")
                    raise _BeginAnew
                metrics.APPLIED.inc(applied)
                metrics.APPLY_SECONDS.observe(time.perf_counter() - began)
                if self.live and not was_live:
                    was_live = True
                    logger.info("live", as_of=self.look().freshness(store.standing.least()).as_of)
                async with self._changed:
                    self._changed.notify_all()
                if applied < SMALL_STEP:
                    await asyncio.sleep(GATHER_S)

    async def _identity(self) -> Identity:
        """Whose tables they are. Raises TopicsMissing."""
        settings = self.settings
        ids = await topics.topic_ids(settings)
        missing = [name for name in self.names if name not in ids]
        if missing:
            raise TopicsMissing(
                f"there is no topic {', '.join(missing)}: run `netsold topics create`"
            )
        cluster = await topics.cluster_id(settings)
        followed = {name: ids[name] for name in self.names}
        calendar = settings.cycle_ms, settings.anchor_ms
        return Identity(
            cluster,
            settings.app,
            followed,
            settings.partitions,
            *calendar,
            settings.service_rules.terms,
        )
