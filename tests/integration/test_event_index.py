"""The event index on a real broker: it fills beside the tables, and reads events by offset.

And as a user: `netsold explain` and `find` of processes that run.
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
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from schemas import envelope
from serving.event_index import IndexBehind, IndexSnapshot
from streams import log, topics
from streams.log_writer import Writer
from streams.single_records import SingleRecords
from tables import catalogue
from tests.faults.workers import Workers, environment
from tests.reading import running

if TYPE_CHECKING:
    from pathlib import Path

    from serving.reader import Reader
    from streams.settings import Settings

WAIT_S = 60.0
PLACED: dict[str, Any] = {
    "type": "order_placed",
    "source": "/till",
    "occurred_at": "2026-07-01T08:00:00Z",
    "shop_id": "s-1",
    "buyer_id": "b-1",
    "currency": "CNY",
    "lines": [{"line_id": "1", "product_id": "p-1", "quantity": 1, "unit_price": 100}],
}


@pytest.fixture
async def orders(settings: Settings) -> str:
    """The name of a source topic of this test, which is created."""
    await topics.create(settings)
    return settings.topic(catalogue.ORDERS_TOPIC)


async def ids_of(reader: Reader, order_id: str, ends: dict[str, int]) -> list[str]:
    """The ids of an order's events, once the index is read to these ends."""
    deadline = time.monotonic() + WAIT_S
    index: IndexSnapshot | None = None
    while index is None:
        try:
            index = await reader.index.snapshot({at: end - 1 for at, end in ends.items()})
        except IndexBehind:
            assert time.monotonic() < deadline
    read = await reader.index.records_of_order(index, order_id, ends, 1000)
    return [dict(one.record.headers)["ce_id"].decode() for one in read.records]


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
async def test_records_are_read_by_their_offsets(
    settings: Settings, orders: str, compression: str | None
) -> None:
    """Near and far ones, from batches of any size; what the log no longer has is left out."""
    values = [b"%d:" % number + b"x" * 200 for number in range(30_000)]
    async with AIOKafkaProducer(
        **settings.client_options(), compression_type=compression, linger_ms=20
    ) as producer:
        for value in values[:-1]:
            await producer.send(orders, value, partition=1)
        await producer.send_and_wait(orders, values[-1], partition=1)
    wanted = [0, 1, 2, 77, 9000, 9001, 15_000, 22_222, 29_999]
    lookup = SingleRecords(settings, [orders])
    try:
        found = await lookup.read({(orders, 1): wanted, (orders, 0): []}, WAIT_S)
        assert {offset: record.value for offset, record in found[orders, 1].items()} == {
            offset: values[offset] for offset in wanted
        }
        assert found[orders, 0] == {}
        admin = AIOKafkaAdminClient(**settings.client_options())
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(orders, 1): RecordsToDelete(9001)})
        finally:
            await admin.close()
        found = await lookup.read({(orders, 1): wanted}, WAIT_S)
        assert sorted(found[orders, 1]) == wanted[5:]
    finally:
        await lookup.close()


async def test_the_index_fills_beside_the_tables(settings: Settings, orders: str) -> None:
    """An aborted event isn't in it; a restart continues."""
    events = [PLACED | {"id": f"e-{n}", "order_id": f"o-{n % 7}"} for n in range(700)]
    async with AIOKafkaProducer(**settings.client_options(), transactional_id="t") as producer:
        for is_aborted in (True, False):
            await producer.begin_transaction()
            for event in events[:1] if is_aborted else events[:350]:
                key, value, headers = envelope.encode(event)
                await producer.send(orders, value, key, headers=headers)
            await (producer.abort_transaction if is_aborted else producer.commit_transaction)()
    found: list[list[str]] = []
    for part in (events[350:], []):
        async with Writer(settings) as writer:
            for event in part:
                key, value, headers = envelope.encode(event)
                await writer.send(orders, key, value, headers)
        ends = {f"{at[0]}-{at[1]}": end for at, end in (await log.ends(settings, [orders])).items()}
        async with running(settings) as reader:
            found.append(await ids_of(reader, "o-3", ends))
    assert found[0] == found[1] == [f"e-{n}" for n in range(3, 700, 7)]


RECEIVED: dict[str, Any] = {
    "type": "receipt_confirmed",
    "id": "r-1",
    "source": "/post",
    "occurred_at": "2026-07-02T08:00:00Z",
    "order_id": "o-1",
    "by": "logistics",
}


async def test_a_user_finds_and_explains_an_order(settings: Settings, tmp_path: Path) -> None:
    """A duplicate, a conflicting event and a parked record are shown beside what counts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    settings = settings.model_copy(update={"reader_port": int(port)})

    async def netsold(*arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "operations.cli", *arguments],
            env=environment(settings, READER_PORT=port),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    await topics.create(settings)
    placed = PLACED | {"id": "e-1", "order_id": "o-1"}
    later: list[dict[str, Any]] = [
        PLACED | {"id": f"x-{number}", "order_id": f"x-{number}"} for number in range(500)
    ]
    with Workers(settings, tmp_path) as workers:
        workers.serve()
        workers.start("a")
        async with Writer(settings) as writer:
            for event in (placed, RECEIVED, *later, RECEIVED, RECEIVED | {"by": "buyer"}):
                key, value, headers = envelope.encode(event)
                await writer.send(settings.topic("orders"), key, value, headers)
            await writer.send(settings.topic("orders"), b"o-1", b"?")
        deadline = time.monotonic() + WAIT_S
        explained: dict[str, Any] = {"events": []}
        while len(explained["events"]) < 5 or not explained["events"][-1]["parked"]["dead_letter"]:
            assert time.monotonic() < deadline, (explained, workers.tail())
            code, out, _ = await netsold("explain", "order", "o-1", "--json")
            explained = json.loads(out) if code == 0 else {"events": []}
        verdicts = [one["verdict"] for one in explained["events"]]
        assert verdicts == ["applied", "applied", "duplicate", "conflicting", "parked"]
        assert all(one["written_at"] > "2026" for one in explained["events"])
        code, out, _ = await netsold("explain", "order", "o-1")
        assert code == 0
        parked = explained["events"][-1]["position"]
        assert out.splitlines()[-1] == (
            "o-1: counts 1 of 1 unit, CNY 1.00, in the cycle from 2026-06-06T00:00:00Z,"
            f" because line 1 was received (S2); {parked} is parked (not_json):"
            f" `netsold dead-letters show {parked}`"
        )
        assert [" PARKED " in line for line in out.splitlines()].count(True) == 1
        code, out, _ = await netsold("find", "--product", "p-1", "--limit", "3")
        assert (code, "and more" in out) == (0, True)
        code, out, err = await netsold("find", "--refund", "r-9")
        assert (code, out, "no order is found by refund r-9" in err) == (4, "", True)
        status = json.loads((await netsold("status", "--json"))[1])
        assert status["index"]["complete"]
