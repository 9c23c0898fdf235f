"""Earlier moments on a real broker: records with chosen times, a real worker, and a reader."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from httpx import ASGITransport, AsyncClient

from operations.oracle.events import time_ms
from operations.oracle.recount import recount
from schemas import envelope, times
from serving.api import make_app
from streams import topics
from streams.log_writer import Writer
from streams.partitioning import partition_of
from tables.cycles import Calendar
from tests.faults.workers import Workers
from tests.reading import running
from tests.story import parse

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.kafka

WAIT_S = 60.0
FIRST_MS = times.parse_ms("2026-08-01T00:00:00Z")
STORY = """== of the tests
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  placed    o-2  1:p-3:3x1000
2026-07-04T08:00Z  received  o-2
2026-07-05T08:00Z  refunded  o-1  r-1 short_weight  1:1:300
2026-07-04T09:00Z  refunded  o-2  r-2 quality  1:2:2000
2026-07-10T08:00Z  refund-returned  o-2 r-2
"""
EVENTS = next(parse(STORY)).events
CYCLE = "2026-06-06T00:00:00Z"
SUMS = ("units", "units_by_currency", "revenue")


def written_ms(number: int) -> int:
    """The time of a record: one event an hour."""
    return FIRST_MS + number * times.HOUR_MS


async def write(settings: Settings) -> None:
    """The events with the times of their records, and one of today, which is no part of them."""
    orders = settings.topic("orders")
    today = EVENTS[0] | {"id": "today", "order_id": "o-9"}
    async with Writer(settings) as writer:
        for number, event in enumerate([*EVENTS, today]):
            key, value, headers = envelope.encode(event)
            at_ms = None if event is today else written_ms(number)
            await writer.send(orders, key, value, headers, timestamp_ms=at_ms)
            await writer.flush()


def counted(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The recount's row of the product in its cycle; zeros without one."""
    rows = recount(events, 30 * times.DAY_MS, 0)["products"]
    found = [row for row in rows if row["product_id"] == "p-3" and row["cycle"]["start"] == CYCLE]
    zeros = dict.fromkeys(("gross", "reversed", "net", "reversals_booked"), 0)
    nothing = {"units": zeros, "units_by_currency": {}, "revenue": {}}
    return {name: (found[0] if found else nothing)[name] for name in SUMS}


class Client:
    """Requests to a reader."""

    def __init__(self, http: AsyncClient) -> None:
        self._http = http

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """An answer, or a problem."""
        answer: dict[str, Any] = (await self._http.get(path, params=query)).json()
        return answer

    async def sums(self, **query: str) -> dict[str, Any]:
        """Units and revenue of the product in its cycle, now or at an earlier moment."""
        answer = await self.get("/v1/products/p-3", cycle=CYCLE, **query)
        return {name: answer.get(name, answer) for name in SUMS}

    async def until_complete(self) -> None:
        """Wait until everything is applied and indexed."""
        deadline = time.monotonic() + WAIT_S
        past = {"as_of": "2026-07-09T00:00:00Z", "known_at": times.format_ms(written_ms(6))}
        while (
            "units" not in await self.get("/v1/products/p-3", **past)
            or (await self.get("/v1/products/p-3", cycle=CYCLE)).get("sold_monthly") != 4
            or "facts" not in await self.get("/v1/orders/o-9")
        ):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_what_was_known_and_what_had_happened(settings: Settings, tmp_path: Path) -> None:
    """Between any two records of the log, and at any event time, as recounted; and both."""
    await topics.create(settings)
    await write(settings)
    with Workers(settings, tmp_path) as workers:
        workers.start("a")
        async with running(settings) as reader:
            transport = ASGITransport(make_app(reader))
            async with AsyncClient(transport=transport, base_url="http://reader") as http:
                client = Client(http)
                await client.until_complete()
                await check_moments(client)
                await check_current_cycles(settings, client)
                await check_explanations(client)
                await check_a_cut_log(settings, client)


async def check_moments(client: Client) -> None:
    """Both axes, alone and together."""
    for number in range(len(EVENTS) + 1):
        known = EVENTS[:number]
        known_at = times.format_ms(written_ms(number) - 1)
        assert await client.sums(known_at=known_at) == counted(known), known_at
        for day in (2, 4, 5, 10):
            as_of = f"2026-07-{day:02}T12:00:00Z"
            had = [event for event in known if time_ms(event["occurred_at"]) <= time_ms(as_of)]
            assert await client.sums(known_at=known_at, as_of=as_of) == counted(had), as_of
    for day in range(1, 12):
        as_of = f"2026-07-{day:02}T12:00:00Z"
        had = [event for event in EVENTS if time_ms(event["occurred_at"]) <= time_ms(as_of)]
        assert await client.sums(as_of=as_of) == counted(had), as_of
    order = await client.get("/v1/orders/o-2", known_at=times.format_ms(written_ms(5)))
    assert [sale["units"]["net"] for sale in order["sales"]] == [1]


async def check_current_cycles(settings: Settings, client: Client) -> None:
    """The cycle of the earliest event time of the partitions, also within a transaction."""
    for number in range(1, len(EVENTS) + 1):
        latest: dict[int, int] = {}
        for event in EVENTS[:number]:
            at = partition_of(event["order_id"].encode(), settings.partitions)
            latest[at] = max(latest.get(at, 0), time_ms(event["occurred_at"]))
        start_ms = Calendar(30 * times.DAY_MS).start_of(min(latest.values()))
        known_at = times.format_ms(written_ms(number) - 1)
        answer = await client.get("/v1/products/p-3", known_at=known_at)
        assert answer["cycle"]["start"] == times.format_short(start_ms), answer
    answer = await client.get("/v1/products/p-3", known_at="1960-01-01T00:00:00Z")
    assert "the log had no event" in answer["detail"]


async def check_explanations(client: Client) -> None:
    """The explanation has the row of the table, its orders by size, and their positions."""
    path = "/v1/products/p-3/explanation"
    explained = await client.get(path, cycle=CYCLE)
    assert {name: explained[name] for name in SUMS} == await client.sums()
    assert [(one["order_id"], one["units"]["net"]) for one in explained["orders"]] == [
        ("o-2", 3),
        ("o-1", 1),
    ]
    assert explained["movement"]["steps"][-1]["running_units"] == explained["units"]["net"]
    known_at = times.format_ms(written_ms(2))
    then = await client.get("/v1/shops/s-7/explanation", cycle=CYCLE, known_at=known_at)
    assert [(one["order_id"], one["units"]["net"]) for one in then["orders"]] == [("o-1", 7)]


async def check_a_cut_log(settings: Settings, client: Client) -> None:
    """Before the first event that the log still has nothing is known; the problem says when."""
    orders = settings.topic("orders")
    found = await client.get("/v1/orders/o-1", known_at=times.format_ms(written_ms(1)))
    (source,) = [name for name, last in found["moment"]["included"].items() if last > 0]
    at = TopicPartition(orders, int(source.rpartition("-")[2]))
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        await admin.delete_records({at: RecordsToDelete(2)})
    finally:
        await admin.close()
    answer = await client.get("/v1/products/p-3", known_at=times.format_ms(FIRST_MS))
    assert answer.get("status") == 422, answer
    assert "begins at 2026-08-01T04:00:00.000Z with offset 2" in answer["detail"]
    kept = times.format_ms(written_ms(4))
    assert "units" in await client.get("/v1/products/p-3", known_at=kept)
