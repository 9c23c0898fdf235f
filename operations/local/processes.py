"""Processes that outlive whoever started them.

Each is known by pid and time of creation, and that is on record before it runs.
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
"""A shell that becomes the command, under the same pid, when it gets a line, and ends if whoever
was to send it has gone."""

CLOCK_S = 2.0
"""Times of creation are this exact: they are counted from the machine's start, which moves when
its clock is set."""


class Known(NamedTuple):
    """What names a process for good: a pid alone may be another's by now.

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
    """Start a command in a session of its own, which Ctrl-C at our terminal doesn't reach, once `record` has returned.

    Where `record` raises, or we are killed before, nothing is left behind. Raises OSError, and what `record` raises.
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
        with suppress(
            BrokenPipeError
        ):  # it was ended already; whoever looks after it will see that
            gate.write(b"\n")
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        gate.close()


def running(known: Known) -> psutil.Process | None:
    """The process, while it runs."""
    try:
        process = psutil.Process(known.pid)
        same = abs(process.create_time() - known.created) < CLOCK_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, ValueError):
        return None


def running_with(*arguments: str) -> psutil.Process | None:
    """A process of this machine that has all of these among its arguments.

    Where no record names it.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if set(arguments) <= set(process.cmdline()):
                return process
    return None
