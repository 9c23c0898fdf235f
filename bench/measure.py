"""Watching an engine at work: what its processes burn and hold, and what its group has committed.

All engines are measured alike. The clock starts when the group's first progress in the source is
seen, and ends when its committed offsets are behind the last records of everything it reads; events
and CPU are those between the two. Start-up isn't counted.
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
LOOK_EVERY_S = 0.1
STUCK_S = 120.0
LAST_WORDS = 2000
TAIL = 100
"""More than the markers that concurrent transactions leave at the end of a partition."""

Offsets = dict[tuple[str, int], int]


class EngineFailed(Exception):
    """An engine ended, or made no progress; the message has the last it said."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`events` were committed in `wall_s` seconds, with `cpu_s` of CPU.

    The peak is summed over the engine's processes.
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
        """CPU seconds for a million events.

        More than a core's worth where several processes or threads work.
        """
        return self.cpu_s / self.events * 1e6


class Processes:
    """The processes of one engine, with their children, each saying what it says into a log file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[subprocess.Popen[bytes]] = []
        self.logs: list[Path] = []
        self.peak_rss_mb = 0.0
        self._cpu_s: dict[tuple[int, float], float] = {}

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start one more."""
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
        """CPU seconds of all of them so far, also of those that have ended.

        Notes the peak of memory.
        """
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

    def said(self, text: str) -> bool:
        """Whether every process has said this."""
        return all(text in path.read_text(errors="replace") for path in self.logs)

    def last_words(self) -> str:
        """The end of what they said."""
        return "\n".join(path.read_text(errors="replace")[-LAST_WORDS:] for path in self.logs)

    def require_alive(self) -> None:
        """Raise EngineFailed if any has ended."""
        for process in self.started:
            if process.poll() is not None:
                raise EngineFailed(
                    f"a process ended with exit code {process.returncode}: {self.last_words()}"
                )

    def end(self) -> None:
        """End all in order, or by force after a while."""
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
    """The processes of an engine, ended at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    running = Processes(directory)
    try:
        yield running
    finally:
        running.end()


@dataclass(frozen=True, slots=True)
class Job:
    """What to wait for: the group's offsets at the source's end, then at the last records of the topics in between.

    `between` is asked while the engine runs, as some engines make such topics themselves. `ready` is what every process must
    have said before the clock starts.
    """

    group: str
    source: str
    between: Callable[[set[str]], Sequence[str]]
    ready: str = ""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen at one moment."""

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
        first = last = _Look(time.monotonic(), 0.0, 0, {})
        later: asyncio.Task[Offsets] | None = None
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            committed = await _committed(admin, job.group)
            look = _Look(
                time.monotonic(),
                running.sample(),
                sum(committed.get(at, 0) for at in ends),
                committed,
            )
            running.require_alive()
            if committed != last.committed:
                last = look
            elif look.at_s - last.at_s > STUCK_S:
                raise EngineFailed(
                    f"no progress for {STUCK_S:.0f} s at {committed}: {running.last_words()}"
                )
            if not first.done and look.done and running.said(job.ready):
                first = look
            if later is None and look.done == total:
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
            "all events were committed when the first progress was seen: too few to measure a rate"
        )
    return Measured(
        total - first.done, last.at_s - first.at_s, last.cpu_s - first.cpu_s, running.peak_rss_mb
    )


async def _last_records(settings: Settings, topics: Sequence[str]) -> Offsets:
    """Behind the last record of each partition.

    The log's end is further on: markers of transactions come last, and nobody reads those.
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
