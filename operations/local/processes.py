"""Processes that outlive the process that started them.

Each is identified by pid and time of creation, which are recorded before its command runs.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import IO, TYPE_CHECKING, NamedTuple, cast

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

GATE = 'read -r _ && exec "$@" </dev/null'
"""A shell that becomes the command, under the same pid, when it gets a line.

It ends if its parent ends before sending the line."""

CLOCK_S = 2.0
"""How far two times of creation of one process may differ.

They are counted from the machine's start, which moves when its clock is set."""


class Known(NamedTuple):
    """The identity of a process: a pid alone may belong to another process by now.

    `created` is in seconds since 1970.
    """

    pid: int
    created: float


def spawn(
    command: Sequence[str],
    record: Callable[[subprocess.Popen[bytes], Known], None],
    *,
    output: IO[bytes],
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start a command once `record` has returned, in a session of its own, out of reach of Ctrl-C.

    If `record` raises, or we are killed before it returns, the command never runs. Raises
    OSError and whatever `record` raises.
    """
    process = subprocess.Popen(
        ["/bin/sh", "-c", GATE, "sh", *command],
        bufsize=0,
        cwd=directory,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    gate = cast("IO[bytes]", process.stdin)
    try:
        record(process, Known(process.pid, psutil.Process(process.pid).create_time()))
        with suppress(BrokenPipeError):  # it ended already, which its keeper will notice
            gate.write(b"\n")
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        gate.close()


def running(known: Known) -> psutil.Process | None:
    """The process, or None if it no longer runs."""
    try:
        process = psutil.Process(known.pid)
        same = abs(process.create_time() - known.created) < CLOCK_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, ValueError):
        return None


def running_with(*arguments: str) -> psutil.Process | None:
    """A process of this machine whose arguments include all of these, for one without a record."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if set(arguments) <= set(process.cmdline()):
                return process
    return None
