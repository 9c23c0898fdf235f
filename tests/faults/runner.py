"""One application under test: its input, its workers, waiting by condition, and the verdict."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import aclosing
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any, Self

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from operations.simulation import faults
from operations.simulation.faults import Faults, Poison
from operations.simulation.traffic import Plan, traffic
from schemas import envelope
from schemas.events import topic_of
from schemas.times import DAY_MS, parse_ms
from streams import log, topics
from streams.errors import KafkaUnreachable
from streams.log_writer import Writer
from tables import catalogue
from tests import published
from tests.faults.evidence import (
    SOURCES,
    Evidence,
    committed,
    gather,
    problems,
    published_logs,
    unstable,
)
from tests.faults.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from streams.log import At
    from streams.settings import Settings
    from tests.faults.workers import Worker

START_MS = 1_783_123_200_000
POLL_S = 0.1
BACK_S = 30.0
"""The bound from the last fault until work continues, against hangs; it takes seconds."""

LOST = (KafkaError, OSError, TimeoutError, KafkaUnreachable)
"""The errors of a request while the broker is away."""


def made(seed: int, events: int, wrong: Faults | None = None) -> list[dict[str, Any] | Poison]:
    """The items to write to the log: events of some months, with faults."""
    plan = Plan(seed, f"f{seed}", START_MS, 75 * DAY_MS * 4.3 / events, products=60, shops=8)
    arriving = faults.disturbed(
        islice(traffic(plan), events), wrong or Faults(), seed=seed, day_ms=plan.day_ms, live=False
    )
    return [what for _, what in arriving]


class Run:
    """One application: its input, workers, waiting, and verdict.

    `write` its input, act on its `workers`, wait with `caught_up`, and call `verdict`.
    """

    def __init__(self, settings: Settings, directory: Path, **more: str) -> None:
        self.settings = settings
        self.workers = Workers(settings, directory, **more)
        self.events: list[dict[str, Any]] = []
        self.poison: list[tuple[bytes | None, bytes | None]] = []

    def __enter__(self) -> Self:
        self.workers.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.workers.__exit__(*exception)

    async def write(
        self, items: list[dict[str, Any] | Poison], partition: int | None = None
    ) -> None:
        """Write to the events' topics.

        Poison without a key is written to any partition, or to `partition` if one is given.
        """
        await topics.create(self.settings)
        async with Writer(self.settings) as writer:
            for item in items:
                if isinstance(item, Poison):
                    self.poison.append((item.key, item.value))
                    await writer.send(
                        self.settings.topic(item.topic),
                        item.key,
                        item.value,
                        item.headers,
                        partition,
                    )
                else:
                    self.events.append(item)
                    await writer.send(
                        self.settings.topic(topic_of(item["type"])), *envelope.encode(item)
                    )

    async def applied(self) -> int:
        """How many records of events are applied, by the group's committed offsets.

        It is 0 while the group is unknown.
        """
        try:
            offsets = await committed(self.settings)
        except GroupCoordinatorNotAvailableError:
            return 0
        return sum(
            offset or 0
            for (topic, _), offset in offsets.items()
            if topic in {catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC}
        )

    async def is_caught_up(self) -> bool:
        """Whether every committed record of every source is applied, and no transaction is open."""
        offsets, opened = await asyncio.gather(committed(self.settings), unstable(self.settings))
        if opened or None in offsets.values():
            return False
        return not any(await asyncio.gather(*(self._is_left(name, offsets) for name in SOURCES)))

    async def _is_left(self, name: str, offsets: Mapping[At, int | None]) -> bool:
        """Whether a source has records after the committed offsets."""
        starts = {
            partition: offset
            for (topic, partition), offset in offsets.items()
            if topic == name and offset is not None
        }
        async with aclosing(log.records(self.settings, self.settings.topic(name), starts)) as left:
            async for _ in left:
                return True
        return False

    async def until(
        self, condition: Callable[[], Awaitable[bool]], within_s: float, *, restart: bool = True
    ) -> None:
        """Wait for a condition; meanwhile restart workers that ended, if `restart`."""
        deadline = time.monotonic() + within_s
        while True:
            if restart:
                self.workers.supervise()
            try:
                if await condition():
                    return
            except LOST:
                pass  # the broker is away; the deadline ends it
            assert time.monotonic() < deadline, f"not within {within_s} s\n{self.workers.tail()}"
            await asyncio.sleep(POLL_S)

    async def caught_up(self, within_s: float = 60.0, *, restart: bool = True) -> None:
        """Wait until everything is applied."""
        await self.until(self.is_caught_up, within_s, restart=restart)

    async def progressed(
        self, records: int, within_s: float = BACK_S, *, restart: bool = True
    ) -> None:
        """Wait until `records` records of events are applied in all."""

        async def enough() -> bool:
            return await self.applied() >= records

        await self.until(enough, within_s, restart=restart)

    async def ends(self, worker: Worker, within_s: float = 60.0) -> int:
        """Wait until a worker ends; return its exit code."""
        try:
            return await asyncio.to_thread(worker.ended, within_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{worker.name} didn't end within {within_s} s\n{self.workers.tail()}")

    def stores(self) -> list[Path]:
        """The directories of all local stores, by worker, table and partition."""
        return sorted(
            path.parent
            for path in (self.settings.data_dir / self.settings.app).glob("worker-*/*/*/CURRENT")
        )

    async def until_ends_are_sent(self) -> None:
        """Wait until everything is applied, and then for the ends of cycles."""
        await self.caught_up()
        await self.until(self._ends_are_sent, BACK_S)

    async def _ends_are_sent(self) -> bool:
        """Whether nothing of the ends of cycles is left; it follows what is applied in steps."""
        logs = await published_logs(self.settings)
        return not any(published.unsent(logs, self.settings.terms.calendar))

    async def evidence(self) -> Evidence:
        """Stop the workers and gather what they left."""
        await asyncio.to_thread(self.workers.stop)
        return await gather(self.settings, self.events, self.poison)

    async def end_time(self) -> None:
        """Move event time past all written events in every partition.

        Unanswered inquiries are overdue then.
        """
        at_ms = (
            max((parse_ms(event["occurred_at"]) for event in self.events), default=START_MS)
            + DAY_MS
        )
        value, headers = envelope.tick(at_ms)
        async with Writer(self.settings) as writer:
            for name in (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC):
                for partition in range(self.settings.partitions):
                    await writer.send(self.settings.topic(name), None, value, headers, partition)

    async def verdict(self) -> None:
        """Move event time, wait until everything is applied, stop, and check every invariant."""
        await self.end_time()
        await self.until_ends_are_sent()
        note("caught up")
        evidence = await self.evidence()
        note("stopped")
        found = [
            *problems(evidence, self.settings),
            *(
                f"{worker.name}: a commit's task failed, and nothing handled its error"
                for worker in self.workers.all.values()
                if worker.logged("coro=<ChunkProcessor.")  # aiokafka's own tasks may
            ),
        ]
        note("checked")
        assert not found, "\n".join([*found, self.workers.tail()])

    async def kill_at_random(self, rng: Random, kills: int) -> int:
        """Kill random workers while they work or start; return how many were killed.

        It ends after `kills` kills, or when everything is applied.
        """
        for done in range(kills):
            if rng.random() < 0.7:
                await self.progressed(
                    min(await self.applied() + rng.randint(1, 2000), len(self.events))
                )
            else:
                await asyncio.sleep(rng.uniform(0.2, 3.0))  # a part of the random schedule
            self.workers.supervise()
            victim = rng.choice(self.workers.alive())
            self.workers.kill(victim)
            note(f"killed {victim.name}")
            if await self.is_caught_up():
                return done
        return kills


def note(text: str) -> None:
    """Print a step with its time; pytest shows it if a test fails."""
    print(f"{time.strftime('%X')} {text}")  # noqa: T201 - its purpose
