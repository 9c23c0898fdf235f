"""Whole workers over a log in memory, in virtual time.

Stages, pipeline, commit and opener are the real ones; latencies and faults come from a seed, so one
number repeats a run. A worker's process is its pipeline and one task per partition. The cluster is
`MemoryLog`. A worker's disk is `MemoryStores`: a kill loses what was not flushed. The driver plays
the group: it assigns source partitions to workers.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from schemas import envelope
from streams import topics
from streams.fetched import Chunk
from streams.marks import MARK_KEY
from streams.partitioning import partition_of
from streams.pipeline import Pipeline
from streams.producers import OutcomeUnknown
from streams.recovery import Opener
from streams.stores import POSITION_KEY
from tables import catalogue
from tables.stages import stages
from tables.terms import Terms
from tests.memory_log import MemoryLog, MemoryProducer, MemoryRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from streams.cluster import Cluster
    from streams.lanes import Lane
    from streams.settings import Settings
    from streams.stores import Identity

SETTLED_S = 20.0
"""Virtual seconds after the last fault within which everything is applied (I5)."""

WRITTEN_MS = 2_000_000_000_000
"""The time of all records, in epoch milliseconds, later than the times of their events."""

TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Faults:
    """The rates of faults. Probabilities are per request."""

    lost_request: float = 0.01
    lost_answer: float = 0.01
    kill_every_s: float = 4.0
    freeze_every_s: float = 6.0
    rebalance_every_s: float = 5.0


NONE = Faults(lost_request=0, lost_answer=0, kill_every_s=0, freeze_every_s=0, rebalance_every_s=0)


# --- a worker's disk


class MemoryStore:
    """Used in place of `PartitionStore`; a kill may restore the state before an unflushed write."""

    def __init__(self, disk: MemoryStores, name: str, identity: Identity) -> None:
        self._disk, self._name, self._identity = disk, name, identity
        found = disk.identities.get(name)
        if found is None or msgspec.structs.replace(found, build=identity.build) != identity:
            disk.identities[name], disk.rows[name], disk.unflushed[name] = identity, {}, []
        self.path = name

    @property
    def _rows(self) -> dict[bytes, bytes]:
        return self._disk.rows[self._name]

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def get_all(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._rows.get(key) for key in keys]

    @property
    def mark(self) -> bytes | None:
        return self.get(MARK_KEY)

    @property
    def position(self) -> int | None:
        value = self.get(POSITION_KEY)
        return None if value is None else int(value)

    def write(self, items: Iterable[tuple[bytes, bytes | None]], position: int) -> None:
        self._disk.write(self._name, {**dict(items), POSITION_KEY: b"%d" % position})

    def items(self, behind: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self._rows):
            if key > behind and not key.startswith(b"\x00"):
                yield key, self._rows[key]

    def wipe(self, why: str) -> None:
        raise AssertionError(f"{self._name} is wiped: {why}")  # no run may damage a store

    def close(self) -> None:
        pass


class MemoryStores:
    """One worker's disk."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.rows: dict[str, dict[bytes, bytes]] = {}
        self.identities: dict[str, Identity] = {}
        self.unflushed: dict[str, list[dict[bytes, bytes]]] = {}
        """Older states by store, which a kill may restore, the newest last."""

        self.dead = False

    def open(self, path: Path, identity: Identity) -> MemoryStore:
        return MemoryStore(self, str(path), identity)

    def write(self, name: str, items: Mapping[bytes, bytes | None]) -> None:
        if self.dead:
            return
        rows = self.rows[name]
        older = self.unflushed[name]
        older.append(dict(rows))
        if self._chance.random() < 0.2:  # a flush: older states are never restored
            older.clear()
        for key, value in items.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value

    def kill(self) -> None:
        """Restore in each store any state since its last flush."""
        self.dead = True
        for name, older in self.unflushed.items():
            if older and self._chance.random() < 0.5:
                self.rows[name] = older[self._chance.randrange(len(older))]
            older.clear()


# --- a worker


@dataclass(frozen=True, slots=True)
class _Records:
    """Used in place of `TolerantRecords`."""

    records: Sequence[MemoryRecord]

    def at(self, offsets: Iterable[int]) -> dict[int, MemoryRecord]:
        wanted = set(offsets)
        return {record.offset: record for record in self.records if record.offset in wanted}


class _Changelogs:
    """Used in place of `streams.cluster.Changelogs`."""

    def __init__(self, worker: MemoryWorker, positions: Mapping[TopicPartition, int]) -> None:
        self._worker, self._positions = worker, dict(positions)

    async def fetch(
        self,
    ) -> tuple[dict[TopicPartition, list[MemoryRecord]], dict[TopicPartition, int]]:
        await self._worker.request("fetch changelogs")
        found = {}
        for tp, position in self._positions.items():
            records, self._positions[tp] = self._worker.driver.log.read(tp, position, 50)
            if records:
                found[tp] = records
        return found, dict(self._positions)


class MemoryCluster:
    """Used in place of `streams.cluster.Cluster`, with one worker's view of the log."""

    def __init__(self, worker: MemoryWorker) -> None:
        self._worker = worker
        self._log = worker.driver.log

    def producer(self, transactional_id: str) -> MemoryProducer:
        return MemoryProducer(self._log, transactional_id, self._worker.step)

    async def bounds(
        self, names: Iterable[str]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        await self._worker.request("bounds")
        wanted = [
            TopicPartition(name, number)
            for name in sorted(names)
            for number in range(self._worker.driver.settings.partitions)
        ]
        return dict.fromkeys(wanted, 0), {tp: self._log.high_watermark(tp) for tp in wanted}

    async def committed(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int | None]:
        await self._worker.request("committed")
        return {
            tp: self._log.committed(self._worker.driver.settings.app, TopicPartition(*tp))
            for tp in partitions
        }

    async def group_offsets(self) -> dict[TopicPartition, Any]:
        await self._worker.request("group offsets")
        return dict(self._log.group_offsets(self._worker.driver.settings.app))

    @asynccontextmanager
    async def changelogs(
        self, positions: Mapping[TopicPartition, int]
    ) -> AsyncIterator[_Changelogs]:
        yield _Changelogs(self._worker, positions)


class MemoryWorker:
    """One process. After `kill` it has no effect; while it is frozen, its requests wait."""

    def __init__(self, driver: Driver, name: str, disk: MemoryStores) -> None:
        self.driver, self.name, self.disk = driver, name, disk
        disk.dead = False
        self.dead = False
        self.frozen_until_s = 0.0
        self.assigned: list[TopicPartition] = []
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opening: asyncio.Task[Any] | None = None
        names = [topic.name for topic in topics.declared(driver.settings)]
        ids = {name: f"id of {name}" for name in names}
        opener = Opener(
            driver.settings,
            stages(TERMS, 1000, partitions=driver.settings.partitions),
            driver.settings.data_dir,
            "memory",
            ids,
            cast("Cluster", MemoryCluster(self)),
            cast("Any", disk.open),
        )
        self.pipeline = Pipeline(driver.settings, opener, self, asyncio.get_running_loop().time)
        self.ended: str | None = None

    # --- requests: latency and faults

    async def request(self, what: str) -> None:
        """A request that changes nothing and only takes time."""
        await self.step(f"before {what}")

    async def step(self, what: str) -> None:
        """Wait and perhaps fail, before and after each request."""
        driver = self.driver
        if self.dead:
            await asyncio.get_running_loop().create_future()  # never returns
        await asyncio.sleep(driver.chance.expovariate(1 / driver.latency_s))
        await asyncio.sleep(max(0.0, self.frozen_until_s - asyncio.get_running_loop().time()))
        if self.dead:
            await asyncio.get_running_loop().create_future()
        driver.trace.append(f"{asyncio.get_running_loop().time():.4f} {self.name} {what}")
        if not driver.faulty or "init" in what:
            return
        if what.startswith("before") and driver.chance.random() < driver.faults.lost_request:
            raise KafkaConnectionError(f"lost: {what}")
        if what.startswith("after") and driver.chance.random() < driver.faults.lost_answer:
            raise OutcomeUnknown(f"lost: {what}")

    # --- its consumer: what `GroupConsumer` promises to the pipeline

    def seek(self, partition: TopicPartition, position: int) -> None:
        self._positions[partition] = position

    def pause(self, partition: TopicPartition) -> None:
        self._paused.add(partition)

    def lag(self, partition: TopicPartition, position: int) -> int:
        return self.driver.log.last_stable_offset(partition) - position

    def rejoin(self) -> None:
        self.driver.rebalance()

    def leave(self, error: BaseException) -> None:
        """The process ends by its own decision."""
        self.ended = str(error)
        self.driver.trace.append(
            f"{asyncio.get_running_loop().time():.4f} {self.name} leaves: {error}"
        )
        self.kill()
        self.driver.lost(self)

    # --- its life

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def assign(self, assigned: Iterable[TopicPartition]) -> None:
        """Apply the group's assignment: close the open lanes, open the assigned ones."""
        self.assigned = sorted(assigned)
        if self._opening is not None:
            self._opening.cancel()  # as Faust does, without waiting for its end
        self._opening = self.start(self._open())

    async def _open(self) -> None:
        try:
            await self.pipeline.open(self.assigned)
        except Exception as error:  # noqa: BLE001 - Fatal, or a fault of ours: either ends the process
            self.leave(error)
            return
        self._paused.clear()
        self._positions |= self.pipeline.positions()
        for tp, lane in self.pipeline.lanes.items():
            self.start(self._feed(tp, lane))

    async def _feed(self, tp: TopicPartition, lane: Lane) -> None:
        """What Faust's agent and consumer do for one partition until its lane is replaced."""
        driver = self.driver
        while not self.dead and self.pipeline.lanes.get(tp) is lane and not lane.closed:
            await asyncio.sleep(driver.chance.expovariate(1 / driver.latency_s))
            if tp in self._paused or self.frozen_until_s > asyncio.get_running_loop().time():
                continue
            start = self._positions[tp]
            most = min(
                self.pipeline.most_records(tp), driver.chance.randint(1, driver.most_records)
            )
            records, end = driver.log.read(tp, start, most)
            if end == start:
                await asyncio.sleep(0.05)
                continue
            self._positions[tp] = end
            decode = self.pipeline.decoder_of(tp)
            readings = [(record.offset, decode(record)) for record in records]
            await self.pipeline.process(Chunk(tp, readings, start, end, _Records(records)))  # type: ignore[arg-type]  # as TolerantRecords

    def kill(self) -> None:
        """End the process without warning, as SIGKILL does."""
        self.dead = True
        self.disk.kill()
        for task in list(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()

    @property
    def idle(self) -> bool:
        """Whether every assigned partition is open, applied and committed."""
        lanes = self.pipeline.lanes
        return sorted(lanes) == self.assigned and all(
            not lane.closed
            and not lane.committing
            and not (lane.spec.sends and lane.unmarked)
            and not lane.must_end_cycles
            and lane.position >= self.driver.log.high_watermark(tp)
            for tp, lane in lanes.items()
        )


# --- the group, and the run


@dataclass
class Driver:
    """One run; `trace` has every request with its virtual time, the same for the same seed."""

    settings: Settings
    seed: int
    faults: Faults = field(default_factory=Faults)
    workers: int = 2
    latency_s: float = 0.002
    most_records: int = 40
    faulty: bool = True

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.log = MemoryLog()
        self.trace: list[str] = []
        self.running: list[MemoryWorker] = []
        self.disks = {
            f"w{number}": MemoryStores(random.Random(f"{self.seed}-{number}"))
            for number in range(self.workers)
        }
        self.ends: list[str] = []
        self._wanted = asyncio.Event()
        self._restarting: set[asyncio.Task[None]] = set()

    def write(
        self,
        topic: str,
        record: tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]],
        partition: int | None = None,
    ) -> int:
        """Write a record to its source topic (public name) by its key; returns the partition."""
        key, value, headers = record
        number = (
            partition_of(key or b"", self.settings.partitions) if partition is None else partition
        )
        self.log.write(
            TopicPartition(self.settings.topic(topic), number),
            MemoryRecord(0, WRITTEN_MS, key, value, tuple(headers)),
        )
        return number

    @property
    def sources(self) -> list[TopicPartition]:
        """All source partitions of all stages."""
        names = [self.settings.topic(stage.source) for stage in catalogue.STAGES]
        return [
            TopicPartition(name, number)
            for name in names
            for number in range(self.settings.partitions)
        ]

    def rebalance(self) -> None:
        """Request a new assignment soon."""
        self._wanted.set()

    def lost(self, worker: MemoryWorker) -> None:
        """Restart a process that has ended, as a supervisor does.

        It may have ended without a kill only because of a newer owner.
        """
        self.ends.append(worker.ended or "killed")
        if worker.ended is not None and "taken over" not in worker.ended and not self.wrong.done():
            self.wrong.set_result(worker.ended)
        self.running.remove(worker)
        self._restart(worker.name)

    def _restart(self, name: str) -> None:
        async def again() -> None:
            await asyncio.sleep(self.chance.uniform(0.05, 0.5))
            self.running.append(MemoryWorker(self, name, self.disks[name]))
            self.rebalance()

        task = asyncio.get_running_loop().create_task(again())
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    async def run(self, feed: Iterator[Any], fault_s: float = 20.0) -> None:
        """Run the workers with faults for `fault_s`, then without, until everything is applied.

        `feed` is advanced once a virtual 10 ms: it writes events, until it ends.
        """
        self.running = [MemoryWorker(self, name, disk) for name, disk in self.disks.items()]
        self.rebalance()
        loop = asyncio.get_running_loop()
        self.wrong: asyncio.Future[str] = loop.create_future()
        background = [
            loop.create_task(one) for one in (self._group(), self._feed(feed), self._harm(fault_s))
        ]
        group, fed, harm = background
        while not (fed.done() and harm.done()):
            left = [one for one in (fed, harm, self.wrong) if not one.done()]
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            self._fail_if_wrong()
        for task in (fed, harm):
            task.result()
        self.faulty = False
        deadline = loop.time() + SETTLED_S
        while not (
            not self._wanted.is_set()
            and not self._restarting
            and self.running
            and all(one.idle for one in self.running)
        ):
            assert loop.time() < deadline, (
                f"seed {self.seed}: not everything is applied; last: {self.trace[-5:]}"
            )
            if group.done():
                group.result()
            self._fail_if_wrong()
            await asyncio.sleep(0.05)
        group.cancel()

    def _fail_if_wrong(self) -> None:
        if self.wrong.done():
            raise AssertionError(f"seed {self.seed}: a worker left: {self.wrong.result()}")

    async def _feed(self, feed: Iterator[Any]) -> None:
        for _ in feed:
            await asyncio.sleep(0.01)

    async def _group(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(0.02)
            self._wanted.clear()
            alive = [
                worker
                for worker in self.running
                if not worker.frozen_until_s > asyncio.get_running_loop().time()
            ]
            if not alive:
                self._wanted.set()
                continue
            owners = {tp: self.chance.choice(alive) for tp in self.sources}
            for worker in alive:
                worker.assign(tp for tp, owner in owners.items() if owner is worker)

    async def _harm(self, fault_s: float) -> None:
        loop, faults = asyncio.get_running_loop(), self.faults
        ways = [
            (faults.kill_every_s, self._kill_one),
            (faults.freeze_every_s, self._freeze_one),
            (faults.rebalance_every_s, self.rebalance),
        ]
        rates = [(1 / every_s, way) for every_s, way in ways if every_s]
        while rates and loop.time() < fault_s:
            await asyncio.sleep(self.chance.expovariate(sum(rate for rate, _ in rates)))
            (way,) = self.chance.choices([way for _, way in rates], [rate for rate, _ in rates])
            way()

    def _kill_one(self) -> None:
        if self.running:
            worker = self.chance.choice(self.running)
            self.trace.append(f"{asyncio.get_running_loop().time():.4f} {worker.name} is killed")
            worker.kill()
            self.lost(worker)

    def _freeze_one(self) -> None:
        """Freeze one worker for longer than its session.

        Other workers own its partitions when it resumes.
        """
        if len(self.running) > 1:
            worker = self.chance.choice(self.running)
            worker.frozen_until_s = asyncio.get_running_loop().time() + self.chance.uniform(
                0.1, 2.0
            )
            self.trace.append(
                f"{asyncio.get_running_loop().time():.4f} {worker.name} is frozen until "
                f"{worker.frozen_until_s:.4f}"
            )
            self.rebalance()

    # --- results

    def committed(self, topic: str) -> list[MemoryRecord]:
        """The committed records of a topic (name on the cluster), partition by partition."""
        return [
            record
            for number in range(self.settings.partitions)
            for record in self.committed_of(topic, number)
        ]

    def committed_of(self, topic: str, number: int) -> list[MemoryRecord]:
        """The committed records of one partition."""
        return self.log.read(TopicPartition(topic, number), 0, 10**9)[0]

    def table(self, name: str) -> dict[bytes, bytes]:
        """The rows of a table by its changelog, without marks."""
        rows: dict[bytes, bytes] = {}
        for record in self.committed(topics.changelog(self.settings, name)):
            if record.key is None or record.key == MARK_KEY:
                continue
            if record.value is None:
                rows.pop(record.key, None)
            else:
                rows[record.key] = record.value
        return rows


def tick(at_ms: int) -> tuple[None, bytes, Sequence[tuple[str, bytes]]]:
    """A time tick, as a record for `Driver.write`."""
    value, headers = envelope.tick(at_ms)
    return None, value, headers
