"""`netsold simulate` to a real log: what arrives is what was made, once, under the right keys; live traffic stops cleanly."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from operations.recount import DAY_MS, recount
from schemas import envelope
from schemas.refusals import Refusal
from schemas.times import format_ms
from streams import log, topics

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
    return await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)


async def _end(process: asyncio.subprocess.Process) -> tuple[int | None, dict[str, Any], str]:
    async with asyncio.timeout(LONG_S):
        out, err = await process.communicate()
    return process.returncode, json.loads(out or b"{}"), err.decode()


async def _records(settings: Settings) -> list[ConsumerRecord]:
    async with asyncio.timeout(LONG_S):
        return [record async for records in log.read(settings, settings.topic(topics.ORDERS)) for record in records]


def _event(record: ConsumerRecord) -> dict[str, Any] | None:
    """The event of a record in its bare JSON form; None if it is none."""
    received = envelope.read(record)
    if not isinstance(received, envelope.Received):
        assert isinstance(received, Refusal)
        return None
    body = msgspec.json.decode(msgspec.json.encode(received.body))
    common = {"type": received.type, "id": received.id, "source": received.source, "order_id": received.order_id}
    return {**body, **common, "occurred_at": format_ms(received.occurred_at_ms)}


@pytest.mark.parametrize("layout", ["cloudevents", "bare"])
async def test_the_log_holds_what_a_file_would(settings: Settings, tmp_path: Path, layout: str) -> None:
    """The same arguments give the same sales in the log as in a file, though duplicates and poison come between."""
    await topics.create(settings)
    wrong = ("--fault", "duplicates", "--fault", "out_of_order", "--fault", "poison=1%", "--fault", "late")
    code, summary, err = await _end(await _start(settings, "--events", "3000", "--format", layout, *wrong))
    assert (code, err) == (0, "")
    records = await _records(settings)
    assert summary["records"] == len(records)
    found = [_event(record) for record in records]
    assert found.count(None) == summary["poison"] > 10
    assert all(any(name == "ce_id" for name, _ in record.headers) == (layout == "cloudevents") for record in records if _event(record))
    code, _, _ = await _end(await _start(settings, "--events", "3000", "--out", str(tmp_path / "a.jsonl")))
    assert code == 0
    plain = [json.loads(line) for line in (tmp_path / "a.jsonl").read_bytes().splitlines()]
    assert recount([event for event in found if event], 30 * DAY_MS, 0) == recount(plain, 30 * DAY_MS, 0)


async def test_an_order_stays_in_one_partition(settings: Settings) -> None:
    """All its events have its id as key, and both partitions get some."""
    await topics.create(settings)
    await _end(await _start(settings, "--events", "500"))
    homes: dict[bytes, set[int]] = {}
    for record in await _records(settings):
        assert record.key is not None
        homes.setdefault(record.key, set()).add(record.partition)
    assert all(len(partitions) == 1 for partitions in homes.values())
    assert len(Counter(partition for partitions in homes.values() for partition in partitions)) == 2


async def test_live_traffic_goes_on_until_stopped_with_new_orders_each_time(settings: Settings) -> None:
    """It happens now, at about the rate asked for; ended by a signal it has written all that it says, and exits with 0."""
    await topics.create(settings)
    written = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        process = await _start(settings, "--rate", "300")
        await asyncio.sleep(6)
        process.send_signal(number)
        code, summary, err = await _end(process)
        assert (code, err) == (0, "")
        assert 300 < summary["records"] < 300 * 8
        written += summary["records"]
    records = await _records(settings)
    assert len(records) == written
    events = [_event(record) for record in records]
    assert len({event["id"] for event in events if event}) == written
    for record, event in zip(records, events, strict=True):
        assert event is not None
        assert 0 <= record.timestamp - envelope.read(record).occurred_at_ms < 2000  # type: ignore[union-attr]  # it is an event
    assert {event["type"] for event in events if event} >= {"order_placed", "receipt_confirmed"}


async def test_live_traffic_of_some_events_ends_by_itself(settings: Settings) -> None:
    """With exit code 0 when done, and 130 when interrupted before."""
    await topics.create(settings)
    code, summary, _ = await _end(await _start(settings, "--rate", "500", "--events", "300"))
    assert (code, summary["records"]) == (0, 300)
    process = await _start(settings, "--rate", "5", "--events", "1000")
    await asyncio.sleep(3)
    process.send_signal(signal.SIGINT)
    code, summary, err = await _end(process)
    assert code == 130
    assert "of 1000 events" in err


async def test_without_topics_it_says_what_to_do(settings: Settings) -> None:
    """Nothing is created by writing."""
    process = await _start(settings, "--events", "5")
    code, _, err = await _end(process)
    assert code not in {0, 130}
    assert "netsold topics create" in err
    assert "Traceback" not in err
