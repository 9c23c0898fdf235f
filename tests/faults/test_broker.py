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


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_stop_while_the_broker_is_away_is_bounded(
    settings: Settings, tmp_path: Path, kafka: LocalKafka, how: signal.Signals
) -> None:
    """A worker that can't end in order is cut short, and ends with an error.

    It ends in order where nothing of it is under way, as when it has given up what is in doubt. The
    next worker applies everything.
    """
    with Run(settings, tmp_path) as run:
        await run.write(made(32, 10_000))
        worker = run.workers.start("a")
        await run.progressed(200, restart=False)
        pid = kafka.status().pid
        assert pid is not None
        try:
            os.kill(pid, how)
            worker.signal(signal.SIGTERM)
            code = await run.ends(worker, EXIT_SECONDS + 3.0)
            assert code == worker.logged("is cut short"), run.workers.tail()
        finally:
            await asyncio.to_thread(kafka.kill)
            await asyncio.to_thread(kafka.start, READY_S)
        run.workers.start("a")
        await run.verdict()
