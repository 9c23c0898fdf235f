"""Measuring an engine: the CPU and memory of its processes, and its group's committed offsets.

All engines are measured alike. The clock starts at the group's first progress in the source, and
ends when its committed offsets are past the last records of every topic it reads. Events and CPU
are those between the two. Start-up isn't counted.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from streams import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from streams.settings import Settings

ROOT = Path(__file__).parent.parent
POLL_EVERY_S = 0.1
STUCK_S = 120.0
LOG_TAIL = 2000
TAIL = 100
"""More than the transaction markers at the end of a partition."""

Offsets = dict[tuple[str, int], int]


class EngineFailed(Exception):
    """An engine ended, or made no progress; the message has the end of its logs."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`events` were committed in `wall_s` seconds, with `cpu_s` of CPU.

    The peak of memory is that of the sum over the engine's processes.
    """

    events: int
    wall_s: float
    cpu_s: float
    peak_rss_mb: float

    @property
    def events_per_s(self) -> float:
        """The rate between first progress and the end."""
        return self.events / self.wall_s

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds for a million events, of all processes and threads."""
        return self.cpu_s / self.events * 1e6


class Processes:
    """The processes of one engine, with their children; each writes to a log file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[subprocess.Popen[bytes]] = []
        self.logs: list[Path] = []
        self.peak_rss_mb = 0.0
        self._cpu_s: dict[tuple[int, float], float] = {}

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start another process."""
        path = self.directory / f"{len(self.started)}.log"
        with path.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        self.logs.append(path)

    def sample(self) -> float:
        """CPU seconds of all processes so far, with ended ones; it updates the peak of memory."""
        rss = 0
        for process in self.started:
            try:
                parent = psutil.Process(process.pid)
                family = [parent, *parent.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for one in family:
                try:
                    times = one.cpu_times()
                    rss += one.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
                self._cpu_s[one.pid, one.create_time()] = times.user + times.system
        self.peak_rss_mb = max(self.peak_rss_mb, rss / 2**20)
        return sum(self._cpu_s.values())

    def logged(self, text: str) -> bool:
        """Whether every process's log contains the text."""
        return all(text in path.read_text(errors="replace") for path in self.logs)

    def log_tail(self) -> str:
        """The end of their logs."""
        return "\n".join(path.read_text(errors="replace")[-LOG_TAIL:] for path in self.logs)

    def require_alive(self) -> None:
        """Raise EngineFailed if any process has ended."""
        for process in self.started:
            if process.poll() is not None:
                raise EngineFailed(
                    f"a process ended with exit code {process.returncode}: {self.log_tail()}"
                )

    def end(self) -> None:
        """End all in order, or by force after 20 seconds."""
        for process in self.started:
            process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def processes(directory: Path) -> Iterator[Processes]:
    """The processes of an engine, which are ended with the block."""
    directory.mkdir(parents=True, exist_ok=True)
    running = Processes(directory)
    try:
        yield running
    finally:
        running.end()


@dataclass(frozen=True, slots=True)
class Job:
    """What to wait for: the group's offsets at the end of the source and of the topics in between.

    `between` is called while the engine runs, because some engines create these topics. `ready` is
    a text that every process must have logged before the clock starts.
    """

    group: str
    source: str
    between: Callable[[set[str]], Sequence[str]]
    ready: str = ""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One measurement."""

    at_s: float
    cpu_s: float
    done: int
    committed: Offsets


async def watch(settings: Settings, running: Processes, job: Job) -> Measured:
    """Wait until the job is done. Raises EngineFailed."""
    ends = await log.ends(settings, [job.source])
    total = sum(ends.values())
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        first = last = _Sample(time.monotonic(), 0.0, 0, {})
        later: asyncio.Task[Offsets] | None = None
        while True:
            await asyncio.sleep(POLL_EVERY_S)
            committed = await _committed(admin, job.group)
            sample = _Sample(
                time.monotonic(),
                running.sample(),
                sum(committed.get(at, 0) for at in ends),
                committed,
            )
            running.require_alive()
            if committed != last.committed:
                last = sample
            elif sample.at_s - last.at_s > STUCK_S:
                raise EngineFailed(
                    f"no progress for {STUCK_S:.0f} s at {committed}: {running.log_tail()}"
                )
            if not first.done and sample.done and running.logged(job.ready):
                first = sample
            if later is None and sample.done == total:
                later = asyncio.create_task(
                    _last_records(settings, job.between(set(await admin.list_topics())))
                )
            if (
                later is not None
                and later.done()
                and all(committed.get(at, 0) >= end for at, end in later.result().items())
            ):
                break
    finally:
        await admin.close()
    if first.done in {0, total}:
        raise EngineFailed(
            "all events were committed at the first measured progress: too few to measure a rate"
        )
    return Measured(
        total - first.done, last.at_s - first.at_s, last.cpu_s - first.cpu_s, running.peak_rss_mb
    )


async def _last_records(settings: Settings, topics: Sequence[str]) -> Offsets:
    """The offset after the last record of each partition.

    The end of the log is later: transaction markers follow, which no consumer reads.
    """
    last: Offsets = {}
    for topic in topics:
        starts = {
            partition: max(0, end - TAIL)
            for (_, partition), end in (await log.ends(settings, [topic])).items()
        }
        async for records in log.records(settings, topic, starts):
            last[topic, records[-1].partition] = records[-1].offset + 1
    return last


async def _committed(admin: AIOKafkaAdminClient, group: str) -> Offsets:
    try:
        found = await admin.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:  # a fresh broker's first group
        return {}
    return {(tp.topic, tp.partition): at.offset for tp, at in found.items() if at.offset >= 0}
