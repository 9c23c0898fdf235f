"""A marketplace on a Kafka of its own: two workers, a reader and traffic, as processes.

It runs the scripts of pages, as a person at a terminal in its directory would.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec

from operations.local.ports import free_port
from schemas import envelope
from schemas.events import topic_of
from schemas.times import format_ms
from streams import log, topics
from streams.log_writer import Writer
from streams.rules import built_in
from streams.settings import Kafka, Settings
from tests.faults.workers import Workers, environment
from tests.hanging import UnverifyingKafka
from tests.pages import Output, Script
from tests.terms import changed, rules_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.log import At

WAIT_S: Final = 60.0
WORKERS: Final = ("a", "b")
EVENTS_PER_S: Final = 20
_OF_BUSY_MACHINE: Final = re.compile(
    r"netsold: waiting for |netsold: .* has not answered for "
    r"|[a-z ]+: [\d,]+(?: of [\d,]+)?, [\d,]+/s$"
)
"""Lines in which a command reports that it waits, or its progress after ten seconds."""

ROOT: Final = Path(__file__).parent.parent


def _midnight() -> datetime:
    """The start of the present day."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class Marketplace:
    """The running system. Leaving the block ends every process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.undo = ExitStack()
        """What ends the processes; further things to undo come before them."""
        self._broker = UnverifyingKafka(directory / "data")
        self._variables = directory / "variables.sh"
        self._traffic: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._broker.kill)
            self._start(self._broker.start(), undo)
            self.undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.undo.close()

    def _start(self, bootstrap: str, undo: ExitStack) -> None:
        self.settings = Settings(
            _env_file=None,
            partitions=2,
            data_dir=self.directory / "data",
            reader_port=free_port(0),
            kafka=Kafka(bootstrap_servers=bootstrap),
            # No run is near the end of a cycle.
            rules=changed(built_in(), cycle_anchor=_midnight() - timedelta(days=10)),
        )
        more = {
            "READER_PORT": str(self.settings.reader_port),
            "IDLE_TICK_MS": "1000",
            "RULES": str(rules_file(self.directory / "rules.toml", self.settings.rules)),
        }
        self.workers = undo.enter_context(Workers(self.settings, self.directory, **more))
        self._environment = environment(self.settings, **more) | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "TZ": "UTC",
            "LOGNAME": "ann",
        }
        self._variables.touch()
        asyncio.run(topics.create(self.settings))
        self.start_workers()
        self.workers.serve()
        undo.callback(self.stop_traffic)
        self.start_traffic()

    # --- processes

    def start_workers(self) -> None:
        """Start the workers that don't run."""
        for name in WORKERS:
            if not (name in self.workers.all and self.workers.all[name].alive):
                self.workers.start(name)

    def start_traffic(self) -> None:
        """Start simulated orders, unless they run."""
        if self._traffic is not None:
            return
        with (self.directory / "traffic.log").open("ab") as output:
            self._traffic = subprocess.Popen(
                ["netsold", "simulate", "--only", "orders", "--rate", str(EVENTS_PER_S)],
                env=self._environment,
                cwd=self.directory,
                stdout=output,
                stderr=output,
            )

    def stop_traffic(self) -> None:
        """End the simulated orders, if there are any, and wait until all are written."""
        if self._traffic is not None:
            self._traffic.send_signal(signal.SIGINT)
            self._traffic.wait(WAIT_S)
            self._traffic = None

    def execute(self, script: Script) -> Output:
        """Run a script in the marketplace's directory; its variables stay for the next one.

        Stdout and stderr stand together, as at a terminal. They name the default port, and no place
        of this machine.
        """
        state = self._variables
        text = f"set -a; . {state}\n{{ {script.text}\n}}\ncode=$?; export -p >{state}; exit $code\n"
        with subprocess.Popen(
            ["bash", "-c", text],
            env=self._environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            ends = Timer(WAIT_S, os.killpg, (process.pid, signal.SIGKILL))
            ends.start()
            printed, _ = process.communicate()
            ends.cancel()
        for here, in_pages in (
            (rf"\b{self.settings.reader_port}\b", "8640"),
            (rf"\b{socket.gethostname()}\b", "host-1"),
            (str(self.directory), "/srv/netsold"),
            (str(ROOT), "/opt/netsold"),
        ):
            printed = re.sub(here, in_pages, printed)
        lines = (line.rstrip() for line in printed.splitlines())
        shown = tuple(line for line in lines if not _OF_BUSY_MACHINE.match(line))
        return Output(shown, process.returncode)

    def command(self, *arguments: str) -> None:
        """Run a command of netsold, which must succeed."""
        done = subprocess.run(
            ["netsold", *arguments],
            env=self._environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode()

    # --- the log

    def write(self, events: Iterable[dict[str, Any]], *, key: bytes | None = None) -> None:
        """Write events to their topics, each under its own key, or all under this one."""

        async def send() -> None:
            async with Writer(self.settings) as writer:
                for event in events:
                    own, value, headers = envelope.encode(event)
                    topic = self.settings.topic(topic_of(event["type"]))
                    await writer.send(topic, key or own, value, headers)

        asyncio.run(send())

    def write_bytes(self, key: bytes, values: Iterable[bytes]) -> None:
        """Write records to `orders` that are no events."""

        async def send() -> None:
            async with Writer(self.settings) as writer:
                for value in values:
                    await writer.send(self.settings.topic("orders"), key, value)

        asyncio.run(send())

    def ends(self) -> dict[At, int]:
        """The ends of the partitions of `orders`."""
        return asyncio.run(log.ends(self.settings, [self.settings.topic("orders")]))

    def archive(self, path: Path) -> None:
        """Write every event of the log to a file, one JSON object a line; no ticks."""

        async def read() -> None:
            with path.open("wb") as file:
                async for records in log.records(self.settings, self.settings.topic("orders")):
                    for record in records:
                        received = envelope.read(record)
                        if not isinstance(received, envelope.Received):
                            continue
                        event = msgspec.to_builtins(received.body) | {
                            "type": received.type,
                            "id": received.id,
                            "source": received.source,
                            "order_id": received.order_id,
                            "occurred_at": format_ms(received.occurred_at_ms),
                        }
                        file.write(msgspec.json.encode(event) + b"\n")

        asyncio.run(read())

    # --- the reader

    def answer(self, path: str) -> dict[str, Any]:
        """The reader's answer, also one with an error's status; empty if it doesn't answer."""
        address = f"http://127.0.0.1:{self.settings.reader_port}{path}"
        try:
            with urlopen(address, timeout=10) as response:
                found: dict[str, Any] = json.load(response)
        except HTTPError as error:
            found = json.load(error)
        except OSError:
            found = {}
        return found

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition is met, within bounds."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} in {WAIT_S:.0f} s\n{self.workers.tail()}")
            time.sleep(0.1)

    def until_applied(self) -> None:
        """Wait until the reader's tables include all that is in the log now."""
        ends = {f"{topic}-{number}": end - 1 for (topic, number), end in self.ends().items()}
        self.until(lambda: self._includes(ends), f"table with all of {ends}")

    def _includes(self, ends: dict[str, int]) -> bool:
        applied = self.answer("/v1/status").get("freshness", {}).get("applied", {})
        return all(
            (applied.get(source) or -1) >= last for source, last in ends.items() if last >= 0
        )

    def behind(self) -> list[int]:
        """The records of each partition of `orders` that the reader's tables lack."""
        sources = self.answer("/v1/status").get("sources", ())
        return [one["behind"] or 0 for one in sources if one["source"].startswith("orders-")]

    def has_dead_letters(self) -> bool:
        """Whether the reader has counted dead letters that nobody has decided about."""
        letters = self.answer("/v1/status").get("dead_letters", ())
        return any(one["open"] for one in letters)

    def as_of(self) -> str:
        """The instant that the reader's tables are complete through; empty if unknown."""
        return self.answer("/v1/status").get("freshness", {}).get("as_of") or ""

    def until_live(self) -> None:
        """Wait until all workers read, and the reader is live."""
        all_read = len(WORKERS)
        self.until(
            lambda: self._is_live() and len(self._members() or ()) == all_read, "live reader"
        )

    def _is_live(self) -> bool:
        return self.answer("/v1/status").get("state") == "live"

    def end_group(self) -> None:
        """Stop the workers and wait until their group is empty: their sessions have ended."""
        self.workers.stop()
        self.until(lambda: self._members() == [], "group without members")

    def _members(self) -> list[dict[str, Any]] | None:
        """The workers that the reader sees in their group; None while it gives no answer."""
        cluster: dict[str, Any] = self.answer("/v1/status").get("cluster", {})
        return cluster.get("members")
