"""Watching an engine at work: what its processes burn and hold, and what its group has committed.

All engines are measured alike. The clock starts when the group's first progress in the source is seen, and ends when its
committed offsets are at the ends of everything it reads; events and CPU are those between the two. Start-up isn't counted.
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
from typing import TYPE_CHECKING, Any

import psutil
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from streams.settings import Settings

ROOT = Path(__file__).parent.parent
LOOK_EVERY_S = 0.05
STUCK_S = 120.0
LAST_WORDS = 2000

Offsets = dict[tuple[str, int], int]


class EngineFailed(Exception):
    """An engine ended, or made no progress; the message has the last it said."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`events` were committed in `wall_s` seconds, with `cpu_s` of CPU; the peak is summed over the engine's processes."""

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
        """CPU seconds for a million events; more than a core's worth where several processes or threads work."""
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
                command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self.started.append(process)
        self.logs.append(path)

    def sample(self) -> float:
        """CPU seconds of all of them so far, also of those that have ended; notes the peak of memory."""
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

    def require_alive(self) -> None:
        """Raise EngineFailed if any has ended."""
        for process, path in zip(self.started, self.logs, strict=True):
            if process.poll() is not None:
                raise EngineFailed(f"ended with exit code {process.returncode}: {path.read_text(errors='replace')[-LAST_WORDS:]}")

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
    """What to wait for: the group's offsets at the source's ends, then at those of the topics in between.

    `between` is asked again while the engine runs, as some engines make such topics themselves. `transactional`: the last
    record of a partition in between may be a transaction's marker, which nobody reads.
    """

    group: str
    source: str
    between: Callable[[set[str]], Sequence[str]]
    transactional: bool
    ready: str = ""


async def watch(settings: Settings, running: Processes, job: Job) -> Measured:
    """Wait until the job is done. Raises EngineFailed."""
    ends = await log.ends(settings, [job.source])
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        began: tuple[float, float, int] | None = None
        seen, seen_s = -1, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            cpu_s = running.sample()
            running.require_alive()
            committed = await _committed(admin, job.group)
            done = sum(committed.get(at, 0) for at in ends)
            now = time.monotonic()
            total = sum(committed.values())
            if total != seen:
                seen, seen_s = total, now
            elif now - seen_s > STUCK_S:
                raise EngineFailed(f"no progress for {STUCK_S:.0f} s at {committed}: {running.logs[0].read_text()[-LAST_WORDS:]}")
            if began is None and done and running.said(job.ready):
                began = now, cpu_s, done
            # an engine that keeps on writing into its source (ticks) has its ends behind what was loaded
            if began is not None and all(committed.get(at, 0) >= end for at, end in ends.items()):
                topics = job.between(await admin.list_topics())
                later = await log.ends(settings, topics) if topics else {}
                if all(committed.get(at, 0) >= end - job.transactional for at, end in later.items()):
                    break
    finally:
        await admin.close()
    if began[2] == sum(ends.values()):
        raise EngineFailed("all events were committed when the first progress was seen: too few to measure a rate")
    return Measured(sum(ends.values()) - began[2], now - began[0], cpu_s - began[1], running.peak_rss_mb)


async def _committed(admin: Any, group: str) -> Offsets:
    found = await admin.list_consumer_group_offsets(group)
    return {(tp.topic, tp.partition): at.offset for tp, at in found.items() if isinstance(tp, TopicPartition) and at.offset >= 0}
