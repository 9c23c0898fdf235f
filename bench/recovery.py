"""How long a worker takes to restart, and its memory.

`python -m bench.recovery [ORDERS] [--placed]`.

A worker counts ORDERS orders, is killed with -9 and starts again with its store; then it is killed
again, and starts without. It is ready when it logs that its partitions are open. Its memory is the
peak while it counts, and after each start. With `--placed` orders have no events after the placing:
many millions of them are made in minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from bench import engines
from bench.__main__ import START_MS, make_events
from bench.measure import EngineFailed, Job, Processes, processes, watch
from operations.local.kafka import LocalKafka
from operations.simulation.traffic import EVENTS_PER_ORDER
from schemas.times import format_ms
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings

ORDERS = 50_000
READY_S = 300.0
READY = '"event": "lanes open"'
(NETSOLD,) = (engine for engine in engines.ENGINES if engine.name == "netsold")


@dataclass(frozen=True, slots=True)
class Restart:
    """A worker that restarted: ready after `ready_s`, with `restored` records in `opening_s`."""

    ready_s: float
    opening_s: float
    restored: int
    peak_rss_mb: float

    def __str__(self) -> str:
        """One line."""
        rate = f", {self.restored / self.opening_s:,.0f} a second" if self.restored else ""
        opening = f"opened its partitions in {self.opening_s:.2f} s"
        restored = f"{self.restored:,} records restored{rate}"
        return (
            f"ready {self.ready_s:.2f} s after its start; {opening}, {restored};"
            f" {self.peak_rss_mb:,.0f} MiB"
        )


def kill(running: Processes) -> None:
    """Kill the processes, as a power cut would."""
    for process in running.started:
        process.kill()
        process.wait()


def restart(settings: Settings, directory: Path) -> Restart:
    """Start the worker, wait until it is ready, and kill it."""
    with processes(directory) as running:
        started_s = time.monotonic()
        running.start(NETSOLD.commands()[0], engines.environment_of(settings))
        while not running.logged(READY):
            running.sample()
            running.require_alive()
            if time.monotonic() - started_s > READY_S:
                raise EngineFailed(f"not ready in {READY_S:.0f} s: {running.log_tail()}")
            time.sleep(0.02)
        ready_s = time.monotonic() - started_s
        running.sample()
        kill(running)
        line = next(text for text in running.logs[0].read_text().splitlines() if READY in text)
    opened = json.loads(line)
    return Restart(ready_s, opened["seconds"], opened["restored_records"], running.peak_rss_mb)


async def count(settings: Settings, directory: Path) -> float:
    """Run a worker until it has counted everything, and kill it; its peak memory in MiB."""
    job = Job(settings.app, settings.topic(catalogue.ORDERS_TOPIC), NETSOLD.between(settings))
    with processes(directory) as running:
        running.start(NETSOLD.commands()[0], engines.environment_of(settings))
        measured = await watch(settings, running, job)
        kill(running)
    return measured.peak_rss_mb


def placed(count: int) -> Iterator[dict[str, Any]]:
    """`count` placed orders, one a second, of 50,000 buyers, 200 shops and 5,000 products."""
    rng = Random(1)
    for number in range(count):
        product = rng.randrange(5000)
        line = {
            "line_id": "1",
            "product_id": f"p-{product}",
            "quantity": 1 + number % 3,
            "unit_price": rng.randrange(100, 100_000),
        }
        yield {
            "type": "order_placed",
            "id": f"e-{number}",
            "source": "urn:netsold:bench",
            "occurred_at": format_ms(START_MS + 1000 * number),
            "order_id": f"o-{number}",
            "shop_id": f"s-{product % 200}",
            "buyer_id": f"b-{rng.randrange(50_000)}",
            "currency": "CNY",
            "lines": [line],
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.recovery")
    parser.add_argument("orders", type=int, nargs="?", default=ORDERS)
    parser.add_argument("--placed", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        count_ = given.orders if given.placed else round(given.orders * EVENTS_PER_ORDER)
        events = (
            placed(count_)
            if given.placed
            else make_events(directory / "events.jsonl", count_).bare()
        )
        kafka = LocalKafka(directory)
        bootstrap = kafka.start()
        try:
            settings = engines.settings_of(bootstrap, directory)
            asyncio.run(engines.load(settings, catalogue.ORDERS_TOPIC, events, START_MS))
            peak = asyncio.run(count(settings, directory / "first"))
            print(f"counting {count_:,} events of about {given.orders:,} orders: {peak:,.0f} MiB")
            print(f"killed, with its store: {restart(settings, directory / 'second')}")
            shutil.rmtree(settings.data_dir / settings.app)
            print(f"killed, store lost: {restart(settings, directory / 'third')}")
        finally:
            kafka.stop()


if __name__ == "__main__":
    main()
