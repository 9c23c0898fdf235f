"""Two workers are replaced by those of the next release under traffic, and back again.

The next release writes another format of every state and of every row of a journal
(tests/next_release.py). Both releases work in one group, on the same tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from schemas import envelope, row_versions
from schemas.event_versions import as_newest
from schemas.events import topic_of
from streams.log_writer import Writer
from tables import catalogue, formats
from tests.faults.evidence import MARK, Evidence, problems
from tests.faults.runner import Run, made, note
from tests.next_release import READS, WRITES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.settings import Settings
    from tests.faults.workers import Worker

pytestmark = pytest.mark.faults

EVENTS_A_SECOND = 300
PAUSE_S = 5.0
"""The longest time for which a partition may stand still."""

IMPORT_S = 1.5
"""Seconds that a worker's imports take where nothing else runs, roughly."""

NUMBERS = {"order": 1, "conversation": 1, "sales": 2, "service": 1, "buyer": 1, "overdue": 1}
"""By form of a table's rows: the number of the present format."""


@pytest.fixture
def next_formats(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process reads the next formats, too, as the workers under test do."""
    monkeypatch.setattr(formats, "READ", formats.READ)
    exec(READS, {})  # noqa: S102 - the code that the workers run
    yield
    formats.ALSO_READ.clear()
    row_versions.OTHERS.clear()


class Traffic:
    """Events of both versions that are written at a steady rate until `stop`."""

    def __init__(self, run: Run, events: list[dict[str, Any]]) -> None:
        self._run, self._events = run, iter(events)
        self._stopped = asyncio.Event()
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        settings = self._run.settings
        async with Writer(settings) as writer:
            for number, event in enumerate(self._events):
                self._run.events.append(event)
                await writer.send(settings.topic(topic_of(event["type"])), *envelope.encode(event))
                if number % (EVENTS_A_SECOND // 10) == 0:
                    await writer.push()
                    with contextlib.suppress(TimeoutError):  # the pace of the traffic
                        await asyncio.wait_for(self._stopped.wait(), 0.1)
                if self._stopped.is_set():
                    return
        pytest.fail("the traffic ended before the upgrade did")

    async def stop(self) -> None:
        """Write no more, and wait until everything written is in the log."""
        self._stopped.set()
        await self._task


def opened(worker: Worker) -> int:
    """How many times a worker has opened lanes."""
    return sum(line["event"] == "lanes open" for line in worker.lines())


@dataclass(frozen=True)
class Step:
    """One replacement: when its process started (epoch ms), and seconds until it was imported."""

    start_ms: float
    imported_s: float


async def replaced(run: Run, worker: Worker, patch: str) -> Step:
    """Stop a worker in order, start its next build, and wait until that has worked."""
    await asyncio.to_thread(run.workers.stop_one, worker)
    times = opened(worker)
    stopped_s = time.time()
    run.workers.start(worker.name, patch)

    async def joined() -> bool:
        return opened(worker) > times

    await run.until(joined, 60.0, restart=False)
    await run.progressed(await run.applied() + 2 * EVENTS_A_SECOND, restart=False)
    starts = [one["timestamp"] for one in worker.lines() if one["event"] == "worker starts"]
    imported_s = datetime.fromisoformat(starts[-1]).timestamp() - stopped_s
    note(f"{worker.name} is replaced, imported in {imported_s:.1f} s")
    return Step(stopped_s * 1000, imported_s)


def in_present_formats(evidence: Evidence) -> Counter[str]:
    """Make all rows of the evidence those of the present formats; how many of each there were."""
    found: Counter[str] = Counter()
    forms = {table.name: table.form for table in catalogue.TABLES}

    def state(table: str, key: bytes | None, value: bytes | None) -> bytes | None:
        number = NUMBERS.get(forms[table])
        if number is None or value is None or (key or b"").startswith(b"\x00"):
            return value
        first, *fields = json.loads(value)
        found[f"{table} {first}"] += 1
        if first == number:
            return value
        assert first == number + 1
        return json.dumps([number, *reversed(fields)]).encode()

    def row(value: bytes) -> bytes:
        other = row_versions.as_written(value)
        assert not isinstance(other, row_versions.UnknownRow)
        found[json.loads(value)["type"]] += 1
        return other or value

    for (table, _), records in evidence.changelogs.items():
        records[:] = [replace(one, value=state(table, one.key, one.value)) for one in records]
    for (_, table, _), store in evidence.stores.items():
        store |= {key: state(table, key, value) or b"" for key, value in store.items()}
    for (topic, _), records in evidence.logs.items():
        if topic in {catalogue.SALES_TOPIC, catalogue.SHOP_ACTIVITY_TOPIC}:
            records[:] = [replace(one, value=row(one.value)) for one in records]
    return found


def pauses(evidence: Evidence, until_ms: float) -> Iterator[tuple[float, float]]:
    """(start, end) of the times between two commits of a partition of orders, in epoch ms."""
    for (table, _), records in evidence.changelogs.items():
        if table == catalogue.ORDERS.name:
            marks = [one.timestamp for one in records if one.key == MARK]
            yield from pairwise([*(at for at in marks if at < until_ms), until_ms])


def longest_pause_s(evidence: Evidence, steps: list[Step], until_ms: float) -> float:
    """The longest pause, without what other work of the machine took from a worker's imports.

    These are CPU alone, and the machine may be busy: so `IMPORT_S` counts, whatever they took.
    """
    found = []
    for began_ms, ended_ms in pauses(evidence, until_ms):
        within = [one for one in steps if began_ms < one.start_ms < ended_ms]
        lost_s = sum(max(0.0, one.imported_s - IMPORT_S) for one in within)
        found.append((ended_ms - began_ms) / 1000 - lost_s)
    longest = ", ".join(f"{one:.1f}" for one in sorted(found)[:-6:-1])
    note(f"the longest pauses were {longest} s")
    return max(found)


@pytest.mark.usefixtures("next_formats")
async def test_two_workers_are_upgraded_under_traffic_and_back(
    settings: Settings, tmp_path: Path
) -> None:
    """All tables equal the recount, nothing is refused, and no partition stands still for long."""
    events = [
        event if number % 2 else as_newest(event)
        for number, event in enumerate(made(75, 60_000))
        if isinstance(event, dict)
    ]
    with Run(settings, tmp_path) as run:
        await run.write([])
        a, b = run.workers.start("a", READS), run.workers.start("b", READS)
        traffic = Traffic(run, events)
        await run.progressed(2 * EVENTS_A_SECOND, restart=False)
        steps = ((a, WRITES), (b, WRITES), (a, READS), (b, READS))
        done = [await replaced(run, worker, patch) for worker, patch in steps]
        ended_ms = time.time() * 1000
        await traffic.stop()
        await run.end_time()
        await run.caught_up(restart=False)
        evidence = await run.evidence()
        rows = in_present_formats(evidence)
        note(f"{len(run.events)} events, rows by format: {dict(sorted(rows.items()))}")
        for table in catalogue.TABLES:
            number = NUMBERS.get(table.form)
            if number is not None:
                assert rows[f"{table.name} {number}"], f"{table.name} has no row of before"
                assert rows[f"{table.name} {number + 1}"], f"{table.name} has no row of the next"
        assert all(rows[form] and rows[f"{form}.2"] for form in ("entry", "shop_activity"))
        found = problems(evidence, settings)
        assert not found, "\n".join([*found, run.workers.tail()])
        assert longest_pause_s(evidence, done, ended_ms) < PAUSE_S
        assert {code for worker in (a, b) for code in worker.exits} == {0}
        await _older_release_refuses(run, a)


async def _older_release_refuses(run: Run, worker: Worker) -> None:
    """A build that does not read the next format stops before it opens anything."""
    run.workers.start(worker.name)
    assert await run.ends(worker) != 0
    assert worker.logged("has rows of format 2, this build reads formats up to 1")
