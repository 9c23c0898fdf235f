"""The processes of `netsold up`.

Each has a log file, is started again after a pause when it ends, and is ended in order.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import psutil

from operations.local.data_dir import read_whole, usable, write_whole
from operations.local.kafka import UNSTARTED
from operations.local.processes import Known, running, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from operations.local.kafka import LocalKafka


FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A process that ran this long was healthy: the pause before its next start is the first again."""


@dataclass(slots=True)
class Restarts:
    """When a process that ended, or could not be started, starts again.

    The pause doubles each time. Times are of one monotonic clock.
    """

    started_s: float
    due_s: float | None = None
    """When the next start is due; None while it runs."""
    _pause_s: float = 0.0

    def ended(self, now_s: float) -> float:
        """Note that it ended or could not be started; the pause until the next start in seconds."""
        steady = self.due_s is None and now_s - self.started_s >= STEADY_S
        self._pause_s = (
            FIRST_PAUSE_S if steady else min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        )
        self.due_s = now_s + self._pause_s
        return self._pause_s

    def started(self, now_s: float) -> None:
        """Note that it runs."""
        self.started_s, self.due_s = now_s, None


@dataclass(slots=True)
class _Child:
    name: str
    arguments: Sequence[str]
    log: Path
    restarts: Restarts
    process: subprocess.Popen[bytes] | None = None
    known: Known | None = None


class Children:
    """Runs `python ARGUMENTS…` under names.

    `report` gets a sentence when a child ends, can't be started or is ended by force. Times
    (`now_s`) are of one monotonic clock. A file in the data directory records who runs, so that
    the next run can end the children of a run that was killed.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], report: Callable[[str], None]
    ) -> None:
        self._logs = directory / "logs"
        self._record = directory / "children.json"
        self._environment = {**os.environ, **environment}
        self._report = report
        self._children: dict[str, _Child] = {}

    def add(self, name: str, *arguments: str, now_s: float) -> None:
        """Start a child; `tend` restarts it from now on."""
        self._children[name] = child = _Child(
            name, arguments, self._logs / f"{name}.log", Restarts(now_s)
        )
        self._start(child, now_s)

    def tend(self, now_s: float) -> None:
        """Report children that ended since the last call; start those whose pause is over."""
        for child in self._children.values():
            if child.restarts.due_s is not None:
                if now_s >= child.restarts.due_s:
                    self._start(child, now_s)
            elif child.process is not None and (code := child.process.poll()) is not None:
                child.process = child.known = None
                pause_s = child.restarts.ended(now_s)
                how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
                self._report(
                    f"{child.name} {how}; it starts again in {pause_s:.0f} s (log: {child.log})"
                )

    def end(self, wait_s: float = 20.0) -> None:
        """End all children for good: SIGTERM, and SIGKILL for those that run after `wait_s`."""
        ending = [
            (child, child.process) for child in self._children.values() if child.process is not None
        ]
        self._children.clear()
        for _, process in ending:
            process.terminate()
        deadline = time.monotonic() + wait_s
        for child, process in ending:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self._report(
                    f"{child.name} didn't end in {wait_s:g} s and was killed (log: {child.log})"
                )
        with usable(self._record):
            self._record.unlink(missing_ok=True)

    def end_leftovers(self, wait_s: float = 20.0) -> list[str]:
        """End the children of an earlier run that was killed; returns their names."""
        known = read_whole(self._record, dict[str, Known], self._report) or {}
        left = {
            name: process for name, one in known.items() if (process := running(one)) is not None
        }
        for process in left.values():
            process.terminate()
        _, stubborn = psutil.wait_procs(left.values(), wait_s)
        for process in stubborn:
            process.kill()
        psutil.wait_procs(stubborn, wait_s)
        with usable(self._record):
            self._record.unlink(missing_ok=True)
        return sorted(left)

    def _start(self, child: _Child, now_s: float) -> None:
        def record(process: subprocess.Popen[bytes], known: Known) -> None:
            child.process, child.known = process, known
            running = {
                one.name: one.known for one in self._children.values() if one.known is not None
            }
            write_whole(self._record, msgspec.json.encode(running))

        try:
            self._logs.mkdir(parents=True, exist_ok=True)
            with child.log.open("ab") as log:
                spawn(
                    [sys.executable, *child.arguments],
                    record,
                    output=log,
                    environment=self._environment,
                )
        except OSError as error:  # no room for its record or its log, or no more processes
            child.process = child.known = None
            pause_s = child.restarts.ended(now_s)
            self._report(
                f"{child.name} can't be started ({error.strerror or error});"
                f" it is tried again in {pause_s:.0f} s (log: {child.log})"
            )
        else:
            child.restarts.started(now_s)


class KafkaChild:
    """The local Kafka as a child that is restarted.

    Every failed start is reported and tried again after a pause.
    """

    def __init__(self, kafka: LocalKafka, report: Callable[[str], None], now_s: float) -> None:
        """Kafka must run."""
        self._kafka = kafka
        self._report = report
        self._restarts = Restarts(now_s)

    def tend(self, now_s: float) -> None:
        """Report if it ended since the last call, and start it once its pause is over.

        It doesn't wait for Kafka's answers: the clients do.
        """
        if self._restarts.due_s is None:
            if not self._kafka.status().running:
                pause_s = self._restarts.ended(now_s)
                self._report(
                    f"Kafka ended: {self._kafka.last_error()}; it starts again in {pause_s:.0f} s"
                    f" (log: {self._kafka.log})"
                )
        elif now_s >= self._restarts.due_s:
            try:
                self._kafka.launch(same_port=True)
            except UNSTARTED as error:
                pause_s = self._restarts.ended(now_s)
                self._report(
                    f"Kafka can't be started: {error}; it is tried again in {pause_s:.0f} s"
                )
            else:
                self._restarts.started(now_s)
