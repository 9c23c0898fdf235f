"""What the bench of readers writes to the log: a history that names every product, then traffic.

`python -m bench.history FILE RATE` writes the traffic of a file at a rate, as producers would, and
prints as JSON what it reached; SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from operations.simulation.market import Market
from operations.simulation.traffic import ALL_EVENTS_PER_ORDER, Plan, traffic
from schemas.envelope import encode
from schemas.events import topic_of
from schemas.times import format_ms
from streams.log_writer import Writer
from streams.partitioning import partition_of
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import EventSettings

CYCLES = 4
LINES = 20
BUYERS = 50_000
LIFE_DAY_MS = 1000
SLICE = 20
"""Records of the traffic that are written, and decoded, at once."""

Item = tuple[str, bytes, bytes, list[tuple[str, bytes]], int]
"""A record as `Writer.send` takes it: topic on the cluster, key, value, headers, partition."""


def item(settings: EventSettings, event: dict[str, Any]) -> Item:
    """An event as a record."""
    topic = settings.topic(topic_of(event["type"]))
    key, value, headers = encode(event)
    partition = partition_of(key, settings.partitions, settings.partitioner)
    return topic, key, value, headers, partition


def sale(order: dict[str, Any], lines: list[dict[str, Any]], at_ms: int) -> list[dict[str, Any]]:
    """An order of these lines and its receipt, a second apart; `order` has its ids and currency."""
    common = {"source": "/bench", "order_id": order["order_id"]}
    placed = common | order | {"type": "order_placed", "id": f"{order['order_id']}-1"}
    received = common | {"type": "receipt_confirmed", "id": f"{order['order_id']}-2"}
    return [
        placed | {"occurred_at": format_ms(at_ms), "lines": lines},
        received | {"occurred_at": format_ms(at_ms + 1000), "by": "logistics"},
    ]


def history(plan: Plan, cycle_ms: int) -> Iterator[dict[str, Any]]:
    """Sales of every product of a plan's market in each of the CYCLES until the plan's start."""
    rng, market = Random(plan.seed), Market(plan.shops, plan.products, BUYERS)
    for back in reversed(range(CYCLES)):
        at_ms = plan.start_ms - back * cycle_ms - 60_000
        for shop, products in market.sold_by.items():
            for begin in range(0, len(products), LINES):
                lines = [
                    {
                        "line_id": str(number),
                        "product_id": f"p-{product + 1}",
                        "quantity": 1 + min(int(rng.paretovariate(1.0)), 900),
                        "unit_price": market.prices[product],
                    }
                    for number, product in enumerate(products[begin : begin + LINES])
                ]
                order = {
                    "order_id": f"h-{back}-{shop}-{begin}",
                    "shop_id": f"s-{shop + 1}",
                    "buyer_id": f"b-{rng.randrange(BUYERS)}",
                    "currency": market.currency[shop],
                }
                yield from sale(order, lines, at_ms)


def make_traffic(settings: EventSettings, plan: Plan, count: int, path: Path) -> None:
    """Write `count` simulated events of a plan into a file, as records, in the order of time."""
    encoder = msgspec.msgpack.Encoder()
    made = (item(settings, event) for _, event in islice(traffic(plan), count))
    with path.open("wb") as file:
        while some := list(islice(made, SLICE)):
            encoded = encoder.encode(some)
            file.write(len(encoded).to_bytes(4, "big") + encoded)


def plan_of(products: int, shops: int, rate: float, start_ms: int) -> Plan:
    """A plan of traffic at a rate of events a second. A day in an order's life takes a second."""
    return Plan(
        1,
        "bench",
        start_ms,
        1000 * ALL_EVENTS_PER_ORDER / rate,
        LIFE_DAY_MS,
        shops,
        products,
        BUYERS,
    )


async def write(settings: Settings, path: Path, rate: float) -> dict[str, float]:
    """Write the records of a file at a rate until it ends or SIGTERM comes; what was reached."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    decoder = msgspec.msgpack.Decoder(list[Item])
    written, late_s = 0, 0.0
    async with Writer(settings) as writer:
        began_s = time.monotonic()
        with path.open("rb") as file:
            while not stop.is_set() and (head := file.read(4)):
                for record in decoder.decode(file.read(int.from_bytes(head, "big"))):
                    await writer.send(*record)
                    written += 1
                await writer.push()
                ahead_s = began_s + written / rate - time.monotonic()
                late_s = max(late_s, -ahead_s)
                await asyncio.sleep(max(0.0, ahead_s))
        await writer.flush()
    return {"events": written, "seconds": time.monotonic() - began_s, "late_s": late_s}


def main(path: str, rate: str) -> None:
    """Write, and print what was reached."""
    reached = asyncio.run(write(Settings(compression="lz4"), Path(path), float(rate)))
    print(msgspec.json.encode(reached).decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
