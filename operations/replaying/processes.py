"""Runs the tasks of a replay, in this process or in several.

Folding is computing, and Python computes in one thread at a time. The processes are started once,
as each needs a second to import what it folds with.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Final

import structlog

from operations.local.data_dir import full_disk
from operations.replaying.tasks import carry_out
from schemas.errors import NetsoldError
from streams.collecting import collect_rarely

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.context import SpawnProcess

    from operations.replaying.work import Report, Task, Work

POLL_S: Final = 0.2
OBJECTS: Final = 500_000
"""A chunk makes fewer."""

ARENAS: Final = "2"
"""In how many parts glibc divides the memory of each process; of other systems it says nothing."""

ENDED: Final = "a process of the replay has ended: run it again with --resume"


class TaskFailed(NetsoldError):
    """A process of a replay ended without a result; the sentence has its error."""


class Processes:
    """Some processes that each carry out one task after the other; one is this process."""

    def __init__(self, count: int) -> None:
        # RocksDB's threads would each get memory of their own from glibc, and not give it back
        os.environ.setdefault("MALLOC_ARENA_MAX", ARENAS)
        context = multiprocessing.get_context("spawn")
        self._processes: dict[Connection, SpawnProcess] = {}
        self._stopping = False
        for _ in range(count if count > 1 else 0):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._processes[ours] = process

    async def run(self, work: Work, tasks: Iterable[Task], report: Report) -> None:
        """Carry out tasks that are independent. Raises what a task raised, or TaskFailed."""
        left = list(tasks)
        if self._processes:
            await asyncio.to_thread(self._run, work, left, report)
        else:
            for task in left:
                await carry_out(work, task, report)

    def _run(self, work: Work, tasks: list[Task], report: Report) -> None:
        busy = set()
        for connection in self._processes:
            if tasks:
                _send(connection, work, tasks.pop(0))
                busy.add(connection)
        while busy and not self._stopping:
            ready = wait(list(busy), POLL_S)
            for connection in [one for one in busy if one in ready]:
                message = _received(connection)
                if isinstance(message, Exception):
                    raise message
                if message is not None:
                    report(message)
                elif tasks:
                    _send(connection, work, tasks.pop(0))
                else:
                    busy.discard(connection)

    def stop(self) -> None:
        """End all processes."""
        self._stopping = True
        for connection, process in self._processes.items():
            process.terminate()
            process.join()
            connection.close()


def _send(connection: Connection, work: Work, task: Task) -> None:
    try:
        connection.send((work, task))
    except OSError as error:
        raise TaskFailed(ENDED) from error


def _received(connection: Connection) -> int | Exception | None:
    try:
        message: int | Exception | None = connection.recv()
    except EOFError:
        return TaskFailed(ENDED)
    return message


def _serve(connection: Connection) -> None:
    """The body of a process: carries out what it receives, until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    quiet()
    try:
        _carry_out_all(connection)
    except (EOFError, ConnectionError):
        sys.exit(1)  # whoever started it has ended, and with it who reads of that


def _carry_out_all(connection: Connection) -> None:
    """Raises EOFError or ConnectionError once the other side has ended."""
    while True:
        work, task = connection.recv()
        try:
            asyncio.run(carry_out(work, task, connection.send))
        except BrokenPipeError:
            raise  # of a report; a broker's ends of connections are errors of the task
        except Exception as error:  # noqa: BLE001 - the process that started it raises it
            connection.send(_portable(error))
            return
        connection.send(None)


def quiet() -> None:
    """Log errors alone: a replay meets again what workers have logged; collect rarely."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    collect_rarely(OBJECTS)


def _portable(error: Exception) -> Exception:
    """An error that another process can raise, with the sentence that this one would end with."""
    if isinstance(error, NetsoldError):
        return error
    full = full_disk(error)
    if full is not None:
        return error if isinstance(error, OSError) else OSError(full, str(error))
    return TaskFailed(f"a replay failed: {error!r}")
