"""Real transactions of bounded work.

A chunk with more rows than one transaction may write is committed in several transactions. Nothing
else changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.evidence import MARK, problems
from tests.faults.runner import Run, made

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

ROWS = 100


async def test_a_chunk_with_more_than_the_bound_is_committed_in_parts(
    settings: Settings, tmp_path: Path
) -> None:
    """Every transaction ends with a mark in its changelogs.

    Between two marks are never more rows than allowed, and the tables are right.
    """
    with Run(settings, tmp_path, CHUNK_RECORDS="4000", TRANSACTION_ROWS=str(ROWS)) as run:
        await run.write(made(94, 2000))
        await run.end_time()
        run.workers.start("a")
        await run.caught_up(restart=False)
        evidence = await run.evidence()
        assert problems(evidence, settings) == []
    for partition in (0, 1):
        sizes, rows = [], 0
        for record in evidence.changelogs["orders", partition]:
            if record.key == MARK:
                sizes.append(rows)
                rows = 0
            else:
                rows += 1
        assert max(sizes) <= ROWS
        assert len(sizes) > 3
        assert sum(sizes) > 2 * ROWS
