"""How fast a reader fills its store from a real log, and what it answers meanwhile.

`python -m bench.fill [EVENTS]`.

A worker turns EVENTS simulated events of orders and chats into tables. Then each topic that a
reader follows is read and applied alone, in this process: what fetching and what applying costs.
Then a reader in a process of its own fills an empty store, and catches up after it was away, while
one client asks it for products, one after the other. Records are those delivered, without the
control records of transactions.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from bench import engines
from bench.__main__ import DAYS, START_MS
from bench.measure import EngineFailed, Job, Processes, processes, watch
from bench.recovery import NETSOLD
from operations.local.kafka import LocalKafka
from operations.simulation.traffic import ALL_EVENTS_PER_ORDER, Plan, traffic
from schemas.envelope import encode
from schemas.events import topic_of
from schemas.times import DAY_MS
from serving.applying import Applier
from serving.changes import Changes
from serving.reader import Reader
from serving.store import Store
from serving.turns import whole
from streams import log, topics
from streams.log_writer import Writer
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.settings import Settings

EVENTS = 200_000
LATER = 0.25
"""The share of the events that is written while the reader is away."""

PRODUCTS = 5000
LIVE_S = 600.0
SERVE = (sys.executable, "-m", "operations.cli", "serve")


@dataclass(slots=True)
class Reads:
    """What one client got: how many answers of each status, and how long those with 200 took."""

    statuses: Counter[int] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        """One line."""
        refused = {status: count for status, count in self.statuses.items() if status != 200}
        if not self.times_ms:
            return f"no answer but {refused}"
        found = sorted(self.times_ms)
        p50, p99 = found[len(found) // 2], found[len(found) * 99 // 100]
        also = f", and {refused}" if refused else ""
        return (
            f"{len(found) / self.seconds:,.0f} point reads/s,"
            f" p50 {p50:.1f} ms, p99 {p99:.1f} ms{also}"
        )


class Client:
    """Asks for random products, one after the other, until the block ends."""

    def __init__(self, port: int) -> None:
        self.reads = Reads()
        self._port = port
        self._ended = Event()
        self._thread = Thread(target=self._ask)

    def __enter__(self) -> Reads:
        """Begin to ask."""
        self._thread.start()
        return self.reads

    def __exit__(self, *_: object) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        rng, began_s = random.Random(1), time.perf_counter()
        connection = HTTPConnection("127.0.0.1", self._port)
        while not self._ended.is_set():
            request_s = time.perf_counter()
            try:
                connection.request("GET", f"/v1/products/p-{rng.randrange(PRODUCTS)}")
                answer = connection.getresponse()
                answer.read()
            except OSError:  # it doesn't listen yet
                connection.close()
                time.sleep(0.02)
                continue
            self.reads.statuses[answer.status] += 1
            if answer.status == 200:
                self.reads.times_ms.append((time.perf_counter() - request_s) * 1000)
            else:
                time.sleep(0.02)
        self.reads.seconds = time.perf_counter() - began_s
        connection.close()


def events(count: int) -> Iterable[tuple[str, Any]]:
    """The first events of a simulated history, each with the topic that it belongs to."""
    plan = Plan(1, "bench", START_MS, DAYS * DAY_MS * ALL_EVENTS_PER_ORDER / count)
    for _, event in islice(traffic(plan), count):
        yield topic_of(event["type"]), event


async def write(settings: Settings, made: Iterable[tuple[str, Any]]) -> None:
    """Write events, and let a worker make the tables of them."""
    async with Writer(settings) as writer:
        for topic, event in made:
            await writer.send(settings.topic(topic), *encode(event))
    read = [catalogue.CHATS_TOPIC, catalogue.SALES_TOPIC, catalogue.SHOP_ACTIVITY_TOPIC]
    job = Job(
        settings.app,
        settings.topic(catalogue.ORDERS_TOPIC),
        lambda _: [settings.topic(name) for name in read],
    )
    with processes(settings.data_dir / "worker-logs") as running:
        running.start(NETSOLD.commands()[0], engines.environment_of(settings))
        await watch(settings, running, job)


async def one_topic(settings: Settings, topic: str, directory: Path) -> tuple[int, float, float]:
    """Read a topic alone, and apply it to an empty store: records, and CPU seconds of each."""
    reader = Reader(settings)
    identity: Any = await reader.identity()
    beginnings, _ = await log.bounds(settings, [topic])
    store = Store(directory / topic, identity)
    applier = Applier(store, reader.names, beginnings, Changes())
    count, applying_s, began_s = 0, 0.0, time.process_time()
    async with aclosing(log.follow(settings, beginnings)) as steps:
        async for step in steps:
            step_s = time.process_time()
            count += whole(applier.apply(step))
            applying_s += time.process_time() - step_s
            if not step.behind:
                break
    seconds = time.process_time() - began_s
    store.close()
    return count, seconds - applying_s, applying_s


async def by_topic(settings: Settings, directory: Path) -> int:
    """Print what each topic costs; the number of all records."""
    total = 0
    for topic, name in Reader(settings).names.items():
        count, fetching_s, applying_s = await one_topic(settings, topic, directory)
        total += count
        if count:
            print(
                f"  {name:24} {count:>9,} records  fetching {fetching_s / count * 1e6:5.1f} µs"
                f"  applying {applying_s / count * 1e6:5.1f} µs"
                f"  {count / (fetching_s + applying_s):>9,.0f} a CPU second"
            )
    return total


def logged(running: Processes, event: str) -> dict[str, Any] | None:
    """The first log line of an event, if there is one."""
    lines = running.logs[0].read_text(errors="replace").splitlines()
    found = (json.loads(line) for line in lines if f'"event": "{event}"' in line)
    return next(found, None)


def fill(settings: Settings, directory: Path, port: int) -> tuple[float, float, float, Reads]:
    """Start a reader, and ask it for products until it is live.

    Seconds and CPU seconds from its first contact with the log, its peak of memory in MiB, reads.
    """
    environment = engines.environment_of(settings) | {"NETSOLD_READER_PORT": str(port)}
    with processes(directory) as running:
        began_s, before_s = time.monotonic(), 0.0
        running.start(SERVE, environment)
        with Client(port) as reads:
            while (live := logged(running, "live")) is None:
                cpu_s = running.sample()
                if logged(running, "following") is None:
                    before_s = cpu_s
                running.require_alive()
                if time.monotonic() - began_s > LIVE_S:
                    raise EngineFailed(f"not live in {LIVE_S:.0f} s: {running.log_tail()}")
                time.sleep(0.05)
            cpu_s = running.sample()
        following = logged(running, "following") or live
    first, last = (datetime.fromisoformat(one["timestamp"]) for one in (following, live))
    return (last - first).total_seconds(), cpu_s - before_s, running.peak_rss_mb, reads


def shown(what: str, count: int, filled: tuple[float, float, float, Reads]) -> str:
    """The line of a fill."""
    seconds, cpu_s, peak_mib, reads = filled
    return (
        f"{what}: {count:,} records in {seconds:.1f} s, {count / seconds:,.0f} a second,"
        f" {cpu_s / count * 1e6:.1f} CPU s a million, peak {peak_mib:,.0f} MiB; {reads}"
    )


async def delivered(settings: Settings, starts: Mapping[log.At, int]) -> int:
    """How many records a reader gets from these offsets on."""
    count = 0
    async with aclosing(log.follow(settings, starts)) as steps:
        async for step in steps:
            count += sum(map(len, step.records.values()))
            if not step.behind:
                break
    return count


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def main(count: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        kafka = LocalKafka(directory)
        bootstrap = kafka.start()
        try:
            settings = engines.settings_of(bootstrap, directory)
            asyncio.run(topics.create(settings))
            made = iter(events(count))
            asyncio.run(write(settings, islice(made, round(count * (1 - LATER)))))
            print("each topic alone, in this process, CPU of all its threads:")
            total = asyncio.run(by_topic(settings, directory / "alone"))
            port = free_port()
            print(shown("empty store", total, fill(settings, directory / "first", port)))
            names = Reader(settings).names
            ends = asyncio.run(log.ends(settings, names))
            asyncio.run(write(settings, made))
            later = asyncio.run(delivered(settings, ends))
            print(shown("after being away", later, fill(settings, directory / "second", port)))
        finally:
            kafka.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS)
