"""The reader: follows the log, watches the whole way, and gives answers from its tables."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from schemas.errors import NetsoldError
from serving.answers import Answers
from serving.follow import Follower
from serving.store import now_ms
from serving.watching import Watch
from tables import catalogue
from tables.cycles import Calendar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.answers import State
    from streams.settings import Settings


class NotReady(NetsoldError):
    """The reader can't answer yet; the sentence says why."""


class Reader(Follower):
    """One reader of an application.

    `run` follows until it is cancelled. The other methods may be called meanwhile in its loop.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.calendar = Calendar(settings.cycle_ms, settings.anchor_ms)
        self.watch = Watch(
            settings, lambda: self.progress, lambda: self.followed, lambda: self.silent_s
        )

    def answers(self, *, even_incomplete: bool = False, state: State | None = None) -> Answers:
        """Answers from the tables as they are now; `state` in place of the one last judged.

        Raises NotReady while there are no tables, or they are incomplete.
        """
        snapshot = self.snapshot()
        if snapshot is None:
            raise NotReady(f"the reader has no tables yet: {self.waiting_for}")
        if not (snapshot.progress.complete or even_incomplete):
            raise NotReady(f"the reader is reading the tables: {self.remaining():,} records to go")
        return Answers(
            snapshot,
            self.calendar,
            self.settings.service_rules,
            now_ms(),
            self.watch.state if state is None else state,
        )

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

    async def until(self, names: tuple[str, ...], wanted: Mapping[str, int], wait_s: float) -> bool:
        """Wait until tables contain these source offsets; False if `wait_s` passed before."""

        def is_applied() -> bool:
            applied = self.progress.of(*names).applied if self.progress.complete else {}
            return all(applied.get(source, -1) >= offset for source, offset in wanted.items())

        async with self.changed:
            try:
                async with asyncio.timeout(wait_s):
                    await self.changed.wait_for(is_applied)
            except TimeoutError:
                return False
        return True

    async def change(self) -> None:
        """Wait for the next step, with or without records; at least two arrive a second."""
        async with self.changed:
            await self.changed.wait()

    async def run(self) -> None:
        """Follow the log, and watch the whole way, until cancelled.

        Raises StoreUnusable, as waiting doesn't help.
        """
        watching = asyncio.create_task(self.watch.run())
        try:
            await super().run()
        finally:
            watching.cancel()
            await asyncio.wait([watching])
