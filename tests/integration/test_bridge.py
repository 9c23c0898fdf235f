"""A topic of Debezium's outbox, bridged into netsold's own topics on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas import envelope
from streams import groups, log, topics
from streams.bridge import bridge_group
from tables.catalogue import DEAD_LETTERS_TOPIC, ORDERS_TOPIC
from tests.faults.workers import environment
from tests.mapping import SAMPLES

if TYPE_CHECKING:
    from streams.settings import Settings

MAPPING = SAMPLES / "debezium-outbox" / "mapping.toml"
LONG_S = 90.0
ORDERS = 4000


def _change(kind: str, order: int, payload: dict[str, Any]) -> bytes:
    after = {
        "id": f"{kind}-{order}",
        "aggregatetype": "Order",
        "aggregateid": str(order),
        "type": kind,
        "payload": json.dumps(payload),
    }
    return json.dumps({"before": None, "after": after, "op": "c", "ts_ms": 1}).encode()


def _records(order: int) -> list[bytes | None]:
    """The changes of one order; every hundredth order has one that can't be mapped."""
    lines = [{"id": 1, "item": f"p-{order % 7}", "quantity": 2, "totalPrice": 10.01}]
    placed = {"lineItems": lines, "orderDate": "2026-07-01T08:00:00", "customerId": order % 50}
    found: list[bytes | None] = [
        _change("OrderCreated", order, placed),
        _change("OrderDelivered", order, {"deliveredAt": "2026-07-02T08:00:00"}),
        None,
    ]
    if order % 100 == 0:
        found += [_change("OrderRenamed", order, {}), b"{no json"]
    return found


async def _foreign(settings: Settings) -> str:
    """A topic of another system with the changes of all orders."""
    name = f"{settings.app}-outbox"
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    await admin.create_topics([NewTopic(name, 3, 1)])
    await admin.close()
    await _write(settings, name, range(ORDERS))
    return name


async def _write(settings: Settings, name: str, orders: range) -> None:
    producer = AIOKafkaProducer(**settings.client_options(), linger_ms=20)
    await producer.start()
    sent = [
        await producer.send(name, record, key=str(order).encode())
        for order in orders
        for record in _records(order)
    ]
    await asyncio.gather(*sent)
    await producer.stop()


async def _start(settings: Settings, topic: str) -> asyncio.subprocess.Process:
    command = ("import", "--mapping", str(MAPPING), "--bridge", topic, "--json")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "operations.cli",
        *command,
        env=environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _committed(settings: Settings, topic: str) -> int:
    own = settings.model_copy(update={"app": bridge_group(settings, topic)})
    try:
        return sum(one.offset for one in (await groups.committed(own)).values())
    except groups.GROUP_UNREADABLE:  # the first group of a new cluster
        return 0


async def _until(settings: Settings, topic: str, offsets: int) -> None:
    async with asyncio.timeout(LONG_S):
        while await _committed(settings, topic) < offsets:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


async def _ids(settings: Settings) -> Counter[str]:
    found: Counter[str] = Counter()
    async for records in log.records(settings, settings.topic(ORDERS_TOPIC)):
        for record in records:
            event = envelope.read(record)
            assert isinstance(event, envelope.Received)
            found[event.id] += 1
    return found


async def _letters(settings: Settings) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    async for records in log.records(settings, settings.topic(DEAD_LETTERS_TOPIC)):
        for record in records:
            headers = dict(record.headers)
            assert headers["x-dlq-reason"] == b"not_mapped"
            found[headers["x-dlq-id"]] += 1
    return found


async def test_every_record_is_bridged_once_through_kills(settings: Settings) -> None:
    """Killed three times on its way: each event is there once, and so is each dead letter."""
    await topics.create(settings)
    topic = await _foreign(settings)
    ends = sum((await log.ends(settings, [topic])).values())
    for part in (1, 2, 3):
        process = await _start(settings, topic)
        await _until(settings, topic, ends * part // 6)
        process.kill()
        await process.wait()
    process = await _start(settings, topic)
    await _until(settings, topic, ends)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(LONG_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    summary = json.loads(out)
    assert summary["records"] <= ends * 3 // 4
    assert summary["left_out"] > 0  # tombstones
    kinds = ("OrderCreated", "OrderDelivered")
    wanted = Counter(f"{kind}-{order}" for order in range(ORDERS) for kind in kinds)
    assert await _ids(settings) == wanted
    letters = await _letters(settings)
    assert (len(letters), set(letters.values())) == (2 * ORDERS // 100, {1})


async def test_a_second_bridge_fences_the_first(settings: Settings) -> None:
    """One bridge of a topic runs at a time; the older one ends with a sentence."""
    await topics.create(settings)
    topic = await _foreign(settings)
    ends = sum((await log.ends(settings, [topic])).values())
    first = await _start(settings, topic)
    await _until(settings, topic, ends)
    second = await _start(settings, topic)
    async with asyncio.timeout(LONG_S):
        await _write(settings, topic, range(ORDERS, ORDERS + 10))
        while first.returncode is None:
            await _write(settings, topic, range(ORDERS, ORDERS + 10))
            await asyncio.sleep(0.2)
    assert first.stderr is not None
    assert b"another bridge of this topic runs now" in await first.stderr.read()
    second.send_signal(signal.SIGINT)
    async with asyncio.timeout(LONG_S):
        await second.communicate()
    assert second.returncode == 0


async def test_a_topic_that_is_not_there_is_named(settings: Settings) -> None:
    """It is one sentence, with the exit code of what isn't ready."""
    await topics.create(settings)
    process = await _start(settings, "nowhere")
    async with asyncio.timeout(LONG_S):
        _, err = await process.communicate()
    assert process.returncode == 5
    assert err.decode().startswith("netsold: nowhere: there is no such topic")
