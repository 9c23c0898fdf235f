from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from streams.failpoints import Point
from tables.catalogue import STAGES
from tests.faults.runner import Run, made, note

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.faults

POINTS = [
    Point.AFTER_FIRST_SEND,
    *(
        pytest.param(point, marks=pytest.mark.long)
        for point in (Point.BEFORE_BEGIN, Point.AFTER_OFFSETS)
    ),
]


@pytest.mark.parametrize("point", POINTS)
async def test_frozen_beyond_its_session(settings: Settings, tmp_path: Path, point: Point) -> None:
    """A worker is frozen within a chunk until another worker has applied that chunk.

    After it resumes, its own chunk is never committed.
    """
    items = made(21, 8000)
    with Run(settings, tmp_path) as run:
        await run.write(items[:6000])
        zombie = run.workers.start("zombie", FAILPOINT=f"{point}:9:stop")

        async def is_frozen() -> bool:
            return (
                zombie.process is not None
                and psutil.Process(zombie.process.pid).status() == psutil.STATUS_STOPPED
            )

        await run.until(is_frozen, 60.0, restart=False)
        before = await run.applied()
        note(f"frozen with {before} applied")
        assert before < 6000
        run.workers.start("other")
        await run.caught_up(restart=False)
        note("the other has caught up")
        await run.write(items[6000:7000])
        zombie.signal(signal.SIGCONT)

        async def has_left_or_rejoined() -> bool:
            return (
                not zombie.alive
                or len([line for line in zombie.lines() if line["event"] == "lanes open"]) > 1
            )

        await run.until(has_left_or_rejoined, 30.0, restart=False)
        note(f"the zombie: {'rejoined' if zombie.alive else f'left with {zombie.exits}'}")
        assert zombie.exits in ([], [1]), run.workers.tail()
        await run.write(items[7000:])
        await run.verdict()


@pytest.mark.long
async def test_frozen_at_any_time(settings: Settings, tmp_path: Path) -> None:
    """Signals freeze it between or within chunks.

    It is frozen for shorter and for longer than the session.
    """
    with Run(settings, tmp_path) as run:
        await run.write(made(22, 12_000))
        frozen = run.workers.start("a")
        run.workers.start("b")
        await run.progressed(3000)
        frozen.signal(signal.SIGSTOP)
        other = run.workers.all["b"]

        async def has_all_lanes() -> bool:
            lanes = len(STAGES) * settings.partitions
            return any(
                line["event"] == "lanes open" and line["lanes"] == lanes for line in other.lines()
            )

        await run.until(has_all_lanes, 40.0, restart=False)
        await run.caught_up(restart=False)
        frozen.signal(signal.SIGCONT)
        await run.write(made(23, 1000))
        await run.verdict()
        assert set(frozen.exits) <= {0, 1}
        assert frozen.exits.count(1) <= 1, "a zombie leaves once, and its successor stays"
