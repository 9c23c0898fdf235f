"""The costs of the event index, and how long explanations take.

`python -m bench.explain [ORDERS]`.

It starts a Kafka, and writes five events of each order, round by round, so that the events of an
order lie as far apart as they can; and the rows of the orders' table, as a worker would. A reader
follows the table, then fills its index. Then orders chosen at random are explained and found, one
after the other, over the API without a network between.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import psutil
from httpx import ASGITransport, AsyncClient

from operations.local.kafka import LocalKafka
from schemas import envelope
from schemas.envelope import Received
from schemas.times import parse_ms
from serving.api import make_app
from serving.reader import Reader
from streams import log, topics
from streams.log_writer import Writer
from streams.marks import MARK_KEY, Mark, encode_mark
from streams.partitioning import partition_of
from streams.settings import Kafka, Settings
from tables import catalogue, orders
from tables.orders import EMPTY
from tests.flow import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORDERS = 20_000
EXPLAINED = 300
NUMBER = "00000000"
COMMON: dict[str, Any] = {"source": "/bench", "order_id": f"o-{NUMBER}"}
LINE: dict[str, Any] = {
    "line_id": "1",
    "product_id": f"p-{NUMBER[4:]}",
    "quantity": 2,
    "unit_price": 990,
}
OWN: list[dict[str, Any]] = [
    {
        "type": "order_placed",
        "shop_id": f"s-{NUMBER[5:]}",
        "buyer_id": f"b-{NUMBER}",
        "currency": "CNY",
        "lines": [LINE],
    },
    {"type": "order_paid", "amount": 1980},
    {"type": "order_shipped", "carrier": "c-1", "tracking_no": f"t-{NUMBER}"},
    {"type": "receipt_confirmed", "by": "logistics"},
    {
        "type": "refund_succeeded",
        "refund_id": f"r-{NUMBER}",
        "reason": "quality",
        "lines": [{"line_id": "1", "quantity": 1, "amount": 990}],
    },
]
EVENTS = [
    COMMON | own | {"id": f"e{year}-{NUMBER}", "occurred_at": f"202{year}-07-01T08:00:00Z"}
    for year, own in enumerate(OWN)
]


def numbered(template: bytes, number: int) -> bytes:
    """A template with an order's number in place of all zeros."""
    text = b"%08d" % number
    for zeros, digits in ((NUMBER, text), (NUMBER[4:], text[4:]), (NUMBER[5:], text[5:])):
        template = template.replace(b"-" + zeros.encode() + b'"', b"-" + digits + b'"')
    return template


def state() -> bytes:
    """The row of an order with all its events, as a template."""
    order = EMPTY
    for event in EVENTS:
        key, value, headers = envelope.encode(event)
        reading = envelope.read(Record("orders", 0, 0, 0, key, value, headers))
        if not isinstance(reading, Received):
            raise TypeError(reading)
        order = orders.absorb(order, reading)
    return orders.encode(order)


async def write(settings: Settings, count: int) -> None:
    """Write the events of all orders, then the table's rows and its marks."""
    topic, changelog = settings.topic("orders"), topics.changelog(settings, catalogue.ORDERS.name)
    async with Writer(settings) as writer:
        for event in EVENTS:
            _, value, headers = envelope.encode(event)
            for number in range(count):
                key = b"o-%08d" % number
                own = [
                    (name, numbered(text + b'"', number)[:-1] if name != "ce_subject" else key)
                    for name, text in headers
                ]
                await writer.send(topic, key, numbered(value, number), own)
    ends = await log.ends(settings, [topic])
    row, terms = state(), parse_ms("2024-07-01T08:00:00Z")
    async with Writer(settings) as writer:
        for number in range(count):
            key = b"o-%08d" % number
            partition = partition_of(key, settings.partitions)
            await writer.send(changelog, key, numbered(row, number), [], partition=partition)
        for (_, partition), end in ends.items():
            mark = Mark(end - 1, terms, topic=topic, topic_id="id", partition=partition)
            await writer.send(changelog, MARK_KEY, encode_mark(mark), [], partition=partition)


def size_mib(directory: Path) -> float:
    """The bytes of all files below a directory."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files) / 2**20


async def until(condition: Callable[[], bool]) -> float:
    """The seconds until a condition is met."""
    began_s = time.perf_counter()
    while not condition():  # noqa: ASYNC110 - what is awaited is of several kinds
        await asyncio.sleep(0.01)
    return time.perf_counter() - began_s


async def timed(client: AsyncClient, addresses: Iterator[str]) -> str:
    """Milliseconds of one answer: the median, the 99th of 100, and the maximum."""
    times_ms = []
    for address in addresses:
        began_s = time.perf_counter()
        response = await client.get(address)
        times_ms.append((time.perf_counter() - began_s) * 1000)
        if response.status_code != 200:
            raise AssertionError(response.text)
    times_ms.sort()
    p50, p99 = times_ms[len(times_ms) // 2], times_ms[len(times_ms) * 99 // 100]
    return f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms, most {times_ms[-1]:,.0f} ms"


async def measure(settings: Settings, count: int) -> None:
    """Print the table."""
    await topics.create(settings)
    began_s = time.perf_counter()
    await write(settings, count)
    print(
        f"{count:,} orders, {5 * count:,} events; written in {time.perf_counter() - began_s:,.0f} s"
    )
    reader = Reader(settings)
    directory, rng = settings.data_dir / "reader", Random(1)
    task = asyncio.create_task(reader.run())
    try:
        tables_s = await until(lambda: reader.live)
        tables_mib = size_mib(directory)
        print(f"tables live after {tables_s:,.1f} s, {count / tables_s:,.0f} rows a second")
        index_s = await until(
            lambda: reader.index.progress is not None and reader.index.progress.live
        )
        index_mib = size_mib(directory / "events")
        print(f"index complete {index_s:,.1f} s later, {5 * count / index_s:,.0f} events a second")
        print(f"disk {tables_mib:,.0f} MiB without the index, {index_mib:,.0f} MiB for it")
        transport = ASGITransport(make_app(reader))
        async with AsyncClient(transport=transport, base_url="http://bench") as client:
            numbers = [rng.randrange(count) for _ in range(EXPLAINED)]
            found = (await client.get(f"/v1/orders/o-{numbers[0]:08}/explanation")).json()
            if len(found["events"]) != len(EVENTS) or found["result"]["units"]["net"] != 1:
                raise AssertionError(found)
            for name, address in (
                ("explain order", "/v1/orders/o-{:08}/explanation"),
                ("find --refund", "/v1/find?refund=r-{:08}"),
                (
                    "find --from, 20 orders",
                    "/v1/find?limit=20&from=2020-07-01T00:00:00Z&max_lag=99999h",
                ),
            ):
                print(f"{name}: {await timed(client, (address.format(n) for n in numbers))}")
        print(f"memory {psutil.Process().memory_info().rss / 2**20:,.0f} MiB")
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def main(count: int) -> None:
    """Start a Kafka of its own, and measure."""
    with tempfile.TemporaryDirectory() as directory:
        kafka = LocalKafka(Path(directory))
        kafka.start()
        try:
            settings = Settings(
                _env_file=None,
                data_dir=Path(directory),
                kafka=Kafka(bootstrap_servers=kafka.status().bootstrap),
            )
            asyncio.run(measure(settings, count))
        finally:
            kafka.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS)
