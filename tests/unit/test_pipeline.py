"""One way into work: what is in doubt is opened anew, what can't be committed ends the worker, what was taken away is left alone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.errors import IllegalOperation, KafkaError
from faust.types import TP

from streams import pipeline as module
from streams.batches import TolerantRecords
from streams.chunks import Chunk
from streams.lanes import Lane
from streams.pipeline import Fatal, Pipeline
from streams.settings import Settings
from streams.stores import StoreUnopened
from tables.catalogue import ORDER_STAGE
from tables.watermarks import Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

FIRST, SECOND = TP("orders", 0), TP("orders", 1)


class Fold:
    """A fold that takes everything and changes nothing."""

    stage = ORDER_STAGE
    terms = ""

    def keys(self, *_: object) -> dict[str, set[bytes]]:
        return {}

    def fold(self, *_: object) -> SimpleNamespace:
        return SimpleNamespace(paused=False, progress=Progress(), counts={})


class Abandoned:
    """A producer of which only its end is asked."""

    async def abandon(self) -> None: ...


class Opener:
    """Opens lanes that hold nothing; an opening takes as long as `clock` is told."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.takes_s = 0.0
        self.error: Exception | None = None

    async def open(self, sources: list[TP]) -> list[Lane]:
        self.clock.now += self.takes_s
        if self.error is not None:
            raise self.error
        nobody = cast("Any", Abandoned())
        return [
            Lane(cast("Any", Fold()), tp.topic, "id", tp.partition, nobody, {}, Progress(), 0, partitions=4, partitioner="murmur2")
            for tp in sources
        ]


class Clock:
    """The pipeline's clock, moved by hand; after as many turns of `watch` as a test asks for, it is ended."""

    def __init__(self) -> None:
        self.now, self.turns = 1000.0, 0

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if not self.turns:
            raise asyncio.CancelledError
        self.turns -= 1
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time stands still but where a test, or `watch`, moves it."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Worker:
    """A pipeline with what it says and asks for; `watch` lets it look so many times, every 5 s."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.opener = Opener(clock)
        self.pipeline = Pipeline(Settings(_env_file=None), cast("Any", self.opener))
        self.ends: list[str] = []
        self.rejoins = 0
        self.pipeline.fatal = lambda error: self.ends.append(str(error))
        self.pipeline.rejoin = self._rejoin

    def _rejoin(self) -> None:
        self.rejoins += 1

    async def watch(self, turns: int, lag: int | None) -> None:
        self.clock.turns = turns
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "sleep", self.clock.sleep)
            with pytest.raises(asyncio.CancelledError):
                await self.pipeline.watch(lambda _: lag)

    async def fold(self, tp: TP) -> None:
        """Give it a chunk, and wait for its commit."""
        await self.pipeline.process(chunk(tp, self.pipeline.lanes[tp].position))
        await self.pipeline.lanes[tp].idle()


def chunk(tp: TP, start: int = 0) -> Chunk:
    """A chunk of which only the place matters."""
    return Chunk(tp, [], start, start + 1, TolerantRecords(b""))


@pytest.fixture
def worker(clock: Clock) -> Worker:
    """A worker that holds nothing yet."""
    return Worker(clock)


def commits(monkeypatch: pytest.MonkeyPatch, how: Callable[[], Awaitable[None]]) -> None:
    """What a chunk's transaction comes to."""

    async def commit(*_: object) -> None:
        await how()

    monkeypatch.setattr(module, "commit", commit)


async def refused() -> None:
    """A transaction that the broker refuses."""
    raise KafkaError("too large")


async def done() -> None:
    """A transaction that is carried out."""


async def test_a_chunk_that_can_never_be_committed_ends_the_worker(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried anew by one rebalance after another, but not for ever; the sentence has the error."""
    commits(monkeypatch, refused)
    for _ in range(4):
        await worker.pipeline.open([FIRST])
        worker.clock.now += 16.0
        await worker.fold(FIRST)
        if worker.ends:
            break
    assert worker.rejoins == 3
    (said,) = worker.ends
    assert said.startswith("orders-0: in doubt (KafkaError('too large')), and no progress for 60 s")


@pytest.mark.parametrize("error", [IllegalOperation("not in transaction"), AssertionError("not in transaction"), ConnectionResetError()])
async def test_whatever_fails_in_a_transaction_is_a_doubt(worker: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Also what aiokafka says at the next call, when a request before has failed: all is opened anew, and the worker stays."""

    async def fails() -> None:
        raise error

    commits(monkeypatch, fails)
    await worker.pipeline.open([FIRST])
    await worker.fold(FIRST)
    assert (worker.ends, worker.rejoins) == ([], 1)


async def test_a_lane_that_stands_still_is_seen_across_openings(worker: Worker) -> None:
    """Two openings of half the time each are as much as one of the whole."""
    for _ in range(2):
        await worker.pipeline.open([FIRST])
        await worker.watch(6, lag=7)
    assert worker.ends == []
    await worker.watch(1, lag=7)
    (said,) = worker.ends
    assert said.startswith("orders-0: 7 records behind and no progress for 60 s")


@pytest.mark.parametrize("by", ["a commit", "no lag", "another owner"])
async def test_what_moves_is_not_taken_for_still(worker: Worker, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """A commit, the end of the log, and a partition that was elsewhere in between begin the time anew."""
    commits(monkeypatch, done)
    await worker.pipeline.open([FIRST, SECOND])
    await worker.watch(12, lag=7)
    if by == "a commit":
        await worker.fold(FIRST)
        await worker.fold(SECOND)
    elif by == "no lag":
        await worker.watch(1, lag=0)
    else:
        await worker.pipeline.open([])
    await worker.pipeline.open([FIRST, SECOND])
    await worker.watch(12, lag=7)
    assert worker.ends == []
    await worker.watch(1, lag=7)
    assert len(worker.ends) == 2


async def test_opening_is_no_standstill(worker: Worker) -> None:
    """A restore may take longer than a standstill may; nor is anybody behind before the first fetch has told how far."""
    await worker.pipeline.open([FIRST])
    await worker.watch(6, lag=7)
    worker.opener.takes_s = 3600.0
    await worker.pipeline.open([FIRST])
    await worker.watch(100, lag=None)
    await worker.watch(6, lag=7)
    assert worker.ends == []
    await worker.watch(1, lag=7)
    assert len(worker.ends) == 1


async def test_a_chunk_that_waited_is_not_begun_on_a_lane_that_is_given_up(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """While all lanes drain, the next chunk of one that is done already must not begin a transaction that nobody waits for."""
    commits(monkeypatch, done)
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.02)
    await worker.pipeline.open([FIRST, SECOND])
    first, second = worker.pipeline.lanes.values()
    second.commit = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]  # one that never ends
    await worker.pipeline.process(chunk(FIRST))
    begun = first.commit
    waiting = asyncio.create_task(worker.pipeline.process(chunk(FIRST, 1)))
    await asyncio.sleep(0)
    await worker.pipeline.close()
    await waiting
    assert first.commit is begun
    assert begun is not None
    assert begun.done()
    assert second.commit.cancelled()


async def test_an_earlier_assignments_doubt_leaves_todays_lanes_alone(worker: Worker) -> None:
    """What a lane comes to that was given up is settled by the opening that followed: nothing is closed, nobody asked to rejoin."""
    await worker.pipeline.open([FIRST])
    (old,) = worker.pipeline.lanes.values()
    await worker.pipeline.open([FIRST, SECOND])
    worker.pipeline._doubt(FIRST, old, KafkaError("no answer"))
    assert not any(lane.closed for lane in worker.pipeline.lanes.values())
    assert worker.rejoins == 0
    worker.pipeline._doubt(FIRST, worker.pipeline.lanes[FIRST], KafkaError("no answer"))
    assert all(lane.closed for lane in worker.pipeline.lanes.values())
    assert worker.rejoins == 1


async def test_a_store_that_a_person_must_look_at_ends_the_worker(worker: Worker, tmp_path: Path) -> None:
    """It isn't tried again and again in silence."""
    worker.opener.error = StoreUnopened(tmp_path, "IO error: Permission denied")
    with pytest.raises(Fatal, match="can't be opened \\(IO error: Permission denied\\)"):
        await worker.pipeline.open([FIRST])
