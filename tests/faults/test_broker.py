from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from streams.app import EXIT_SECONDS
from tests.faults.brokers import READY_S
from tests.faults.runner import BACK_S, Run, made, note

if TYPE_CHECKING:
    from pathlib import Path

    from operations.local.kafka import LocalKafka
    from streams.settings import Settings

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("how", "away_s"),
    [("stop", 2.0), ("kill", 2.0), pytest.param("kill", 40.0, marks=pytest.mark.long)],
)
async def test_a_broker_that_restarts(
    settings: Settings, tmp_path: Path, kafka: LocalKafka, how: str, away_s: float
) -> None:
    """Under load the same worker processes continue without help.

    Neither a person nor a supervisor restarts them.
    """
    with Run(settings, tmp_path) as run:
        await run.write(made(31, 10_000))
        run.workers.start("a")
        run.workers.start("b")
        await run.progressed(2000, restart=False)
        try:
            await asyncio.to_thread(kafka.kill if how == "kill" else kafka.stop)
            note("broker away")
            await asyncio.sleep(away_s)  # how long the fault lasts
        finally:
            await asyncio.to_thread(kafka.start, READY_S)
        note("broker back")
        before = await run.applied()
        assert before < 10_000, "too little work for the test to prove anything"
        await run.progressed(before + 1, BACK_S + away_s, restart=False)
        note("at work")
        await run.caught_up(restart=False)
        await run.verdict()
        assert {code for worker in run.workers.all.values() for code in worker.exits} == {0}, (
            run.workers.tail()
        )


async def test_a_stop_while_the_broker_is_away_is_bounded(
    settings: Settings, tmp_path: Path, kafka: LocalKafka
) -> None:
    """A worker that can't end in order ends with an error.

    The next worker applies everything.
    """
    with Run(settings, tmp_path) as run:
        await run.write(made(32, 2000))
        worker = run.workers.start("a")
        await run.progressed(200, restart=False)
        try:
            # frozen: from one that ends, a worker knows at once that all it began is in doubt, and
            # may end in order
            pid = kafka.status().pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            worker.signal(signal.SIGTERM)
            assert await run.ends(worker, EXIT_SECONDS + 3.0) == 1, run.workers.tail()
        finally:
            await asyncio.to_thread(kafka.kill)
            await asyncio.to_thread(kafka.start, READY_S)
        assert "is cut short" in worker.lines()[-1]["event"]
        run.workers.start("a")
        await run.verdict()
