from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from operations.commands.tables import from_reader
from operations.local.ports import free_port
from operations.reader_client import NoReader, ReaderNotReady
from operations.recounting import recount_by
from schemas.times import DAY_MS, parse_ms
from streams import topics
from streams.settings import Kafka, Settings
from tests.applications import new_application
from tests.faults.administration import administrator
from tests.faults.brokers import COPIES, LEAST_IN_STEP, ThreeBrokers
from tests.faults.runner import Run, made, note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.long]

SLICE = 5000
"""Events that are written before, and while, a broker is away."""

BACK_S = 60.0
"""The bound from a broker's end, or all brokers' restart, until work continues."""


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[ThreeBrokers]:
    """Three brokers that only this test uses."""
    brokers = ThreeBrokers(tmp_path / "brokers")
    try:
        brokers.start()
        yield brokers
    finally:
        brokers.kill()


@pytest.fixture
def cluster(brokers: ThreeBrokers, tmp_path: Path) -> Settings:
    """An application on them with the settings of README, On a cluster."""
    kafka = Kafka(
        bootstrap_servers=brokers.bootstrap,
        replication_factor=COPIES,
        min_insync_replicas=LEAST_IN_STEP,
    )
    return new_application(tmp_path, reader_port=free_port(0), kafka=kafka)


async def _leaders(settings: Settings) -> dict[int, int]:
    """How many partitions of our topics each broker leads."""
    names = [topic.name for topic in topics.declared(settings)]
    async with administrator(settings) as admin:
        found = await admin.describe_topics(names)
    led: dict[int, int] = {}
    for partition in (partition for topic in found for partition in topic["partitions"]):
        assert len(partition["replicas"]) == COPIES, partition
        led[partition["leader"]] = led.get(partition["leader"], 0) + 1
    return led


async def test_brokers_end_one_by_one_and_all_at_once(
    cluster: Settings, tmp_path: Path, brokers: ThreeBrokers
) -> None:
    """Events are written and applied while any one broker is away.

    After all were killed at once, everything has counted once.
    """
    slices = iter(
        [
            events[at : at + SLICE]
            for events in [made(81, SLICE * 9)]
            for at in range(0, SLICE * 9, SLICE)
        ]
    )
    with Run(cluster, tmp_path) as run:
        await run.write(next(slices))
        run.workers.serve()
        run.workers.start("a")
        run.workers.start("b")
        await run.progressed(500)
        for broker, end in [(broker, end) for end in ("kill", "stop") for broker in brokers.all][
            :4
        ]:
            led = await _leaders(cluster)
            assert led.get(broker.number), (
                f"{broker.number} leads no partition, so its end proves nothing: {led}"
            )
            await run.write(next(slices))
            await asyncio.to_thread(getattr(broker, end))
            note(f"{end} {broker.number}, which led {led[broker.number]} partitions")
            written = len(run.events)
            await run.write(next(slices))
            before = await run.applied()
            assert before < len(run.events), "too little work for the test to prove anything"
            await run.progressed(min(before + SLICE, written), BACK_S)
            note(
                f"at work without {broker.number}: {await run.applied()} applied of"
                f" {len(run.events)}"
            )
            await asyncio.to_thread(brokers.start, [broker])
            note(f"{broker.number} is back")
        await asyncio.to_thread(brokers.kill)
        note("all killed")
        await asyncio.to_thread(brokers.start)
        before = await run.applied()
        note(f"all back, {before} applied")
        await run.progressed(min(before + 1, len(run.events)), BACK_S)
        await run.verdict()
        end_ms = max(parse_ms(event["occurred_at"]) for event in run.events) + DAY_MS
        counted = recount_by(
            cluster.rules.values,
            run.events,
            as_of_ms=end_ms,
        )

        async def answered() -> bool:
            try:
                return await asyncio.to_thread(from_reader, cluster) == counted
            except (NoReader, ReaderNotReady):
                return False

        await run.until(answered, BACK_S, restart=False)
        note("the reader agrees")
        print({worker.name: worker.exits for worker in run.workers.all.values()})  # noqa: T201 - shown where it fails
