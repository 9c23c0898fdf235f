"""How fast the log is counted again, beside reading it alone and beside the live pipeline.

`python -m bench.replay [EVENTS]`.

One worker turns EVENTS simulated events of orders into tables, and stops. Then the topic is read
alone, and `netsold audit`, `netsold replay --dry-run` and `netsold recount` count it again, each as
a process of its own, start-up included; that is also measured alone. All run on the same machine
as the broker, one after the other. Memory is the peak of each command's processes together.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import engines
from bench.__main__ import make_events
from bench.measure import EngineFailed, Job, Measured, processes, watch
from bench.recovery import NETSOLD
from operations.local.kafka import LocalKafka
from operations.replaying.processes import quiet
from operations.replaying.source_log import KafkaLog
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.engines import Events
    from streams.settings import Settings

EVENTS = 500_000
SAMPLE_S = 0.05
CLI = (sys.executable, "-m", "operations.cli")
COMMANDS = {
    "audit": ("audit",),
    "audit --processes 2": ("audit", "--processes", "2"),
    "replay --dry-run": ("replay", "--dry-run"),
    "replay --dry-run --processes 2": ("replay", "--dry-run", "--processes", "2"),
}


async def live(settings: Settings, directory: Path) -> Measured:
    """Run a worker until all tables include everything."""
    job = Job(settings.app, settings.topic(catalogue.ORDERS_TOPIC), NETSOLD.between(settings))
    with processes(directory) as running:
        running.start(NETSOLD.commands()[0], engines.environment_of(settings))
        return await watch(settings, running, job)


async def read_alone(settings: Settings, name: str) -> Measured:
    """Read a topic as a replay reads it, and do nothing with it."""
    quiet()
    log, topic = KafkaLog(settings), settings.topic(name)
    beginnings, ends = await log.bounds([topic])
    started_s, cpu_s, count = time.monotonic(), time.process_time(), 0
    async with aclosing(log.spans(beginnings, ends)) as steps:
        async for step in steps:
            count += sum(map(len, step.records.values()))
    return Measured(count, time.monotonic() - started_s, time.process_time() - cpu_s, 0.0)


def command(
    settings: Settings, directory: Path, arguments: tuple[str, ...], events: int
) -> Measured:
    """Run a command to its end. Raises EngineFailed unless it found everything equal."""
    with processes(directory) as running:
        started_s = time.monotonic()
        running.start((*CLI, *arguments), engines.environment_of(settings))
        (process,) = running.started
        cpu_s = 0.0
        while process.poll() is None:
            cpu_s = max(cpu_s, running.sample())
            time.sleep(SAMPLE_S)
        wall_s = time.monotonic() - started_s
        if process.returncode:
            raise EngineFailed(f"{arguments}: exit code {process.returncode}: {running.log_tail()}")
        return Measured(events, wall_s, cpu_s, running.peak_rss_mb)


def line(name: str, measured: Measured, alone: Measured, pipeline: Measured) -> None:
    """Print a row."""
    rate = measured.events_per_s
    print(
        f"{name:32}{rate:>11,.0f}{measured.cpu_s_per_million:>10.1f}"
        f"{rate / alone.events_per_s:>9.0%}{rate / pipeline.events_per_s:>8.2f}"
        f"{measured.peak_rss_mb:>8,.0f}"
    )


def show(settings: Settings, directory: Path, events: Events) -> None:
    """Measure everything and print the table."""
    pipeline = asyncio.run(live(settings, directory / "worker"))
    alone = asyncio.run(read_alone(settings, catalogue.ORDERS_TOPIC))
    start_up = command(settings, directory / "start-up", ("audit", "--help"), events.count)
    print(f"start-up of a command: {start_up.wall_s:.1f} s, {start_up.cpu_s:.1f} s of CPU")
    print(
        f"{events.count:,} events{'':18}{'events/s':>11}{'CPU s/M':>10}{'/reading':>9}"
        f"{'/live':>8}{'MiB':>8}"
    )
    line("reading alone", alone, alone, pipeline)
    line("the live pipeline, 1 process", pipeline, alone, pipeline)
    for number, (name, arguments) in enumerate(COMMANDS.items()):
        line(
            name,
            command(settings, directory / f"run-{number}", arguments, events.count),
            alone,
            pipeline,
        )
    recount = ("recount", str(events.path))
    line(
        "recount", command(settings, directory / "recount", recount, events.count), alone, pipeline
    )


@contextmanager
def loaded() -> Iterator[tuple[Settings, Path, Events]]:
    """A log of as many simulated events of orders as the command names, and a directory."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        events = make_events(directory / "events.jsonl", count)
        kafka = LocalKafka(directory)
        bootstrap = kafka.start()
        try:
            settings = engines.settings_of(bootstrap, directory)
            asyncio.run(
                engines.load(settings, catalogue.ORDERS_TOPIC, events.bare(), events.last_ms)
            )
            yield settings, directory, events
        finally:
            kafka.stop()


def main() -> None:
    """Measure and print."""
    with loaded() as (settings, directory, events):
        show(settings, directory, events)


if __name__ == "__main__":
    main()
