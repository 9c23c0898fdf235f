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
    """Start a worker that must refuse to work; return its reason.

    It must end in time with exit code 1. The reason is one line of its log.
    """
    worker = run.workers.start("a")
    before = len(worker.log.read_text(encoding="utf-8"))
    assert await run.ends(worker, 30.0) == 1, run.workers.tail()
    lines = [
        line
        for line in worker.log.read_text(encoding="utf-8")[before:].splitlines()
        if run.settings.app in line and "worker starts" not in line
    ]
    assert lines, run.workers.tail()
    assert "Traceback" not in worker.log.read_text(encoding="utf-8")[before:], run.workers.tail()
    return lines[0]


async def prepared(run: Run, events: int = 1000) -> None:
    """Do some work, and stop the worker in order."""
    await run.write(made(41, events))
    run.workers.start("a")
    await run.caught_up(restart=False)
    run.workers.stop()


async def test_lost_offsets_are_refused_and_can_be_put_back(
    settings: Settings, tmp_path: Path
) -> None:
    """With tables but without offsets, no worker counts again.

    After the remedy that the worker names, work continues.
    """
    with Run(settings, tmp_path) as run:
        await prepared(run)
        before = await committed(settings)
        await forget_group(settings)
        assert set((await committed(settings)).values()) == {None}
        line = await refused(run)
        assert "no offset is committed" in line
        assert "going on would count twice or lose" in line
        assert "netsold doctor --mend" in line
        assert any(f"put back offset {offset} with" in line for offset in before.values())
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
async def test_moved_offsets_are_refused(settings: Settings, tmp_path: Path) -> None:
    """The line for an offset that was set back has both numbers and the remedy."""
    with Run(settings, tmp_path) as run:
        await prepared(run)
        at = (await committed(settings))["orders", 1]
        assert at is not None
        await put_back(settings, {TopicPartition(settings.topic("orders"), 1): at - 100})
        line = await refused(run)
        assert f"the committed offset is {at - 100}, but orders is at {at - 1}" in line
        assert "docs/runbook.md" in line


async def test_a_truncated_or_recreated_log_is_refused(settings: Settings, tmp_path: Path) -> None:
    """Each fault is refused with its own sentence.

    The faults are retention past the committed offset, a recreated topic and more partitions.
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
        line = await refused(run)
        assert "lies outside of the log" in line
        assert str(ends[orders, 0]) in line or str(ends[orders, 1]) in line
        async with administrator(settings) as admin:
            await admin.delete_topics([orders])
        await create_again(settings)
        line = await refused(run)
        assert "deleted and created again" in line
        assert "put back offset" not in line
        async with administrator(settings) as admin:
            await admin.create_partitions({settings.topic("sales"): NewPartitions(3)})
        line = await refused(run)
        assert f"topic {settings.topic('sales')} has partitions 3 where netsold needs 2" in line


async def create_again(settings: Settings) -> None:
    """Create the missing topics once their deletion has ended."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if await topics.create(settings):
                return
        except KafkaError:
            assert time.monotonic() < deadline
        assert time.monotonic() < deadline
