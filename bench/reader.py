"""What one reader serves: reads a second and latencies, idle and beside a running pipeline.

`python -m bench.reader`, with the options of `--help`.

A Kafka, a worker and a reader are started, each a process as in production. The reader has a core
of its own; all else, clients too, runs on the others. Beside it are PostgreSQL and Redis with the
same rows, on the reader's core while it is idle: directly, and behind the smallest FastAPI
route. `bench/clients.py` says how reads are timed, `bench/wire.py` how streams are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench import databases, reads
from bench.clients import DRAIN_S, WRK, Figures, Server, Unanswered, get_all
from bench.engines import environment_of, settings_of
from bench.history import history, item, make_traffic, plan_of
from bench.measure import processes
from bench.reader_table import as_json, gives_table, reads_table, wire_table
from bench.reads import Effort, in_contract
from bench.wire import APPENDS, EVERY_S, LAST_S, until_answered, until_streamed
from operations.local.kafka import LocalKafka
from operations.local.ports import LOCALHOST, accepts, free_port
from operations.reader_client import ReaderError, get
from operations.writing.applied import until_applied
from streams import topics
from streams.log_writer import Writer

if TYPE_CHECKING:
    from bench.measure import Processes
    from operations.simulation.traffic import Plan
    from streams.settings import Settings

STREAMS = (1, 1_000)
WARM_UP_S = 15
PRIORITY = -10
SETTLE_S, SETTLED_S = 20, 2
"""How long a catch-up may take before the next turn; it ends this many seconds of events behind."""

APPLIED_S = 900.0


def report(text: str) -> None:
    """A line about what is done, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def pinned() -> tuple[list[str], str]:
    """The command that runs another on the first core, and a sentence about it.

    This process, and all that it starts without that command, moves to the other cores.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return [], "There is one core, which all processes share."
    os.sched_setaffinity(0, cores[1:])
    return ["taskset", "-c", str(cores[0])], (
        f"What answers has one core of {len(cores)}; Kafka, worker, writer and clients have the"
        " rest."
    )


def share_two_cores(reader_pid: int) -> str:
    """Let all processes share the cores if there are two; a sentence about it.

    One core does not suffice for the pipeline and the clients at 10,000 events a second. In place
    of a core of its own the reader gets a higher priority, and so does the client that times it.
    """
    if os.cpu_count() != 2:
        return ""
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {0, 1})
    try:
        for thread in psutil.Process(reader_pid).threads():
            os.setpriority(os.PRIO_PROCESS, thread.id, PRIORITY)
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except PermissionError:
        return " Beside events all share both, without priorities: only root can give them."
    return " Beside events all share both; the reader and its client have priority."


class Bench:
    """A reader over a pipeline of its own."""

    def __init__(
        self, given: argparse.Namespace, settings: Settings, running: Processes, plan: Plan
    ) -> None:
        self.given, self.settings, self.running, self.plan = given, settings, running, plan
        self.server = Server(LOCALHOST, settings.reader_port)
        self.effort = Effort(given.products, given.seconds, given.rate)
        self.targets: list[reads.Target] = []
        self.environment = environment_of(settings) | {
            "NETSOLD_READER_PORT": str(settings.reader_port),
            "NETSOLD_IDLE_TICK_MS": str(settings.idle_tick_ms),
        }

    def fill(self, prefix: list[str]) -> None:
        """Write the history, start worker and reader, and wait until the tables have it all."""
        positions = asyncio.run(self._write_history())
        netsold = [sys.executable, "-m", "operations.cli"]
        self.running.start([*netsold, "worker", "--name", "1"], self.environment)
        self.running.start([*prefix, *netsold, "serve"], self.environment)
        while not accepts(*self.server):
            self.running.require_alive()
            time.sleep(0.1)
        until_applied(self.settings, positions, APPLIED_S, report)
        self.targets, missing = reads.of_reader(self.settings, self.server, self.effort)
        for sentence in missing:
            report(sentence)

    async def _write_history(self) -> dict[str, int]:
        await topics.create(self.settings)
        async with Writer(self.settings) as writer:
            for event in history(self.plan, self.settings.cycle_ms):
                await writer.send(*item(self.settings, event))
        return {f"{topic}-{number}": offset for (topic, number), offset in writer.positions.items()}

    def rows(self) -> databases.Rows:
        """The reader's answer about each product, without its freshness."""
        numbers = range(1, self.given.products + 1)
        bodies = get_all(self.server, [f"/v1/products/p-{number}" for number in numbers])
        answers = map(json.loads, bodies)
        return {
            f"p-{number:012}": {name: part for name, part in answer.items() if name != "freshness"}
            for number, answer in zip(numbers, answers, strict=True)
        }

    def measure_idle(self, prefix: list[str], directory: Path) -> reads.Reads:
        """All targets in turn: the reader's, and those of databases with its rows."""
        targets = list(self.targets)
        with ExitStack() as ends:
            rows = self.rows()
            for name in databases.PROGRAMS:
                if missing := databases.missing(name):
                    report(f"{name} is left out, as these aren't installed: {', '.join(missing)}")
                    continue
                database = ends.enter_context(
                    databases.running(name, directory / name, prefix, rows)
                )
                server = ends.enter_context(databases.row_server(database, prefix))
                targets += reads.of_database(database, server, self.effort, directory)
            del rows
            alive = self.running.require_alive
            return reads.measure(targets, self.given.rounds, report, after=alive)

    def measure_beside(self, directory: Path) -> tuple[reads.Reads, dict[str, Figures], Any]:
        """Reads and streams while traffic is written, and what writer and reader reached."""
        path = directory / "traffic"
        a_round_s = len(self.targets) * (2 * self.given.seconds + DRAIN_S + SETTLE_S)
        streaming_s = (1 + len(STREAMS)) * (APPENDS * EVERY_S + LAST_S + 10)
        seconds = WARM_UP_S + self.given.rounds * a_round_s + streaming_s
        report(f"making traffic of {seconds:,.0f} s")
        make_traffic(self.settings, self.plan, round(self.given.events * seconds), path)
        behind: list[dict[str, Any]] = []
        with processes(directory / "writer") as writing:
            command = [sys.executable, "-m", "bench.history", str(path), str(self.given.events)]
            writing.start(command, self.environment)
            time.sleep(WARM_UP_S)
            shared = share_two_cores(self.running.started[-1].pid)

            def after() -> None:
                self.running.require_alive()
                if writing.started[0].poll() is not None:
                    report("the traffic has ended before this: figures are of a pipeline at rest")
                behind.append(self._behind())
                report(f"behind {behind[-1]}")

            found = reads.measure(self.targets, self.given.rounds, report, self._settle, after)
            wire = self.measure_wire("beside")
            after()
        reached = json.loads(writing.logs[0].read_text().strip().rsplit("\n", 1)[-1])
        return found, wire, {"writer": reached, "behind": behind, "shared": shared}

    def _settle(self) -> None:
        """Wait until the tables are about as far behind as they are at this rate without reads."""
        until_s = time.monotonic() + SETTLE_S
        while (records := self._behind()["records"]) > SETTLED_S * self.given.events:
            if time.monotonic() >= until_s:
                report(f"still {records:,} records behind after {SETTLE_S} s")
                return
            time.sleep(0.2)

    def _behind(self) -> dict[str, Any]:
        """How far all tables are behind the log now, and the reader's memory."""
        sources = get(self.settings, "/v1/status")["sources"]
        waiting_s = [one["waiting_seconds"] for one in sources if one["waiting_seconds"]]
        records = sum(one["behind"] or 0 for one in sources)
        memory = psutil.Process(self.running.started[-1].pid).memory_info()
        return {
            "records": records,
            "seconds": max(waiting_s, default=0.0),
            "reader_mib": round(memory.rss / 2**20),
        }

    def measure_wire(self, name: str) -> dict[str, Figures]:
        """From appends to answers and to streams; `name` is of products that nothing else sells."""
        ways = {
            "append → answer with min_position": partial(
                until_answered, self.settings, f"{name}-answer"
            )
        }
        if in_contract(self.settings, "/v1/stream"):
            for streams in STREAMS:
                ways[f"append → event on the wire, {streams:,} streams"] = partial(
                    until_streamed, self.settings, self.server, f"{name}-{streams}", streams
                )
        else:
            report("streams are left out: this reader has no /v1/stream")
        found = {}
        for way, until in ways.items():
            self._settle()
            try:
                found[way] = asyncio.run(until())
            except (Unanswered, ReaderError, TimeoutError) as error:
                report(f"{way}: left out: {error!r}")
            else:
                report(f"{way}: p50 {found[way].p50_ms:,.0f} ms, p99 {found[way].p99_ms:,.0f} ms")
        return found


def run(
    given: argparse.Namespace, directory: Path, kafka: str, prefix: list[str]
) -> dict[str, Any]:
    """Everything, in order; what was found."""
    settings = settings_of(kafka, directory).model_copy(update={"reader_port": free_port(0)})
    plan = plan_of(given.products, given.shops, given.events, int(time.time() * 1000))
    with processes(directory / "logs") as running:
        bench = Bench(given, settings, running, plan)
        report(f"filling the tables with {given.products:,} products and {given.shops:,} shops")
        bench.fill(prefix)
        idle = bench.measure_idle(prefix, directory)
        wire = bench.measure_wire("idle")
        beside, wire_beside, reached = bench.measure_beside(directory)
    phases = ", idle", f", beside {given.events:,} events/s"
    return {
        "reads": dict(zip(phases, (idle, beside), strict=True)),
        "wire": dict(zip(phases, (wire, wire_beside), strict=True)),
        "beside": reached,
    }


def show(given: argparse.Namespace, found: dict[str, Any]) -> None:
    """Print the tables in Markdown."""
    beside = found["beside"]
    writer, behind = beside["writer"], [one["records"] for one in beside["behind"]]
    memory_mib = max(one["reader_mib"] for one in beside["behind"])
    print(
        f"{given.products:,} products, {given.shops:,} shops. {found['cores']}{beside['shared']}\n"
    )
    print(reads_table(found["reads"], given.rate), end="\n\n")
    print(gives_table(found["reads"]), end="\n\n")
    print(wire_table(found["wire"]), end="\n\n")
    print(
        f"The writer wrote {writer['events'] / writer['seconds']:,.0f} events a second, at most"
        f" {writer['late_s']:.1f} s late; the tables were {min(behind):,} to {max(behind):,}"
        f" records behind. The reader had {memory_mib:,} MiB."
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.reader")
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--shops", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=5, help="of each turn")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=int, default=500, help="requests a second, where fixed")
    parser.add_argument("--events", type=int, default=10_000, help="a second, of the pipeline")
    parser.add_argument("--json", action="store_true", help="print all rounds as JSON")
    given = parser.parse_args()
    if WRK is None:
        parser.error("wrk isn't installed: apt-get install wrk")
    prefix, cores = pinned()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)  # PostgreSQL runs as another user below it
        kafka = LocalKafka(directory)
        try:
            found = run(given, directory, kafka.start(), prefix)
        finally:
            kafka.stop()
    found["cores"] = cores
    if given.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        show(given, found)


if __name__ == "__main__":
    main()
