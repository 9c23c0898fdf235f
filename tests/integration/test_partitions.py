"""Keys and their partitions on a real Kafka.

Another number of partitions is refused. A record in the wrong partition is parked and put back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from schemas import envelope
from schemas.events import topic_of
from schemas.times import parse_ms
from streams import log, topics
from streams.log_writer import Writer
from streams.partitioning import partition_of
from streams.topic_policy import TopicsUnfit
from tests.faults.evidence import MARK, last_values
from tests.faults.runner import Run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from streams.partitioning import Partitioner
    from streams.settings import Settings

ORDERS = 40
Event = dict[str, Any]


def placed(order_id: str, at: str = "2026-07-01T08:00:00Z") -> Event:
    """An order of two units."""
    line = {"line_id": "1", "product_id": "p-1", "quantity": 2, "unit_price": 1000}
    common = {
        "type": "order_placed",
        "id": f"p-{order_id}",
        "source": "/shop",
        "occurred_at": at,
        "order_id": order_id,
    }
    return common | {
        "shop_id": "s-1",
        "buyer_id": f"b-{order_id}",
        "currency": "CNY",
        "lines": [line],
    }


def received(order_id: str, at: str = "2026-07-02T08:00:00Z") -> Event:
    """The receipt of an order."""
    return {
        "type": "receipt_confirmed",
        "id": f"r-{order_id}",
        "source": "/logistics",
        "occurred_at": at,
        "order_id": order_id,
        "by": "buyer",
    }


def wrote(buyer_id: str, message_id: str, at: str, *, shop: bool = False) -> Event:
    """A message between a shop and a buyer."""
    common = {
        "id": message_id,
        "source": "/im",
        "occurred_at": at,
        "shop_id": "s-1",
        "buyer_id": buyer_id,
        "message_id": message_id,
    }
    return common | (
        {"type": "seller_replied", "by": "person"} if shop else {"type": "buyer_messaged"}
    )


async def write(
    settings: Settings,
    events: Iterable[Event],
    *,
    wrong: bool = False,
    partitioner: Partitioner = "murmur2",
) -> None:
    """Write events to the partitions of their keys, or to the partitions after these."""
    async with Writer(settings) as writer:
        for event in events:
            key, value, headers = envelope.encode(event)
            partition = (
                partition_of(key, settings.partitions, partitioner) + wrong
            ) % settings.partitions
            await writer.send(
                settings.topic(topic_of(event["type"])), key, value, headers, partition
            )


async def alter(settings: Settings, partitions: int) -> None:
    """Give all topics more partitions, as `kafka-topics.sh --alter` does."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        await admin.create_partitions(
            {topic.name: NewPartitions(partitions) for topic in topics.declared(settings)}
        )
    finally:
        await admin.close()


async def test_more_partitions_than_the_state_was_made_with_are_refused(
    settings: Settings, tmp_path: Path
) -> None:
    """The remedy is to count a copy of the log.

    Before anything is counted, the setting may follow the topics.
    """
    async with asyncio.timeout(120):
        await topics.create(settings)
        more = settings.model_copy(update={"partitions": 5})
        advice = {mismatch.remedy for mismatch in await topics.check(more)}
        assert advice == {
            "set NETSOLD_PARTITIONS=2, or use another NETSOLD_APP and NETSOLD_TOPIC_PREFIX"
        }, "nothing is counted yet"
        with Run(settings, tmp_path) as run:
            await run.write([placed(f"o-{number}") for number in range(ORDERS)])
            run.workers.start("a")
            await run.caught_up(restart=False)
            await asyncio.to_thread(run.workers.stop)
        assert await topics.check(settings) == []
        for wrong in await topics.check(more):
            assert "set NETSOLD_PARTITIONS" not in str(wrong)
            assert "count a copy of the log" in str(wrong)
        await alter(settings, 5)
        for given in (settings, more):
            found = [
                mismatch
                for mismatch in await topics.check(given)
                if mismatch.aspect == "partitions"
            ]
            assert len(found) == len(topics.declared(settings))
            assert all(
                (one.actual, one.wanted) == ("5", "2") and "count a copy of the log" in one.remedy
                for one in found
            )
        with pytest.raises(TopicsUnfit):
            await topics.require(more)


async def test_workers_themselves_refuse_state_of_another_number(
    settings: Settings, tmp_path: Path
) -> None:
    """Every worker stops, with old partitions or new ones only.

    Nothing is written to the journal.
    """
    more = settings.model_copy(update={"partitions": 5})
    with Run(settings, tmp_path) as run:
        await run.write([placed(f"o-{number}") for number in range(ORDERS)])
        run.workers.start("a")
        await run.caught_up(restart=False)
        await asyncio.to_thread(run.workers.stop)
    await alter(settings, 5)
    await write(more, [received(f"o-{number}") for number in range(ORDERS)])
    blind = "from streams import topics\nasync def require(_): pass\ntopics.require = require\n"
    with Run(more, tmp_path) as run:
        workers = [run.workers.start(name, patch=blind) for name in ("a", "b", "c")]
        assert [await run.ends(worker) for worker in workers] == [1, 1, 1]
        for worker in workers:
            (sentence,) = [line["event"] for line in worker.lines() if line["level"] == "error"]
            assert (
                "the state was made with 2 partitions, now there are 5: keys have moved" in sentence
            )
            assert "count a copy of the log by `netsold rebuild" in sentence
    journal = [
        record
        async for some in log.records(more, more.topic("sales"))
        for record in some
        if record.key is not None
    ]
    assert journal == [], "no sale of any order is counted, whole or in part"


@pytest.mark.parametrize("partitioner", ["murmur2", "crc32"])
async def test_events_in_the_wrong_partition_are_parked_and_put_back(
    settings: Settings, tmp_path: Path, partitioner: Partitioner
) -> None:
    """The tables equal the recount of the other events, and later of all.

    One order and one conversation have events in two partitions. Another order is written to both.
    """
    settings = settings.model_copy(update={"partitioner": partitioner})
    right = [
        event for number in range(20) for event in (placed(f"o-{number}"), received(f"o-{number}"))
    ]
    right += [
        placed("split"),
        placed("twice"),
        received("twice"),
        wrote("b-1", "m-1", "2026-07-01T09:00:00+08:00"),
    ]
    split = [received("split"), wrote("b-1", "m-2", "2026-07-01T09:01:00+08:00", shop=True)]
    twice = [placed("twice"), received("twice")]
    with Run(settings, tmp_path, PARTITIONER=partitioner, REFUSALS_IN_A_ROW="1") as run:
        await topics.create(settings)
        await write(settings, right, partitioner=partitioner)
        await write(settings, split + twice, wrong=True, partitioner=partitioner)
        run.events = list(right)
        run.poison = [envelope.encode(event)[:2] for event in split + twice]
        worker = run.workers.start("a")
        await run.verdict()
        lines = [line for line in worker.lines() if "belongs in partition" in line["event"]]
        assert lines
        assert all(line["event"].endswith("(docs/runbook.md, Wrong partition)") for line in lines)
        parked = [
            record
            async for some in log.records(settings, settings.topic("dead-letters"))
            for record in some
        ]
        assert {dict(record.headers)["x-dlq-reason"] for record in parked} == {b"wrong_partition"}
        async with Writer(settings) as writer:
            for record in parked:
                headers = dict(record.headers)
                own = [
                    header
                    for header in record.headers
                    if not header[0].startswith(("x-dlq-", "__streams.errors."))
                ]
                await writer.send(
                    headers["__streams.errors.topic"].decode(), record.key, record.value, own
                )
        run.events += split
        run.workers.start("a")
        await run.verdict()


async def test_a_changed_partitioner_is_refused(settings: Settings, tmp_path: Path) -> None:
    """With another partitioner every order would continue in another partition.

    The error names the settings that the state was made with.
    """
    with Run(settings, tmp_path) as run:
        await run.write([placed(f"o-{number}") for number in range(ORDERS)])
        run.workers.start("a")
        await run.caught_up(restart=False)
        await asyncio.to_thread(run.workers.stop)
        worker = run.workers.start("a", PARTITIONER="crc32")
        assert await run.ends(worker) == 1
        assert worker.logged("keys by murmur2; this program's terms have keys by crc32")
        assert worker.logged("set NETSOLD_PARTITIONER back, or rebuild")


async def test_one_event_from_the_future_drags_no_idle_partition_along(
    settings: Settings, tmp_path: Path
) -> None:
    """A wrong date of one order doesn't move other partitions.

    While history is read, neither 2126 nor this year moves them: no alert is sent, and nothing is
    restated.
    """
    at = "2026-07-08T10:00:00+08:00"
    history = [
        event
        for number in range(8)
        for event in (placed(f"o-{number}", at), wrote(f"b-{number}", f"m-{number}", at))
    ]
    slips = [
        placed("slip", "2126-07-08T10:00:00+08:00"),
        placed("slip-2", "2026-11-20T10:00:00+08:00"),
    ]
    with Run(settings, tmp_path, IDLE_TICK_MS="200", MAX_AHEAD_SECONDS="0") as run:
        await run.write(list(history))
        worker = run.workers.start("a")
        await run.until(lambda: _ticked(settings, parse_ms(at)), 30.0, restart=False)
        await run.write([slips[0]])
        await run.until(
            lambda: _slipped(settings, parse_ms(slips[0]["occurred_at"])), 30.0, restart=False
        )
        await run.write([slips[1]])
        for _ in range(3):  # rounds of ticks after the slips
            before = len(await _ticks(settings))
            await run.until(lambda before=before: _more(settings, before), 30.0, restart=False)  # type: ignore[misc]  # mypy can't infer it
        ticks = await _ticks(settings)
        assert ticks
        assert max(ticks) < parse_ms(at) + 120_000, (
            "at the pace of the clock from the history's own time"
        )
        await asyncio.to_thread(run.workers.stop_one, worker)
    alerts = [
        record async for some in log.records(settings, settings.topic("alerts")) for record in some
    ]
    assert alerts == []


async def _ticks(settings: Settings) -> list[int]:
    """The times of all ticks."""
    found = []
    for name in ("orders", "chats"):
        async for some in log.records(settings, settings.topic(name)):
            headers = [dict(record.headers) for record in some if record.key is None]
            found += [parse_ms(one["ce_time"].decode()) for one in headers]
    return found


async def _ticked(settings: Settings, past_ms: int) -> bool:
    return any(at_ms > past_ms for at_ms in await _ticks(settings))


async def _more(settings: Settings, before: int) -> bool:
    return len(await _ticks(settings)) > before


async def _slipped(settings: Settings, at_ms: int) -> bool:
    """Whether a partition's own event time has reached an instant."""
    found: list[bytes] = []
    async for some in log.records(settings, topics.changelog(settings, "orders")):
        mark = last_values(some).get(MARK)
        found += [] if mark is None else [mark]
    return any(b'"watermark_ms":%d' % at_ms in mark for mark in found)
