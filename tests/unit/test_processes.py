"""Processes that outlive their starter.

They are recorded before they run, and identified by more than their pid.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from operations.local.processes import Known, running, running_with, spawn

if TYPE_CHECKING:
    from pathlib import Path

SLEEPER = "import time; print('ready', flush=True); time.sleep(60)"
KILLED_WHILE_IT_RECORDS = """
import os, pathlib, signal, sys
from operations.local.processes import spawn
def record(process, known):
    pathlib.Path('pid').write_text(str(known.pid))
    os.kill(os.getpid(), signal.SIGKILL)
with open('out', 'wb') as output:
    spawn([sys.executable, '-c', "open('ran', 'w')"], record, output=output)
"""


def _until_ended(pid: int) -> None:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, psutil.Process(pid).cmdline()
        time.sleep(0.01)


def test_a_process_runs_once_it_is_recorded(tmp_path: Path) -> None:
    """The command itself has the recorded pid, an empty stdin and its own output."""
    recorded: list[tuple[subprocess.Popen[bytes], Known]] = []
    with (tmp_path / "out").open("wb") as output:
        spawn(
            [
                sys.executable,
                "-c",
                (
                    "import os, sys; print(os.getpid(), repr(sys.stdin.read()), os.environ['A'],"
                    " os.getcwd())"
                ),
            ],
            lambda process, known: recorded.append((process, known)),
            output=output,
            directory=tmp_path,
            environment={"A": "1"},
        )
    ((process, known),) = recorded
    assert process.wait(20) == 0
    assert (tmp_path / "out").read_text().split() == [
        str(known.pid),
        "''",
        "1",
        str(tmp_path.resolve()),
    ]


def test_what_cannot_be_recorded_never_runs(tmp_path: Path) -> None:
    """If the disk is full at the record, no process is left."""
    started: list[int] = []

    def record(_: object, known: Known) -> None:
        started.append(known.pid)
        raise OSError(28, "No space left on device")

    with (tmp_path / "out").open("wb") as output, pytest.raises(OSError, match="No space left"):
        spawn([sys.executable, "-c", SLEEPER], record, output=output)
    assert not psutil.pid_exists(started[0])


def test_a_starter_killed_while_it_records_leaves_nothing_behind(tmp_path: Path) -> None:
    """A kill -9 between start and record prevents the command."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_IT_RECORDS], cwd=tmp_path, check=False
    )
    assert done.returncode == -9
    _until_ended(int((tmp_path / "pid").read_text()))
    assert not (tmp_path / "ran").exists()


def test_another_process_with_the_pid_is_not_the_one() -> None:
    """Pid and time of creation identify a process.

    A process that has ended doesn't run, also while it is a zombie.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, "a mark"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        # Popen returns a moment before the kernel knows the new program's arguments
        assert process.stdout.readline() == "ready\n"
        created = psutil.Process(process.pid).create_time()
        found = running(Known(process.pid, created))
        assert found is not None
        assert found.pid == process.pid
        assert running(Known(process.pid, created - 1000)) is None
        marked = running_with(SLEEPER, "a mark")
        assert marked is not None
        assert marked.pid == process.pid
        assert running_with(SLEEPER, "another mark") is None
        process.kill()
        _until_ended(process.pid)
        assert running(Known(process.pid, created)) is None
    finally:
        process.kill()
        process.communicate()
    assert running(Known(process.pid, created)) is None
    assert running(Known(-1, created)) is None
