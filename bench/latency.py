"""From an append to the committed table and to a reader's answer, beside traffic.

`python -m bench.latency [RATE …] [--seconds N] [--steps]`, rates in events a second. At 0 nothing
is written, and the CPU of an idle application is printed.

A Kafka, a worker, a reader and a writer of simulated traffic are started, each a process as in
production. Ten times a second a probe appends an order of a product of its own and its receipt. Its
clock starts before they are sent. Instants of its way are the times of its record in `sales` and of
its product's row, which the two stages set when they write them, the arrival of the row at a
consumer of committed records, and the answer to a request with `min_position`. `--steps` switches
traces on and prints the mean of a transaction's steps instead; that costs the worker CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.engines import environment_of, settings_of
from bench.history import item, make_traffic, plan_of, sale
from bench.measure import processes
from operations.local.kafka import LocalKafka
from operations.local.ports import LOCALHOST, accepts, free_port
from operations.reader_client import ReaderNotReady, get
from schemas.journal import Entry
from streams import log, topics
from streams.log_writer import Writer
from tables.catalogue import PRODUCT_TOTALS, SALES_TOPIC, SHOP_ACTIVITY_TOPIC
from tests.collector import attributes, collecting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.measure import Processes
    from streams.settings import Settings
    from tests.collector import Collector

RATES: Final = (1_000, 10_000)
SECONDS: Final = 20
WARM_UP_S: Final = 8
EVERY_S: Final = 0.1
LAST_S: Final = 40.0
"""How long after its append a probe may take."""

PRODUCTS, SHOPS = 2_000, 100
MOST_WAITING: Final = 64
"""Requests of probes that wait for their answers at the same time."""


@dataclass(slots=True)
class Probe:
    """Instants of an append's way, in epoch seconds."""

    product: str
    began_s: float
    entry_s: float | None = None
    row_s: float | None = None
    readable_s: float | None = None
    answered_s: float | None = None


@dataclass(slots=True)
class Probing:
    """The probes of one run, by product."""

    settings: Settings
    seconds: float
    probes: dict[str, Probe] = field(default_factory=dict)
    appended: bool = False

    async def run(self) -> None:
        """Append, and note when each append is to be seen. Raises TimeoutError."""
        changelog = topics.changelog(self.settings, PRODUCT_TOTALS.name)
        ends = await log.ends(self.settings, [changelog])
        following = asyncio.create_task(self._follow(ends))
        with ThreadPoolExecutor(MOST_WAITING) as waiting:
            answers = await self._append(waiting)
            async with asyncio.timeout(LAST_S):
                await asyncio.gather(*answers)
                await following

    async def _append(self, waiting: ThreadPoolExecutor) -> list[asyncio.Future[None]]:
        answers: list[asyncio.Future[None]] = []
        loop = asyncio.get_running_loop()
        async with Writer(self.settings) as writer:
            begin_s, rng = time.monotonic(), Random(0)
            for number in range(round(self.seconds / EVERY_S)):
                # at a random instant of its part: workers and readers have intervals of their own
                at_s = begin_s + (number + rng.random()) * EVERY_S
                await asyncio.sleep(max(0.0, at_s - time.monotonic()))
                probe = Probe(f"probe-{int(begin_s)}-{number}", time.time())
                self.probes[probe.product] = probe
                position = await self._sell(writer, probe)
                answers.append(loop.run_in_executor(waiting, self._answer, probe, position))
        self.appended = True
        return answers

    async def _sell(self, writer: Writer, probe: Probe) -> str:
        """Append an order of the product and its receipt; their position."""
        order = {
            "order_id": probe.product,
            "shop_id": "s-1",
            "buyer_id": "b-1",
            "currency": "CNY",
        }
        line = {"line_id": "1", "product_id": probe.product, "quantity": 1, "unit_price": 990}
        records = [
            item(self.settings, event)
            for event in sale(order, [line], int(probe.began_s * 1000) - 1000)
        ]
        for record in records:
            await writer.send(*record)
        await writer.flush()
        topic, *_, partition = records[-1]
        return f"{topic}-{partition}:{writer.positions[topic, partition]}"

    def _answer(self, probe: Probe, position: str) -> None:
        while probe.answered_s is None:
            with suppress(ReaderNotReady):  # it waits 10 s itself
                get(self.settings, f"/v1/products/{probe.product}", {"min_position": position})
                probe.answered_s = time.time()

    async def _follow(self, starts: dict[log.At, int]) -> None:
        async with aclosing(log.follow(self.settings, starts)) as steps:
            async for step in steps:
                now_s = time.time()
                for record in (one for some in step.records.values() for one in some):
                    probe = self.probes.get((record.key or b"").decode())
                    if probe is not None and probe.readable_s is None:
                        probe.readable_s, probe.row_s = now_s, record.timestamp / 1000
                if self.appended and all(one.readable_s for one in self.probes.values()):
                    return


@dataclass(frozen=True, slots=True)
class Sample:
    """What the worker has done until an instant; transactions are (count, seconds) by stage."""

    at_s: float
    cpu_s: dict[str, float]
    transactions: dict[str, tuple[float, float]]


def sample(worker: Processes, reader: Processes, port: int) -> Sample:
    """What the processes have done so far; the worker's metrics are at a port."""
    with urllib.request.urlopen(f"http://{LOCALHOST}:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    counts: defaultdict[str, float] = defaultdict(float)
    seconds: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        if family.name == "netsold_apply_duration_seconds":
            for one in family.samples:
                if one.labels["step"] == "transaction" and one.name.endswith("_count"):
                    counts[one.labels["stage"]] = one.value
                if one.labels["step"] == "transaction" and one.name.endswith("_sum"):
                    seconds[one.labels["stage"]] = one.value
    brokers = [one for one in psutil.Process().children(recursive=True) if one.name() == "java"]
    broker_s = sum(sum(one.cpu_times()[:2]) for one in brokers)
    found = {stage: (counts[stage], seconds[stage]) for stage in counts}
    cpu_s = {"worker": worker.sample(), "reader": reader.sample(), "broker": broker_s}
    return Sample(time.monotonic(), cpu_s, found)


async def share_of_marks(settings: Settings, starts: dict[log.At, int]) -> tuple[int, int]:
    """The journal's marks since `starts`, and all of its records."""
    marks = records = 0
    for topic in {topic for topic, _ in starts}:
        begins = {number: start for (name, number), start in starts.items() if name == topic}
        async for some in log.records(settings, topic, begins):
            records += len(some)
            marks += sum(record.key is None for record in some)
    return marks, records


async def note_entries(settings: Settings, starts: dict[log.At, int], probing: Probing) -> None:
    """Note when the order stage wrote the entries of probes."""
    decoder = msgspec.json.Decoder(Entry)
    begins = {number: start for (_, number), start in starts.items()}
    async for some in log.records(settings, settings.topic(SALES_TOPIC), begins):
        for record in some:
            if record.key is not None and record.key.startswith(b"probe-"):
                probe = probing.probes.get(decoder.decode(record.value or b"").product_id)
                if probe is not None:
                    probe.entry_s = record.timestamp / 1000


def percentile(values: Iterable[float], share: int) -> float:
    """A percentile of seconds, in milliseconds."""
    ordered = sorted(values)
    return ordered[len(ordered) * share // 100] * 1000


def show(rate: int, probing: Probing, begun: Sample, ended: Sample, marks: tuple[int, int]) -> None:
    """Print the figures of one rate."""
    ways: dict[str, list[float]] = defaultdict(list)
    for one in probing.probes.values():
        entry_s, row_s = one.entry_s or 0.0, one.row_s or 0.0
        readable_s, answered_s = one.readable_s or 0.0, one.answered_s or 0.0
        ways["append → order stage writes"].append(entry_s - one.began_s)
        ways["→ product stage writes"].append(row_s - entry_s)
        ways["→ row is readable"].append(readable_s - row_s)
        ways["append → row is readable"].append(readable_s - one.began_s)
        ways["append → reader's answer"].append(answered_s - one.began_s)
    print(f"{rate:,} events/s, {len(probing.probes)} appends")
    for name, values in ways.items():
        print(
            f"  {name:28} p50 {percentile(values, 50):6.0f}  p99 {percentile(values, 99):6.0f} ms"
        )
    show_transactions(begun, ended)
    print(f"  marks {marks[0]:,} of {marks[1]:,} journal records, {marks[0] / marks[1]:.0%}")
    show_cpu(begun, ended)


def show_transactions(begun: Sample, ended: Sample) -> None:
    """Print how many transactions there were between two samples, and their mean length."""
    seconds = ended.at_s - begun.at_s
    counts = {
        stage: count - begun.transactions.get(stage, (0, 0))[0]
        for stage, (count, _) in ended.transactions.items()
    }
    in_them_s = sum(took for _, took in ended.transactions.values()) - sum(
        took for _, took in begun.transactions.values()
    )
    count = sum(counts.values())
    by_stage = ", ".join(f"{stage} {some / seconds:.1f}" for stage, some in sorted(counts.items()))
    each_s = in_them_s / count if count else 0.0
    print(f"  transactions/s {count / seconds:.1f} ({by_stage}), each {each_s:.4f} s")


def show_cpu(begun: Sample, ended: Sample) -> None:
    """Print the CPU of the processes between two samples."""
    hours = (ended.at_s - begun.at_s) / 3600
    used = (
        f"{name} {(cpu_s - begun.cpu_s[name]) / hours:,.0f}" for name, cpu_s in ended.cpu_s.items()
    )
    print(f"  CPU seconds an hour: {', '.join(used)}", flush=True)


def show_steps(collector: Collector) -> None:
    """Print the mean of each step of transactions, by stage."""
    stages: dict[bytes, str] = {
        span.span_id: attributes(span)["netsold.stage"]
        for _, span in collector.spans
        if span.name.startswith("process ")
    }
    took: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for _, span in collector.spans:
        if (stage := stages.get(span.parent_span_id)) is not None:
            took[stage, span.name].append(span.end_time_unix_nano - span.start_time_unix_nano)
    for (stage, step), some in took.items():
        print(f"  {stage:14} {step:12} mean {sum(some) / len(some) / 1e6:7.2f} ms of {len(some):,}")


def run(kafka: str, rate: int, directory: Path, seconds: int, *, steps: bool) -> None:
    """Measure at one rate, and print. Raises EngineFailed and TimeoutError."""
    settings = settings_of(kafka, directory).model_copy(update={"reader_port": free_port(0)})
    port = free_port(0)
    environment = environment_of(settings) | {
        "NETSOLD_READER_PORT": str(settings.reader_port),
        "NETSOLD_IDLE_TICK_MS": str(settings.idle_tick_ms),
    }
    traffic = directory / f"traffic-{rate}"
    if rate:
        plan = plan_of(PRODUCTS, SHOPS, rate, int(time.time() * 1000))
        make_traffic(settings, plan, rate * (WARM_UP_S + seconds + 5), traffic)
    asyncio.run(topics.create(settings))
    netsold = [sys.executable, "-m", "operations.cli"]
    with ExitStack() as ends:
        worker = ends.enter_context(processes(settings.data_dir / "worker-log"))
        reader = ends.enter_context(processes(settings.data_dir / "reader-log"))
        writer = ends.enter_context(processes(settings.data_dir / "writer-log"))
        collector = ends.enter_context(collecting())
        tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address} if steps else {}
        worker.start(
            [*netsold, "worker", "--name", "1"],
            environment | tracing | {"NETSOLD_METRICS_PORT": str(port)},
        )
        while not worker.logged('"event": "lanes open"'):
            worker.require_alive()
            time.sleep(0.1)
        reader.start([*netsold, "serve"], environment)
        while not accepts(LOCALHOST, settings.reader_port):
            reader.require_alive()
            time.sleep(0.1)
        if rate:
            command = [sys.executable, "-m", "bench.history", str(traffic), str(rate)]
            writer.start(command, environment)
        time.sleep(WARM_UP_S)
        journal = [settings.topic(name) for name in (SALES_TOPIC, SHOP_ACTIVITY_TOPIC)]
        starts = asyncio.run(log.ends(settings, journal))
        collector.spans.clear()
        probing, begun = Probing(settings, seconds), sample(worker, reader, port)
        if rate:
            asyncio.run(probing.run())
        else:
            time.sleep(seconds)
        ended = sample(worker, reader, port)
        worker.require_alive()
    if not rate:
        print("0 events/s")
        show_transactions(begun, ended)
        show_cpu(begun, ended)
        return
    sales = {at: start for at, start in starts.items() if at[0] == journal[0]}
    asyncio.run(note_entries(settings, sales, probing))
    show(rate, probing, begun, ended, asyncio.run(share_of_marks(settings, starts)))
    if steps:
        show_steps(collector)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency")
    parser.add_argument("rates", type=int, nargs="*", default=RATES)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each rate")
    parser.add_argument("--steps", action="store_true", help="the steps of transactions, traced")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        kafka = LocalKafka(Path(name))
        measure = partial(run, kafka.start(), directory=Path(name), seconds=given.seconds)
        try:
            for rate in given.rates:
                measure(rate, steps=given.steps)
        finally:
            kafka.stop()


if __name__ == "__main__":
    main()
