"""The same job by several engines, in one table: `python -m bench`.

A whole run writes bench/results.json.

500,000 simulated events of orders, with duplicates and disorder, are loaded into a Kafka of the
bench's own. Each engine reads a topic of its own from the start; `bench/measure.py` measures it.
Its tables are compared with a recount of its events. One row is netsold reading as many chats
instead of orders.

There are two rounds, the second in reverse order, and an engine's figures cover both. So a shared
machine whose speed changes favours no engine. The faster round of each would favour engines with
short runs, which vary more. For the same reason netsold with one process, the reference, has two
turns in a round: before and after Quix, which takes several times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import tempfile
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from statistics import fmean, harmonic_mean
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench import engines, job
from bench.engines import ENGINES, QUIX_PYTHON, Engine, Events
from operations.local.kafka import LocalKafka
from operations.local.kafka_jars import KAFKA
from operations.oracle.recount import recount
from operations.simulation import faults
from operations.simulation.traffic import CHATS_PER_ORDER, EVENTS_PER_ORDER, Plan, traffic
from schemas.events import topic_of
from schemas.times import DAY_MS, parse_ms
from tables.catalogue import ORDERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Sequence

EVENTS = 500_000
SEED = 1
START_MS = 1_767_225_600_000  # 2026-01-01T00:00Z
DAYS = 75
FAULTS = ("duplicates=2%", "out_of_order")
RESULTS = Path(__file__).parent / "results.json"

Result = dict[str, Any]


def make_events(path: Path, count: int, topic: str = ORDERS_TOPIC) -> Events:
    """Write `count` events of a topic, with duplicates, of DAYS of simulated history.

    A smaller count has fewer orders a day and the same mix: the first days alone would have hardly
    any receipts or refunds.
    """
    per_order = EVENTS_PER_ORDER if topic == ORDERS_TOPIC else CHATS_PER_ORDER
    plan = Plan(
        SEED,
        "bench",
        START_MS,
        DAYS * DAY_MS * per_order / count,
        only_orders=topic == ORDERS_TOPIC,
    )
    made = (item for item in traffic(plan) if topic_of(item[1]["type"]) == topic)
    items = faults.disturbed(
        islice(made, count), faults.parse(FAULTS), seed=SEED, day_ms=plan.day_ms, live=False
    )
    written = last_ms = 0
    with path.open("wb") as file:
        for _, item in islice(items, count):
            assert isinstance(item, dict)  # noqa: S101 - no poison is among these faults
            file.write(msgspec.json.encode(item) + b"\n")
            last_ms = max(last_ms, parse_ms(item["occurred_at"]))
            written += 1
    return Events(path, written, last_ms)


async def measure(engine: Engine, bootstrap: str, directory: Path, events: Events) -> Result:
    """Run one engine; its row of the results."""
    settings = engines.settings_of(bootstrap, directory)
    measured, found = await engines.run(engine, settings, events)
    equal = None
    if found is not None:
        expected = recount(events.bare(), job.CALENDAR.length_ms, job.CALENDAR.anchor_ms)
        equal = all(found[name] == expected[name] for name in engine.lists)
    return {
        "events_per_s": round(measured.events_per_s),
        "cpu_s_per_million": round(measured.cpu_s_per_million, 1),
        "peak_rss_mb": round(measured.peak_rss_mb),
        "equal_to_recount": equal,
    }


def _together(rounds: Sequence[Result]) -> Result:
    """An engine's row for all its rounds: all events by their total time, and the highest peak.

    It is equal to the recount only if all rounds are.
    """
    equal = [one["equal_to_recount"] for one in rounds]
    return {
        "events_per_s": round(harmonic_mean([one["events_per_s"] for one in rounds])),
        "cpu_s_per_million": round(fmean([one["cpu_s_per_million"] for one in rounds]), 1),
        "peak_rss_mb": max(one["peak_rss_mb"] for one in rounds),
        "equal_to_recount": None if None in equal else all(equal),
    }


def versions() -> Result:
    """The versions compared, and the number of cores."""
    code = "from importlib.metadata import version; print(version('quixstreams'))"
    quix = subprocess.run(
        [QUIX_PYTHON, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        "python": platform.python_version(),
        "kafka": KAFKA.rpartition(":")[2],
        "faust": version("faust-streaming"),
        "aiokafka": version("aiokafka"),
        "rocksdict": version("rocksdict"),
        "quixstreams": quix,
        "netsold": version("netsold"),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }


def show(console: Console, results: dict[str, Result], count: int) -> None:
    """Print the table."""
    table = Table(title=f"{count:,} events; fewer where stated")
    for column in (
        "engine",
        "events",
        "events/s",
        "of reading",
        "netsold is",
        "CPU s/million",
        "peak MiB",
        "= recount",
    ):
        table.add_column(column, justify="left" if column == "engine" else "right")
    read, netsold = (results.get(name, {}).get("events_per_s") for name in ("read", "netsold"))
    for engine in ENGINES:
        if (row := results.get(engine.name)) is None:
            continue
        rate = row["events_per_s"]
        table.add_row(
            engine.title,
            f"{engine.events_of(count):,}",
            f"{rate:,}",
            f"{rate / read:.0%}" if read else "",
            f"{netsold / rate:.1f} x" if netsold else "",
            f"{row['cpu_s_per_million']:,}",
            f"{row['peak_rss_mb']:,}",
            {None: "", True: "yes", False: "NO"}[row["equal_to_recount"]],
        )
    console.print(table)


def main() -> int:
    """Run, print, and write the results of a whole run; 1 if any tables differ from the recount."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument(
        "--only", default="", help=f"some of {','.join(engine.name for engine in ENGINES)}"
    )
    given = parser.parse_args()
    chosen = [
        engine for engine in ENGINES if not given.only or engine.name in given.only.split(",")
    ]
    console = Console(width=max(Console().width, 110))
    rounds: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        sizes = {(engine.topic, engine.events_of(given.events)) for engine in chosen}
        events = {
            (topic, count): make_events(directory / f"{topic}-{count}.jsonl", count, topic)
            for topic, count in sizes
        }
        kafka = LocalKafka(directory)
        bootstrap = kafka.start()
        try:
            turns = [*chosen, *[engine for engine in chosen if engine.name == "netsold"]]
            for number, engine in [
                *((1, one) for one in turns),
                *((2, one) for one in reversed(turns)),
            ]:
                console.print(f"round {number}: {engine.title} …")
                made = events[engine.topic, engine.events_of(given.events)]
                result = asyncio.run(measure(engine, bootstrap, directory, made))
                console.print(
                    f"    {result['events_per_s']:,} events/s,"
                    f" {result['cpu_s_per_million']} CPU s/million"
                )
                rounds.setdefault(engine.name, []).append(result)
        finally:
            kafka.stop()
    results = {name: _together(found) for name, found in rounds.items()}
    show(console, results, given.events)
    if given.events == EVENTS and not given.only:
        RESULTS.write_text(json.dumps(results | {"versions": versions()}, indent=2) + "\n")
    return int(any(row["equal_to_recount"] is False for row in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
