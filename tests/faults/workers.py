"""Worker processes of one application under test: started, killed, frozen and restarted.

Their logs go to files.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

MAIN = "from operations.cli import main; main()"

STOP_S = 20.0
"""The bound on the end of a worker that is stopped; it usually ends much sooner."""


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a netsold process with these settings.

    `more` are further settings, without NETSOLD_.
    """
    given = {
        "APP": settings.app,
        "TOPIC_PREFIX": settings.topic_prefix,
        "PARTITIONS": str(settings.partitions),
        "DATA_DIR": str(settings.data_dir),
        "KAFKA__BOOTSTRAP_SERVERS": str(settings.kafka.bootstrap_servers),
        "SESSION_TIMEOUT_MS": "6000",
        "CHUNK_RECORDS": "200",
        "IDLE_TICK_MS": "0",
        "REFUSALS_IN_A_ROW": str(settings.refusals_in_a_row),
    }
    outside = {name: value for name, value in os.environ.items() if not name.startswith("NETSOLD_")}
    return outside | {f"NETSOLD_{name}": value for name, value in (given | more).items()}


@dataclass
class Worker:
    """One worker by name.

    `exits` are the exit codes of its processes so far, negative for signals.
    """

    name: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    frozen: bool = False
    exits: list[int] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether its process runs (also while frozen)."""
        if self.process is not None and (code := self.process.poll()) is not None:
            self.exits.append(code)
            self.process, self.frozen = None, False
        return self.process is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process, which must run."""
        assert self.process is not None
        self.process.send_signal(number)
        self.frozen = (self.frozen or number == signal.SIGSTOP) and number != signal.SIGCONT

    def ended(self, within_s: float) -> int:
        """Wait for its end and return the exit code. Raises TimeoutExpired."""
        if self.process is not None:
            self.process.wait(within_s)
        assert not self.alive
        return self.exits[-1]

    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines of its log, in order, without those of libraries."""
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []:
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    def logged(self, text: str) -> bool:
        """Whether its log contains a text."""
        return self.log.exists() and text in self.log.read_text(encoding="utf-8")


class Workers:
    """All workers of one application. Leaving the block ends every process."""

    def __init__(self, settings: Settings, directory: Path, **more: str) -> None:
        self.settings = settings
        self.directory = directory
        self.more = more
        self.all: dict[str, Worker] = {}
        self.reader = Worker("reader", directory / "reader.log")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in (*self.all.values(), self.reader):
            if worker.alive and worker.process is not None:
                os.killpg(worker.process.pid, signal.SIGKILL)
                worker.process.wait()

    def start(self, name: str, patch: str = "", **more: str) -> Worker:
        """Start a worker, or restart the one of this name.

        `patch` is code that runs first; `more` are settings of this process.
        """
        worker = self.all.setdefault(name, Worker(name, self.directory / f"worker-{name}.log"))
        self._spawn(
            worker,
            [
                *(("-c", patch + MAIN) if patch else ("-m", "operations.cli")),
                "worker",
                "--name",
                name,
            ],
            more,
        )
        return worker

    def command(self, name: str, *arguments: str, **more: str) -> Worker:
        """Start a worker by another command."""
        worker = self.all.setdefault(name, Worker(name, self.directory / f"worker-{name}.log"))
        self._spawn(worker, ["-m", "operations.cli", *arguments], more)
        return worker

    def serve(self, patch: str = "") -> None:
        """Start or restart the reader; `patch` is code that runs first."""
        self._spawn(
            self.reader,
            [*(("-c", patch + MAIN) if patch else ("-m", "operations.cli")), "serve"],
            {"READER_PORT": str(self.settings.reader_port)},
        )

    def _spawn(self, worker: Worker, arguments: list[str], more: dict[str, str]) -> None:
        assert not worker.alive
        with worker.log.open("ab") as log:
            worker.process = subprocess.Popen(
                [sys.executable, *arguments],
                env=environment(self.settings, **(self.more | more)),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def supervise(self) -> None:
        """Restart the workers that ended."""
        for name, worker in self.all.items():
            if not worker.alive:
                self.start(name)

    def alive(self) -> list[Worker]:
        """The workers whose processes run."""
        return [worker for worker in self.all.values() if worker.alive]

    def kill(self, worker: Worker) -> None:
        """End a worker as a power cut would."""
        worker.signal(signal.SIGKILL)
        worker.ended(STOP_S)

    def stop_one(self, worker: Worker) -> None:
        """Stop a worker, wait, and check that it ended in order."""
        worker.signal(signal.SIGTERM)
        assert worker.ended(STOP_S) == 0, self.tail()

    def stop(self) -> None:
        """Stop every worker, wait, and check that each ended in order."""
        running = self.alive()
        for worker in running:
            worker.signal(signal.SIGTERM)
        codes = {worker.name: worker.ended(STOP_S) for worker in running}
        assert set(codes.values()) <= {0}, (codes, self.tail())

    def tail(self, lines: int = 40) -> str:
        """The last lines of every log, for a failed test."""
        return "\n".join(
            f"--- {worker.name} {worker.exits}\n"
            + "\n".join(worker.log.read_text(encoding="utf-8").splitlines()[-lines:])
            for worker in self.all.values()
            if worker.log.exists()
        )
