"""`netsold simulate` to a real log.

Each record is written once with the right key. Live traffic stops cleanly.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from operations.oracle.recount import recount
from schemas import envelope
from schemas.events import CHAT_TYPES, ORDER_TYPES
from schemas.refusals import Refusal
from schemas.times import DAY_MS, format_ms, parse_ms
from streams import log, topics
from tables import catalogue

if TYPE_CHECKING:
    from pathlib import Path

    from aiokafka.structs import ConsumerRecord

    from streams.settings import Settings

LONG_S = 60.0


async def _start(settings: Settings, *arguments: str) -> asyncio.subprocess.Process:
    environment = {
        "NETSOLD_APP": settings.app,
        "NETSOLD_TOPIC_PREFIX": settings.topic_prefix,
        "NETSOLD_PARTITIONS": str(settings.partitions),
        "NETSOLD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers or "",
    }
    command = [sys.executable, "-m", "operations.cli", "simulate", "--json", *arguments]
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def _end(process: asyncio.subprocess.Process) -> tuple[int | None, dict[str, Any], str]:
    async with asyncio.timeout(LONG_S):
        out, err = await process.communicate()
    return process.returncode, json.loads(out or b"{}"), err.decode()


async def _records(settings: Settings, *names: str) -> list[ConsumerRecord]:
    """The records of these topics, or of both event topics if none is given."""
    async with asyncio.timeout(LONG_S):
        return [
            record
            for name in names or (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC)
            async for records in log.records(settings, settings.topic(name))
            for record in records
        ]


def _event(record: ConsumerRecord) -> dict[str, Any] | None:
    """The event of a record in bare JSON form, as its topic's decoder reads it.

    None if it is no event.
    """
    if record.topic.endswith(catalogue.CHATS_TOPIC):
        chat = envelope.read_chat(record)
        if isinstance(chat, envelope.ChatMessage):
            message = chat.message
            event = {
                "shop_id": chat.shop_id,
                "buyer_id": chat.buyer_id,
                "occurred_at": format_ms(message.at_ms),
            }
            event |= {
                name: getattr(message, name)
                for name in ("id", "source", "message_id", "order_id", "by")
                if getattr(message, name)
            }
            return event | {
                "type": "seller_replied" if message.side == envelope.SHOP else "buyer_messaged"
            }
        assert isinstance(chat, Refusal)
        return None
    received = envelope.read(record)
    if not isinstance(received, envelope.Received):
        assert isinstance(received, Refusal)
        return None
    body = msgspec.json.decode(msgspec.json.encode(received.body))
    common = {
        "type": received.type,
        "id": received.id,
        "source": received.source,
        "order_id": received.order_id,
    }
    return {**body, **common, "occurred_at": format_ms(received.occurred_at_ms)}


@pytest.mark.parametrize("layout", ["cloudevents", "bare"])
async def test_the_log_has_the_events_of_a_file(
    settings: Settings, tmp_path: Path, layout: str
) -> None:
    """The same arguments give the same sales and service in log and file.

    This includes faults.
    """
    await topics.create(settings)
    wrong = (
        "--fault",
        "duplicates",
        "--fault",
        "out_of_order",
        "--fault",
        "poison=1%",
        "--fault",
        "late",
    )
    code, summary, err = await _end(
        await _start(settings, "--events", "3000", "--format", layout, *wrong)
    )
    assert (code, err) == (0, "")
    records = await _records(settings)
    assert summary["records"] == len(records)
    found = [_event(record) for record in records]
    assert found.count(None) == summary["poison"] > 10
    assert all(
        any(name == "ce_id" for name, _ in record.headers) == (layout == "cloudevents")
        for record in records
        if _event(record)
    )
    code, _, _ = await _end(
        await _start(settings, "--events", "3000", "--out", str(tmp_path / "a.jsonl"))
    )
    assert code == 0
    plain = [json.loads(line) for line in (tmp_path / "a.jsonl").read_bytes().splitlines()]
    assert recount([event for event in found if event], 30 * DAY_MS, 0) == recount(
        plain, 30 * DAY_MS, 0
    )


async def test_orders_and_conversations_stay_in_one_partition_of_their_topic(
    settings: Settings,
) -> None:
    """The key is the order, or shop and buyer.

    Reviews have their order's key. Both partitions of both topics get some records.
    """
    await topics.create(settings)
    await _end(await _start(settings, "--events", "500"))
    homes: dict[tuple[str, bytes], set[int]] = {}
    for record in await _records(settings):
        event = _event(record)
        assert event is not None
        chat = event["type"] in CHAT_TYPES
        assert record.topic == settings.topic(
            catalogue.CHATS_TOPIC if chat else catalogue.ORDERS_TOPIC
        )
        assert (
            record.key
            == (f"{event['shop_id']}/{event['buyer_id']}" if chat else event["order_id"]).encode()
        )
        homes.setdefault((record.topic, record.key), set()).add(record.partition)
    assert all(len(partitions) == 1 for partitions in homes.values())
    assert (
        len(
            {
                (topic, partition)
                for (topic, _), partitions in homes.items()
                for partition in partitions
            }
        )
        == 4
    )


@pytest.mark.parametrize(("only", "other"), [("orders", "chats"), ("chats", "orders")])
async def test_one_topic_alone(settings: Settings, only: str, other: str) -> None:
    """All events are of the given topic; orders then have no reviews."""
    await topics.create(settings)
    code, summary, _ = await _end(await _start(settings, "--events", "400", "--only", only))
    assert (code, summary["events"]) == (0, 400)
    events = [_event(record) for record in await _records(settings, only)]
    assert len(events) == 400
    types = {event["type"] for event in events if event}
    assert types == CHAT_TYPES if only == "chats" else types < ORDER_TYPES - {"review_posted"}
    assert not await _records(settings, other)


LIVE = {"order_placed", "receipt_confirmed", "review_posted", "buyer_messaged"}
"""The types of live traffic, some days after its first orders."""

LIVE_S = 60.0
"""The bound until all of them are written, on a busy machine."""


async def test_live_traffic_runs_until_stopped_with_new_orders_each_time(
    settings: Settings,
) -> None:
    """Events happen now, at about the given rate.

    After a signal, it has written every event that its summary counts, and exits with 0.
    """
    await topics.create(settings)
    written = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        process = await _start(settings, "--rate", "300")
        async with asyncio.timeout(LIVE_S):
            while (  # noqa: ASYNC110 - a process writes them
                len(records := await _records(settings)) < written + 300
                or not _types(records) >= LIVE
            ):
                await asyncio.sleep(0.2)
        process.send_signal(number)
        code, summary, err = await _end(process)
        assert (code, err) == (0, "")
        assert 300 < summary["records"] < 300 * (summary["seconds"] + 1)
        written += summary["records"]
    records = await _records(settings)
    assert len(records) == written
    events = [_event(record) for record in records]
    assert len({event["id"] for event in events if event}) == written
    for record, event in zip(records, events, strict=True):
        assert event is not None
        assert 0 <= record.timestamp - parse_ms(event["occurred_at"]) < 2000


def _types(records: list[ConsumerRecord]) -> set[str]:
    return {event["type"] for event in map(_event, records) if event}


async def test_live_traffic_of_some_events_ends_by_itself(settings: Settings) -> None:
    """The exit code is 0 at its own end, and 130 when interrupted."""
    await topics.create(settings)
    code, summary, _ = await _end(await _start(settings, "--rate", "500", "--events", "300"))
    assert (code, summary["records"]) == (0, 300)
    process = await _start(settings, "--rate", "5", "--events", "1000")
    await asyncio.sleep(3)
    process.send_signal(signal.SIGINT)
    code, summary, err = await _end(process)
    assert code == 130
    assert "of 1000 events" in err


async def test_without_topics_it_names_the_remedy(settings: Settings) -> None:
    """Writing creates no topic."""
    process = await _start(settings, "--events", "5")
    code, _, err = await _end(process)
    assert code not in {0, 130}
    assert "netsold topics create" in err
    assert "Traceback" not in err
