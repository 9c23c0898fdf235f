from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.faults.brokers import READY_S
from tests.faults.runner import Run, made, note

if TYPE_CHECKING:
    from pathlib import Path

    from operations.local.kafka import LocalKafka
    from streams.settings import Settings
    from tests.faults.workers import Worker

pytestmark = pytest.mark.faults


def opened(worker: Worker) -> int:
    """How many times a worker has opened lanes."""
    return sum(line["event"] == "lanes open" for line in worker.lines())


@pytest.mark.parametrize(
    ("events", "rounds"), [(15_000, 1), pytest.param(100_000, 6, marks=pytest.mark.long)]
)
async def test_workers_join_and_leave_under_load(
    settings: Settings, tmp_path: Path, events: int, rounds: int
) -> None:
    """A second worker joins, works and leaves in order: none fails, and nothing counts twice."""
    with Run(settings, tmp_path) as run:
        await run.write(made(71, events))
        run.workers.start("a")
        await run.progressed(500, restart=False)
        for number in range(1, rounds + 1):
            second = run.workers.start("b")

            async def joined(worker: Worker = second, times: int = opened(second)) -> bool:
                return opened(worker) > times

            await run.until(joined, 40.0, restart=False)
            note(f"joined {number} at {await run.applied()}")
            await run.progressed(min(events, await run.applied() + 200), restart=False)
            await asyncio.to_thread(run.workers.stop_one, second)
            note(f"left at {await run.applied()}")
        await run.caught_up(events / 250 + 60, restart=False)
        await run.verdict()
        assert {code for worker in run.workers.all.values() for code in worker.exits} == {0}


@pytest.mark.long
async def test_half_a_million_events_under_kills_and_a_broker_restart(
    settings: Settings, tmp_path: Path, kafka: LocalKafka
) -> None:
    """Everything counts once.

    Two workers are killed in turn every few seconds, and the broker in between.
    """
    rng = Random("long")
    with Run(settings, tmp_path, CHUNK_RECORDS="1000") as run:
        await run.write(made(72, 500_000))
        run.workers.start("a")
        run.workers.start("b")
        kills = await run.kill_at_random(rng, 8)
        try:
            await asyncio.to_thread(kafka.kill)
        finally:
            await asyncio.to_thread(kafka.start, READY_S)
        kills += await run.kill_at_random(rng, 20)
        note(f"{kills} kills")
        assert kills >= 15, "too little work for the test to prove anything"
        await run.caught_up(600.0)
        await run.verdict()
