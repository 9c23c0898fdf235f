from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.faults.runner import Run, made

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("seed", [1])
async def test_killed_at_random(settings: Settings, tmp_path: Path, seed: int) -> None:
    """Two workers, one or the other killed again and again while events flow: everything counts once."""
    rng = Random(f"kill {seed}")
    with Run(settings, tmp_path) as run:
        await run.write(made(seed, 20_000))
        run.workers.start("a")
        run.workers.start("b")
        await run.progressed(1000)
        killed = await run.kill_at_random(rng, 5)
        assert killed >= 2, "too little work for the test to say anything"
        await run.verdict()
