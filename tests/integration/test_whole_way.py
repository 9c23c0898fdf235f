"""`netsold status` on a real broker.

Without a reader, with everything healthy, and with each fault.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from operations.local.kafka import LocalKafka
from schemas import envelope
from serving import watching
from streams import topics
from streams.log_writer import Writer
from streams.parked import DeadLetters
from streams.settings import Kafka, Settings
from tests.faults.workers import Workers, environment
from tests.reading import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

WAIT_S = 60.0
SOLD: list[dict[str, Any]] = [
    {
        "type": "order_placed", "id": "w-p", "source": "/shop",
        "occurred_at": "2026-11-28T19:00:00Z", "order_id": "o-1",
        "shop_id": "s-1", "buyer_id": "b-1", "currency": "CNY",
        "lines": [{"line_id": "1", "product_id": "p-1", "quantity": 2, "unit_price": 1000}],
    },
    {
        "type": "receipt_confirmed", "id": "w-r", "source": "/logistics",
        "occurred_at": "2026-11-28T19:30:00Z", "order_id": "o-1", "by": "logistics",
    },
]  # fmt: skip


class Command:
    """`netsold status` of an application whose reader is a process."""

    def __init__(self, settings: Settings) -> None:
        self._environment = environment(settings, READER_PORT=str(settings.reader_port))

    async def status(self, *options: str) -> tuple[int, dict[str, Any]]:
        """Exit code and answer; no answer while no reader can give one."""
        command = [sys.executable, "-m", "operations.cli", "status", "--json", *options]
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else {
            "state": done.stderr,
            "findings": [],
        }

    async def until(self, state: str, code: str = "", *options: str) -> dict[str, Any]:
        """The answer once it has this state, and a fault with this code if one is given."""
        deadline = time.monotonic() + WAIT_S
        while True:
            exit_code, answer = await self.status(*options)
            if answer["state"] == state and (
                not code or code in {finding["code"] for finding in answer["findings"]}
            ):
                assert exit_code == (0 if state == "live" else 5)
                return answer
            assert time.monotonic() < deadline, answer


def sentence(answer: dict[str, Any], code: str) -> str:
    """The sentence of a finding of an answer."""
    (found,) = [finding["sentence"] for finding in answer["findings"] if finding["code"] == code]
    return str(found)


@pytest.fixture
def serving(settings: Settings) -> Settings:
    """The settings with a port for the reader and a low limit of refusals."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return settings.model_copy(
            update={"reader_port": probe.getsockname()[1], "refusals_in_a_row": 15}
        )


async def test_status_fails_until_a_worker_has_applied_everything(
    serving: Settings, tmp_path: Path
) -> None:
    """Each state has its sentence.

    First no worker runs, then one does; then no record can be read, then the topic is another one.
    """
    settings, command, orders = serving, Command(serving), serving.topic("orders")
    await topics.create(settings)
    async with (
        AIOKafkaProducer(
            **settings.client_options(), transactional_id=f"{settings.app}-shop"
        ) as producer,
        producer.transaction(),
    ):
        for (
            event
        ) in SOLD:  # in a transaction, so that the log ends in a control record that nobody applies
            key, value, headers = envelope.encode(event)
            await producer.send(orders, key=key, value=value, headers=headers)
    with Workers(settings, tmp_path) as workers:
        workers.serve()
        answer = await command.until("stalled", "no_worker")
        assert (
            f"no worker is in group {settings.app}: nobody reads {orders}-0, {orders}-1"
            in sentence(answer, "no_worker")
        )
        assert (
            sum(source["behind"] for source in answer["sources"]) == answer["records_behind"] >= 2
        )
        assert {source["read_by"] for source in answer["sources"]} == {None}

        worker = workers.start("a")
        answer = await command.until("live", "", "--max-behind", "0")
        assert answer["records_behind"] == 0
        assert {source["read_by"] for source in answer["sources"]} == {
            answer["cluster"]["members"][0]["name"]
        }
        assert answer["cluster"]["members"][0]["name"].endswith("-a")
        assert answer["findings"] == answer["dead_letters"] == []

        async with Writer(settings) as writer:
            for _ in range(20):
                await writer.send(orders, b"o-1", b"?")
        answer = await command.until("stalled", "paused")
        assert sentence(answer, "paused").startswith(
            f"paused, since 15 records in a row could not be read: {orders}-"
        )
        parked = await counted(settings, 15)
        assert [(one.topic, one.reason, one.count) for one in parked.counts()] == [
            (orders, "not_json", 15)
        ]

        await asyncio.to_thread(workers.stop_one, worker)
        admin = AIOKafkaAdminClient(**settings.client_options())
        await admin.start()
        await admin.delete_topics([orders])
        await admin.close()
        answer = await command.until("stalled", "topic_missing")
        await topics.create(settings)
        answer = await command.until("stalled", "topic_created_again")
        assert sentence(answer, "topic_created_again").endswith(orders)
        assert "log_cut" in {finding["code"] for finding in answer["findings"]}


async def counted(settings: Settings, letters: int) -> DeadLetters:
    """An application's dead letters, once there are this many."""
    parked, deadline = DeadLetters(settings), time.monotonic() + WAIT_S
    while sum(one.count for one in parked.counts()) < letters:
        assert time.monotonic() < deadline, parked.counts()
        await parked.read_on()
    return parked


async def test_each_dead_letter_is_counted_once(settings: Settings) -> None:
    """Those since the first reading are also counted apart.

    A topic that was created again is counted from its beginning.
    """
    await topics.create(settings)
    parked, name = DeadLetters(settings), settings.topic("dead-letters")

    async def park(*reasons: str) -> None:
        async with Writer(settings) as writer:
            for reason in reasons:
                headers = [("__streams.errors.topic", b"orders"), ("x-dlq-reason", reason.encode())]
                await writer.send(name, b"k", b"v", headers, timestamp_ms=len(reason))

    await park("not_json", "empty_value", "not_json")
    assert not parked.complete
    await parked.read_on()
    await park("not_json")
    await parked.read_on()
    await parked.read_on()
    found = [
        (one.reason, one.count, one.since_start, one.oldest_ms, one.newest_ms)
        for one in parked.counts()
    ]
    assert found == [("empty_value", 1, 0, 11, 11), ("not_json", 3, 1, 8, 8)]
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    await admin.delete_topics([name])
    await admin.close()
    await topics.create(settings)
    await parked.read_on()
    assert (parked.counts(), parked.complete) == ([], True)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker that only one test uses."""
    broker = LocalKafka(tmp_path / "own")
    broker.start()
    yield broker
    broker.kill()


async def test_while_the_broker_is_away_nothing_is_live(
    broker: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables are still answered, with an unknown state.

    The reader is not ready once that lasts, and is live again without help.
    """
    monkeypatch.setattr(watching, "EVERY_SECONDS", 0.2)
    kafka = Kafka(bootstrap_servers=broker.status().bootstrap)
    settings = Settings(
        _env_file=None,
        app="t",
        partitions=2,
        data_dir=tmp_path,
        kafka=kafka,
        session_timeout_ms=6000,
    )
    await topics.create(settings)
    with Workers(settings, tmp_path) as workers:
        workers.start("a")
        async with running(settings) as reader:
            await until(lambda: reader.watch.state == "live")
            broker.kill()
            await until(lambda: reader.watch.state == "unknown")
            judged = reader.watch.judgement()
            (unobserved,) = [finding for finding in judged.findings if finding.code == "unobserved"]
            assert "no Kafka answers" in unobserved.sentence
            assert reader.answers().freshness(reader.progress.of_all()).state == "unknown"
            began = time.monotonic()
            await reader.watch.fresh()
            assert time.monotonic() - began < WAIT_S
            await until(lambda: reader.silent_s > 1.0)
            await asyncio.to_thread(broker.start)
            workers.supervise()
            await until(lambda: reader.watch.state == "live")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, within bounds."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
