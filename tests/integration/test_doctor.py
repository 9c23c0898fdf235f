"""`netsold doctor` on a real broker: nothing to find, lost offsets, and hanging transactions."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition

from streams import groups, topics
from streams.groups import GroupInUse
from streams.hanging_age import hanging_since_ms
from streams.observe import Observer
from streams.settings import Kafka
from tests.applications import new_application
from tests.faults.administration import forget_group, put_back
from tests.faults.evidence import committed
from tests.faults.runner import Run, made
from tests.faults.workers import environment
from tests.hanging import UnverifyingKafka, leave_hanging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.kafka

WAIT_S = 60.0
WAITING = "neither been committed nor aborted"
"""What a worker logs while a hanging transaction is in its way."""


async def doctor(settings: Settings, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, answer, and stderr."""
    command = [sys.executable, "-m", "operations.cli", "doctor", "--json", *options]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def found(answer: dict[str, Any], check: str) -> list[dict[str, Any]]:
    """The results of one check."""
    return [one for one in answer["results"] if one["check"] == check]


def faults(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The results that are faults."""
    return [one for one in answer["results"] if one["level"] == "fault"]


async def prepared(run: Run) -> None:
    """Do some work, and stop the worker in order."""
    await run.write(made(41, 200))
    run.workers.start("a")
    await run.caught_up(restart=False)


async def test_lost_offsets_are_put_back(settings: Settings, tmp_path: Path) -> None:
    """A healthy application has no fault; one without offsets has one a partition.

    The mending needs --yes and no worker. Then the worker starts, and its tables are right.
    """
    orders = settings.topic("orders")
    with Run(settings, tmp_path) as run:
        await prepared(run)
        code, answer, errors = await doctor(settings, "--mend")
        assert (code, faults(answer)) == (0, [])
        assert "there is nothing to mend" in errors
        assert {one["level"] for one in answer["results"]} == {"ok"}
        assert found(answer, "brokers")[0]["details"][0]["kafka"] == "4.2"
        with pytest.raises(GroupInUse, match="has members"):
            await groups.commit_offsets(settings, {(orders, 0): 0})
        run.workers.stop()

        before = await committed(settings)
        await forget_group(settings)
        await put_back(settings, {TopicPartition(orders, 1): 1})
        code, answer, errors = await doctor(settings, "--mend", "--no-input")
        assert code == 3
        (fault,) = faults(answer)
        assert (fault["check"], fault["remedy"]) == ("offsets", "netsold doctor --mend")
        assert "nothing was changed" in errors
        changes = {
            (one["partition"], one["committed"], one["offset"]) for one in answer["mend"]["changes"]
        }
        assert changes == {
            (f"{settings.topic(name)}-{number}", 1 if (name, number) == ("orders", 1) else None, at)
            for (name, number), at in before.items()
        }
        assert answer["mend"]["done"] is False
        assert set((await committed(settings)).values()) == {None, 1}

        code, answer, errors = await doctor(settings, "--mend", "--yes")
        assert (code, faults(answer), answer["mend"]["done"]) == (0, [], True), errors
        assert await committed(settings) == before
        beside = await groups.committed(settings)
        assert {one.metadata for one in beside.values()} == {groups.layout(2, settings.terms.name)}
        await run.write(made(42, 100))
        run.workers.start("a")
        await run.verdict()


async def brokers(settings: Settings) -> list[int]:
    """The brokers that answer."""
    observer = Observer(settings)
    try:
        return [one for one, answers in (await observer.observe({})).brokers.items() if answers]
    finally:
        await observer.close()


@pytest.fixture
def unverifying(tmp_path: Path) -> Iterator[Settings]:
    """An application on a broker of its own, where transactions can be left hanging."""
    broker = UnverifyingKafka(tmp_path / "own")
    broker.start()
    yield new_application(tmp_path, kafka=Kafka(bootstrap_servers=broker.status().bootstrap))
    broker.kill()


async def test_hanging_transactions_are_aborted(unverifying: Settings, tmp_path: Path) -> None:
    """One is a worker's, which waits for it, and one a shop's. Afterwards nothing of them counts.

    A transaction that its coordinator knows is left alone.
    """
    settings = unverifying
    changelog = topics.changelog(settings, "orders")
    with Run(settings, tmp_path) as run:
        await prepared(run)
        run.workers.stop()
        await leave_hanging(settings, f"{settings.app}-order-1", changelog, 1, b"never")
        await leave_hanging(settings, "shop", settings.topic("orders"), 0, b"{}")
        worker = run.workers.start("a")
        deadline = time.monotonic() + WAIT_S
        while not worker.logged(WAITING):
            assert time.monotonic() < deadline, run.workers.tail()
            await asyncio.sleep(0.2)
        run.workers.kill(worker)

        code, answer, _ = await doctor(settings)
        hanging = {
            (part["partition"], part["transactional_id"], part["abort"])
            for one in faults(answer)
            for part in one["details"]
        }
        assert code == 3
        assert hanging == {
            (f"{changelog}-1", f"{settings.app}-order-1", True),
            (f"{settings.topic('orders')}-0", "shop", True),
        }
        since_ms = await hanging_since_ms(settings, await brokers(settings))
        assert since_ms is not None, "a reader's metric has the one in a topic that workers read"
        assert time.time() * 1000 - since_ms >= settings.transaction_timeout_ms
        code, answer, errors = await doctor(settings, "--mend", "--yes")
        assert (code, faults(answer), answer["mend"]["done"]) == (0, [], True), errors
        assert {one["change"] for one in answer["mend"]["changes"]} == {"abort"}
        assert await hanging_since_ms(settings, await brokers(settings)) is None
        run.workers.start("a")
        await run.verdict()
