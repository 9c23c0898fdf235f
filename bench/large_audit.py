"""Whether an audit of a large log stays within little memory, and how fast it is.

`python -m bench.large_audit [ORDERS] [PROCESSES …]`.

Each of ORDERS orders is placed, and received LAG orders later. Two workers make the tables, and
stop. Then `netsold audit` runs once for each number of processes (2 and 1 if none is named), and
must find everything equal. Memory is the peak of a command's processes together, disk that of the
audit's own files.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import engines
from bench.__main__ import START_MS
from bench.measure import Job, Measured, processes, watch
from bench.recovery import placed
from bench.replay import command
from operations.local.kafka import LocalKafka
from schemas.times import format_ms
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings

ORDERS = 300_000
LAG = 100_000
PROCESSES = (2, 1)
EVENTS_PER_ORDER = 2
(TWO_WORKERS,) = (engine for engine in engines.ENGINES if engine.name == "netsold_2_processes")


def received(number: int, order: dict[str, Any]) -> dict[str, Any]:
    """The receipt of all lines of an order, when the order `number` is placed."""
    return {
        "type": "receipt_confirmed",
        "id": f"r-{order['id']}",
        "source": order["source"],
        "occurred_at": format_ms(START_MS + 1000 * number),
        "order_id": order["order_id"],
        "by": "logistics",
    }


def traffic(orders: int) -> Iterator[dict[str, Any]]:
    """The events of so many orders; `placed` is run twice, so that none waits in memory."""
    earlier = placed(orders)
    for number, order in enumerate(placed(orders)):
        yield order
        if number >= LAG:
            yield received(number, next(earlier))
    for number, order in enumerate(earlier, max(orders, LAG)):
        yield received(number, order)


async def counted(settings: Settings, directory: Path) -> Measured:
    """Run two workers until the tables include everything."""
    topic = settings.topic(catalogue.ORDERS_TOPIC)
    job = Job(settings.app, topic, TWO_WORKERS.between(settings), TWO_WORKERS.ready)
    with processes(directory) as running:
        for arguments in TWO_WORKERS.commands():
            running.start(arguments, engines.environment_of(settings))
        return await watch(settings, running, job)


class Disk:
    """The peak of the bytes in a directory, by a sample each second."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._ended = directory, threading.Event()
        self.peak_bytes = 0

    def watch(self) -> None:
        """Until `end`."""
        while not self._ended.wait(1.0):
            self.peak_bytes = max(self.peak_bytes, sum(map(_size, self._directory.rglob("*"))))

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it was removed meanwhile
        return 0


@contextmanager
def disk_of(directory: Path) -> Iterator[Disk]:
    """Watch a directory during the block."""
    disk = Disk(directory)
    thread = threading.Thread(target=disk.watch)
    thread.start()
    try:
        yield disk
    finally:
        disk.end()
        thread.join()


def line(name: str, measured: Measured, disk_bytes: int | None = None) -> None:
    """Print a row."""
    disk = "" if disk_bytes is None else f"{disk_bytes / 2**20:,.0f}"
    print(
        f"{name:24}{measured.events_per_s:>11,.0f}{measured.cpu_s_per_million:>10.1f}"
        f"{measured.wall_s:>9,.0f}{measured.peak_rss_mb:>8,.0f}{disk:>10}",
        flush=True,
    )


def show(settings: Settings, directory: Path, orders: int, counts: list[int]) -> None:
    """Measure everything and print the table."""
    began_s = time.monotonic()
    asyncio.run(
        engines.load(settings, catalogue.ORDERS_TOPIC, traffic(orders), START_MS + 1000 * orders)
    )
    print(f"{orders:,} orders written in {time.monotonic() - began_s:,.0f} s", flush=True)
    print(f"{'':24}{'events/s':>11}{'CPU s/M':>10}{'s':>9}{'MiB':>8}{'disk MiB':>10}", flush=True)
    line("live, 2 processes", asyncio.run(counted(settings, directory / "workers")))
    for count in counts:
        arguments = ("audit", "--processes", str(count))
        with disk_of(settings.data_dir / settings.app / "replay") as disk:
            measured = command(
                settings, directory / f"audit-{count}", arguments, EVENTS_PER_ORDER * orders
            )
        line(f"audit, {count} process{'' if count == 1 else 'es'}", measured, disk.peak_bytes)


def main() -> None:
    """Measure and print."""
    orders, *counts = [int(given) for given in sys.argv[1:]] or [ORDERS]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        kafka = LocalKafka(directory)
        bootstrap = kafka.start()
        try:
            show(
                engines.settings_of(bootstrap, directory), directory, orders, counts or [*PROCESSES]
            )
        finally:
            kafka.stop()


if __name__ == "__main__":
    main()
