"""Workers as processes without faults.

Ticks, a clean stop, one worker per name, and the same tables from the same log.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from itertools import product
from operator import itemgetter
from typing import TYPE_CHECKING

from schemas.events import ORDER_TYPES
from schemas.times import parse_ms
from streams import log, topics
from streams.log_writer import Writer
from streams.partitioning import partition_of
from tables.catalogue import TABLES, event_topics
from tests.faults.evidence import MARK, Evidence, last_values
from tests.faults.runner import Run, made
from tests.faults.workers import environment

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings


def states(evidence: Evidence) -> dict[tuple[str, int], dict[bytes, bytes]]:
    """Every table's partition as bytes, without its mark."""
    return {
        at: {key: value for key, value in last_values(records).items() if key != MARK}
        for at, records in evidence.changelogs.items()
    }


async def test_the_same_log_gives_the_same_bytes(settings: Settings, tmp_path: Path) -> None:
    """A rebuild by another application has the same bytes in every table (S12).

    It has two workers and chunks of other sizes.
    """
    rebuilt = settings.model_copy(
        update={"app": f"{settings.app}.b", "topic_prefix": f"{settings.app}.b."}
    )
    with Run(settings, tmp_path) as run:
        await run.write(made(91, 2000))
        await run.end_time()
        run.workers.start("a")
        await run.caught_up(restart=False)
        evidence = await run.evidence()
    (tmp_path / "b").mkdir()
    with Run(rebuilt, tmp_path / "b", CHUNK_RECORDS="37") as again:
        await again.write([])
        async with Writer(rebuilt) as writer:
            for name, partition in product(("orders", "chats"), (0, 1)):
                for record in evidence.logs[name, partition]:
                    await writer.send(
                        rebuilt.topic(name), record.key, record.value, record.headers, partition
                    )
        again.workers.start("a")
        again.workers.start("b")
        again.events = run.events
        await again.verdict()
        assert states(await again.evidence()) == states(evidence)


async def test_ticks_advance_a_quiet_partition(settings: Settings, tmp_path: Path) -> None:
    """All events are in one partition.

    Event time advances in the other one, every table shows it, and nothing is counted (C2).
    """
    events = [
        item for item in made(92, 1000) if isinstance(item, dict) and item["type"] in ORDER_TYPES
    ]
    items = [event for event in events if partition_of(event["order_id"].encode(), 2) == 0]
    with Run(settings, tmp_path, IDLE_TICK_MS="200") as run:
        await run.write(list(items))
        run.workers.start("a")
        latest = {
            item["order_id"]: parse_ms(item["occurred_at"])
            for item in sorted(items, key=itemgetter("occurred_at"))
        }
        confirmed_ms = sorted(latest.values())[-2]  # confirmed by two orders

        async def all_advanced() -> bool:
            """Whether every downstream table has two orders' event time of both partitions."""
            behind = 0
            for table in [table for table in TABLES if table.stage in {"product", "shop"}]:
                at: dict[int, list[int | None]] = {0: [], 1: []}
                async for records in log.records(
                    settings, f"{settings.app}-{table.name}-changelog"
                ):
                    for record in records:
                        if record.key == MARK:
                            at[record.partition] = [
                                mark for _, mark in json.loads(record.value)["sources"].values()
                            ]
                sources = 2 * len(event_topics(table.stage))
                behind += sum(
                    len(marks) != sources or min(mark or 0 for mark in marks) < confirmed_ms
                    for marks in at.values()
                )
            return not behind

        await run.until(all_advanced, 30.0, restart=False)
        run.workers.stop()
        ticks = [
            record
            async for records in log.records(settings, settings.topic("orders"))
            for record in records
            if record.partition == 1
        ]
        assert ticks
        assert all(dict(record.headers)["ce_type"] == b"time_tick" for record in ticks)
        times = [parse_ms(dict(record.headers)["ce_time"].decode()) for record in ticks]
        assert times == sorted(times), "each has the newest event time confirmed by then"
        assert times[-1] >= confirmed_ms
        settings_without = Run(settings, tmp_path)  # applies the written ticks, and writes none
        settings_without.events = run.events
        with settings_without:
            settings_without.workers.start("a")
            await settings_without.verdict()


async def test_a_worker_stops_at_once_and_in_order(settings: Settings, tmp_path: Path) -> None:
    """SIGTERM under load gives exit code 0 within seconds.

    No transaction is left open. A second worker of its name is refused.
    """
    with Run(settings, tmp_path) as run:
        await run.write(made(93, 6000))
        worker = run.workers.start("a")
        await run.progressed(200, restart=False)
        twin = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "operations.cli", "worker", "--name", "a",
            env=environment(settings), cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, refusal = await twin.communicate()
        assert twin.returncode == 1
        assert refusal.decode().startswith("netsold: a worker named a already runs")
        assert len(refusal.decode().splitlines()) == 1
        began = time.monotonic()
        await asyncio.to_thread(run.workers.stop_one, worker)
        assert time.monotonic() - began < 8.0
        assert [line["event"] for line in worker.lines()] == ["worker starts", "lanes open"]
        assert worker.lines()[0].keys() > {"version", "commit", "rules", "partitions", "state_dir"}
        assert len(worker.log.read_text(encoding="utf-8").splitlines()) == 2
        run.workers.start("a")
        await run.verdict()


async def test_a_second_application_beside_the_first(settings: Settings, tmp_path: Path) -> None:
    """With the first one's journal it is refused.

    Every sale would count twice. With its own prefix it reads the same log.
    """
    with Run(settings, tmp_path) as run:
        await run.write(made(93, 2000))
        await run.end_time()
        run.workers.start("a")
        await run.caught_up(restart=False)
        evidence = await run.evidence()
    intruder = settings.model_copy(update={"app": f"{settings.app}.c", "data_dir": tmp_path / "c"})
    await topics.create(intruder)
    refused = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "operations.cli", "worker"],
        env=environment(intruder),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 1
    assert "already has another application's records" in refused.stderr
    assert f"NETSOLD_ORDERS_TOPIC={settings.topic('orders')}" in refused.stderr
    assert f"NETSOLD_CHATS_TOPIC={settings.topic('chats')}" in refused.stderr
    sources = {f"{name}_topic": settings.topic(name) for name in ("orders", "chats")}
    beside = intruder.model_copy(update={"topic_prefix": f"{settings.app}.c."} | sources)
    (tmp_path / "c").mkdir(exist_ok=True)
    with Run(
        beside, tmp_path / "c", **{name.upper(): topic for name, topic in sources.items()}
    ) as again:
        await again.write([])
        again.workers.start("b")
        again.events = run.events
        await again.verdict()
        assert states(await again.evidence()) == states(evidence)
