"""The processes of `netsold up`: each with a log file, told when it dies, started again after a pause, and ended in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A child that lived this long is healthy: the pause before its next start is the first one again."""


@dataclass(slots=True)
class _Child:
    name: str
    arguments: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    pause_s: float = 0.0
    due_s: float = 0.0


class Children:
    """Runs `python ARGUMENTS…` under names; `say` gets one sentence whenever a child dies or has to be ended by force.

    Times (`now_s`) are of one monotonic clock, handed in. Children are in sessions of their own, so that Ctrl-C at the
    terminal reaches us alone and they end in order.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._logs = directory / "logs"
        self._record = directory / "children.json"
        self._environment = {**os.environ, **environment}
        self._say = say
        self._children: dict[str, _Child] = {}

    def add(self, name: str, *arguments: str, now_s: float) -> None:
        """Start a child, which from now on is kept alive by `tend`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._children[name] = child = _Child(name, arguments, self._logs / f"{name}.log")
        self._start(child, now_s)

    def tend(self, now_s: float) -> None:
        """Tell who died since the last call, and start those whose pause is over."""
        for child in self._children.values():
            if child.process is None:
                if now_s >= child.due_s:
                    self._start(child, now_s)
            elif (code := child.process.poll()) is not None:
                child.process = None
                steady = now_s - child.started_s >= STEADY_S
                child.pause_s = FIRST_PAUSE_S if steady else min(max(child.pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
                child.due_s = now_s + child.pause_s
                how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
                self._say(f"{child.name} {how}; it starts again in {child.pause_s:.0f} s (log: {child.log})")

    def end(self, *names: str, wait_s: float = 20.0) -> None:
        """End these children, or all, together: SIGTERM, then SIGKILL for those still there after `wait_s`. They don't come back."""
        ending = [self._children.pop(name) for name in names or list(self._children)]
        running = [(child, child.process) for child in ending if child.process is not None]
        for _, process in running:
            process.terminate()
        deadline = time.monotonic() + wait_s
        for child, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self._say(f"{child.name} didn't end in {wait_s:g} s and was killed (log: {child.log})")
        self._remember()

    def end_leftovers(self, wait_s: float = 20.0) -> list[str]:
        """End the children that a run before left behind because it was killed itself; returns their names."""
        if not self._record.exists():
            return []
        left = {}
        for name, (pid, created) in json.loads(self._record.read_text()).items():
            try:
                process = psutil.Process(pid)
                if process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE:
                    left[name] = process
            except psutil.NoSuchProcess:
                continue
        for process in left.values():
            process.terminate()
        _, stubborn = psutil.wait_procs(left.values(), wait_s)
        for process in stubborn:
            process.kill()
        psutil.wait_procs(stubborn, wait_s)
        self._record.unlink()
        return sorted(left)

    def _start(self, child: _Child, now_s: float) -> None:
        with child.log.open("ab") as log:
            child.process = subprocess.Popen(
                [sys.executable, *child.arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.started_s = now_s
        self._remember()

    def _remember(self) -> None:
        """Write down who runs: by pid and time of creation, which together name a process for good."""
        running = {}
        for child in self._children.values():
            if child.process is not None:
                try:
                    running[child.name] = (child.process.pid, psutil.Process(child.process.pid).create_time())
                except psutil.NoSuchProcess:
                    continue
        new = self._record.with_suffix(".new")
        new.write_text(json.dumps(running))
        new.replace(self._record)
