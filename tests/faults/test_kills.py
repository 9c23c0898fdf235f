from __future__ import annotations

import asyncio
import shutil
import socket
from random import Random
from typing import TYPE_CHECKING

import pytest

from operations.commands.tables import from_reader
from operations.reader_client import NoReader, ReaderNotReady
from operations.recounting import recount_by
from schemas.times import DAY_MS, parse_ms
from streams.failpoints import Point
from tests.faults.runner import BACK_S, Run, made, note
from tests.terms import by_terms, rules_file

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("seed", "events", "kills"),
    [
        (1, 15_000, 3),
        *(pytest.param(seed, 60_000, 12, marks=pytest.mark.long) for seed in (2, 3, 4)),
    ],
)
async def test_killed_at_random(
    settings: Settings, tmp_path: Path, seed: int, events: int, kills: int
) -> None:
    """Two workers are killed again and again while events arrive.

    Everything counts once, and a reader's answers agree.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings = settings.model_copy(update={"reader_port": probe.getsockname()[1]})
    with Run(settings, tmp_path) as run:
        await run.write(made(seed, events))
        run.workers.serve()
        run.workers.start("a")
        run.workers.start("b")
        await run.progressed(1000)
        killed = await run.kill_at_random(Random(f"kill {seed}"), kills)
        assert killed >= 2, "too little work for the test to prove anything"
        run.workers.kill(run.workers.reader)
        run.workers.serve()
        await run.verdict()
        end_ms = max(parse_ms(event["occurred_at"]) for event in run.events) + DAY_MS
        counted = recount_by(
            settings.rules.values,
            run.events,
            as_of_ms=end_ms,
        )

        async def answered() -> bool:
            try:
                return await asyncio.to_thread(from_reader, settings) == counted
            except (NoReader, ReaderNotReady):
                return False

        await run.until(answered, BACK_S, restart=False)


@pytest.mark.parametrize("cycle_days", [30, 1])
async def test_killed_at_every_named_point(
    settings: Settings, tmp_path: Path, cycle_days: int
) -> None:
    """One worker is killed at each step of a chunk and of opening.

    The next one works within seconds, and nothing counts twice. With cycles of a day, their ends
    are sent all the time.
    """
    settings = by_terms(settings, cycle_days=cycle_days)
    rules = rules_file(tmp_path / "rules.toml", cycle_days=cycle_days)
    with Run(settings, tmp_path, RULES=str(rules)) as run:
        await run.write(made(5, 12_000))
        for number, point in enumerate(Point):
            # The first worker opens empty stores, so only later ones pass recovery. Higher
            # counts are a few chunks later.
            count = 1 if point in {Point.IN_INIT, Point.BEFORE_BEGIN} else 2 + number
            if point is Point.IN_RECOVERY:
                continue
            worker = run.workers.start("a", FAILPOINT=f"{point}:{count}")
            assert await run.ends(worker) == -9, point
            note(f"killed at {point}, pass {count}, {await run.applied()} applied")
        for store in run.stores():
            shutil.rmtree(store)
        assert await run.ends(run.workers.start("a", FAILPOINT=f"{Point.IN_RECOVERY}:1")) == -9
        before = await run.applied()
        run.workers.start("a")
        await run.progressed(before + 1, BACK_S)
        await run.verdict()
        assert len(run.workers.all["a"].exits) == len(Point) + 1
