from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.errors import KafkaError

from streams import log, topics
from tests.faults.administration import administrator, forget_group, put_back
from tests.faults.evidence import committed
from tests.faults.runner import Run, made

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.faults


async def refused(run: Run) -> str:
    """Start a worker that must refuse to work, in time and with exit code 1.

    What it said of it, in one line.
    """
    worker = run.workers.start("a")
    before = len(worker.log.read_text(encoding="utf-8"))
    assert await run.ends(worker, 30.0) == 1, run.workers.tail()
    said = [
        line
        for line in worker.log.read_text(encoding="utf-8")[before:].splitlines()
        if run.settings.app in line
    ]
    assert said, run.workers.tail()
    assert "Traceback" not in worker.log.read_text(encoding="utf-8")[before:], run.workers.tail()
    return said[0]


async def prepared(run: Run, events: int = 1000) -> None:
    """Work done, and the worker stopped in order."""
    await run.write(made(41, events))
    run.workers.start("a")
    await run.caught_up(restart=False)
    run.workers.stop()


async def test_lost_offsets_are_told_and_can_be_put_back(
    settings: Settings, tmp_path: Path
) -> None:
    """A group without offsets but with tables: no worker counts all again.

    By the remedy it names, work goes on.
    """
    with Run(settings, tmp_path) as run:
        await prepared(run)
        before = await committed(settings)
        await forget_group(settings)
        assert set((await committed(settings)).values()) == {None}
        said = await refused(run)
        assert "no offset is committed" in said
        assert "going on would count twice or lose" in said
        assert "kafka-consumer-groups.sh" in said
        assert any(f"put back offset {offset} with" in said for offset in before.values())
        await put_back(
            settings,
            {
                TopicPartition(settings.topic(name), partition): at or 0
                for (name, partition), at in before.items()
            },
        )
        await run.write(made(42, 500))
        run.workers.start("a")
        await run.verdict()


@pytest.mark.long
async def test_moved_offsets_are_told(settings: Settings, tmp_path: Path) -> None:
    """An offset that somebody set back: both numbers, and the remedy."""
    with Run(settings, tmp_path) as run:
        await prepared(run)
        at = (await committed(settings))["orders", 1]
        assert at is not None
        await put_back(settings, {TopicPartition(settings.topic("orders"), 1): at - 100})
        said = await refused(run)
        assert f"the committed offset is {at - 100}, but orders is at {at - 1}" in said
        assert "docs/runbook.md" in said


async def test_a_log_that_lost_its_head_or_was_made_anew_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    """Retention past the committed offset, a topic deleted and created again, more partitions.

    Refused, each with its sentence.
    """
    orders = settings.topic("orders")
    with Run(settings, tmp_path) as run:
        await prepared(run)
        await run.write(made(43, 500))
        ends = await log.ends(settings, [orders])
        async with administrator(settings) as admin:
            await admin.delete_records(
                {TopicPartition(*at): RecordsToDelete(end) for at, end in ends.items()}
            )
        said = await refused(run)
        assert "lies outside of the log" in said
        assert str(ends[orders, 0]) in said or str(ends[orders, 1]) in said
        async with administrator(settings) as admin:
            await admin.delete_topics([orders])
        await created_again(settings)
        said = await refused(run)
        assert "deleted and created again" in said
        assert "put back offset" not in said
        async with administrator(settings) as admin:
            await admin.create_partitions({settings.topic("sales"): NewPartitions(3)})
        said = await refused(run)
        assert f"topic {settings.topic('sales')} has partitions 3 where netsold needs 2" in said


async def created_again(settings: Settings) -> None:
    """Create what is missing; a topic that is still being deleted takes a moment."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if await topics.create(settings):
                return
        except KafkaError:
            assert time.monotonic() < deadline
        assert time.monotonic() < deadline
