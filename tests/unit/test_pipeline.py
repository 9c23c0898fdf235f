"""One way into work: what is in doubt is opened anew, what can't be committed ends the worker, what was taken away is left alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.errors import IllegalOperation, KafkaError
from faust.types import TP
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from schemas.envelope import Received
from streams import pipeline as module
from streams.batches import TolerantRecords
from streams.chunks import Chunk
from streams.errors import Fatal
from streams.lanes import Lane
from streams.pipeline import Pipeline
from streams.settings import Settings
from streams.stores import StoreUnopened
from tables.catalogue import ORDER_STAGE, ORDERS, SALES_TOPIC
from tables.outcome import Outcome, Readings
from tables.watermarks import Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

FIRST, SECOND = TP("orders", 0), TP("orders", 1)


class Clock:
    """The pipeline's clock, in seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Fold:
    """A fold of which a test says how long a record takes, and how many rows it makes.

    `folded` has the chunks' sizes.
    """

    stage = ORDER_STAGE
    terms = ""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.folded: list[int] = []
        self.record_s = 0.0
        self.rows = 0

    def fold(self, _place: str, readings: Readings, _states: object, progress: Progress) -> Outcome:
        self.folded.append(len(readings))
        self.clock.now += self.record_s * len(readings)
        sent = [(b"product", b"row")] * (self.rows * len(readings))
        last = readings[-1][0] if readings else progress.offset
        return Outcome(
            {ORDERS.name: {}},
            {SALES_TOPIC: sent},
            [],
            Progress(last),
            {},
            len(readings),
            paused=False,
        )


class Abandoned:
    """A producer of which only its end matters."""

    async def abandon(self) -> None: ...


class Opener:
    """Opens lanes that hold nothing.

    An opening takes as long as a test says, and `begins` are the positions.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fold = Fold(clock)
        self.takes_s = 0.0
        self.error: Exception | None = None

    async def open(self, sources: list[TP]) -> list[Lane]:
        self.clock.now += self.takes_s
        if self.error is not None:
            raise self.error
        nobody = cast("Any", Abandoned())
        return [
            Lane(
                cast("Any", self.fold),
                tp.topic,
                "id",
                tp.partition,
                nobody,
                {},
                Progress(),
                0,
                partitions=4,
                partitioner="murmur2",
            )
            for tp in sources
        ]

    def waits_for(self) -> str:
        return "the changelogs"


class Worker:
    """A pipeline with what it says and does.

    `watch` lets it look after its lanes so many times, every 5 s.
    """

    def __init__(self, clock: Clock, **settings: Any) -> None:  # noqa: ANN401 - of each setting its own
        self.clock = clock
        self.opener = Opener(clock)
        self.fold_ = self.opener.fold
        self.pipeline = Pipeline(
            Settings(_env_file=None, **settings), cast("Any", self.opener), clock
        )
        self.ends: list[str] = []
        self.rejoins = 0
        self.pipeline.fatal = lambda error: self.ends.append(str(error))
        self.pipeline.rejoin = self._rejoin

    def _rejoin(self) -> None:
        self.rejoins += 1

    def watch(self, turns: int, lag: int | None) -> None:
        for _ in range(turns):
            self.clock.now += 5.0
            self.pipeline.turn(lambda _: lag)

    async def fold(self, tp: TP, records: int = 1) -> None:
        """Give it a chunk, and wait for its commits."""
        await self.pipeline.process(chunk(tp, self.pipeline.lanes[tp].position, records))
        await self.pipeline.lanes[tp].idle()

    async def commits_of(self, tp: TP, records: int) -> list[int]:
        """As `fold`, and how many records were folded at each time."""
        self.fold_.folded.clear()
        await self.fold(tp, records)
        return list(self.fold_.folded)


def event(order_id: str) -> Received:
    """An event of which only the order matters."""
    return Received("order_placed", "id", "source", 0, order_id, None)


def chunk(tp: TP, start: int = 0, records: int = 1, most_of: str = "o-17") -> Chunk:
    """A chunk of which nineteen of twenty records are of one order."""
    readings = [
        (start + at, event(f"o-{at}" if at % 20 == 10 else most_of)) for at in range(records)
    ]
    return Chunk(tp, readings, start, start + records, TolerantRecords(b""))


@pytest.fixture
def clock() -> Clock:
    """Time stands still but where a test moves it."""
    return Clock()


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


async def test_a_chunk_that_can_never_be_committed_ends_the_worker(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried anew by one rebalance after another, but not for ever.

    The sentence has the error.
    """
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


@pytest.mark.parametrize(
    "error",
    [
        IllegalOperation("not in transaction"),
        AssertionError("not in transaction"),
        ConnectionResetError(),
    ],
)
async def test_whatever_fails_in_a_transaction_is_a_doubt(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Also what aiokafka says at the next call, when a request before has failed.

    All is opened anew, and the worker stays.
    """

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
        worker.watch(6, lag=7)
    assert worker.ends == []
    worker.watch(1, lag=7)
    (said,) = worker.ends
    assert said.startswith("orders-0: 7 records behind and no progress for 60 s")


@pytest.mark.parametrize("by", ["a commit", "no lag", "another owner"])
async def test_what_moves_is_not_taken_for_still(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """A commit, the end of the log, and a partition that was elsewhere in between begin the time anew."""
    commits(monkeypatch, done)
    await worker.pipeline.open([FIRST, SECOND])
    worker.watch(12, lag=7)
    if by == "a commit":
        await worker.fold(FIRST)
        await worker.fold(SECOND)
    elif by == "no lag":
        worker.watch(1, lag=0)
    else:
        await worker.pipeline.open([])
    await worker.pipeline.open([FIRST, SECOND])
    worker.watch(12, lag=7)
    assert worker.ends == []
    worker.watch(1, lag=7)
    assert len(worker.ends) == 2


async def test_opening_is_no_standstill(worker: Worker) -> None:
    """A restore may take longer than a standstill may.

    Nor is anybody behind before the first fetch has told how far.
    """
    await worker.pipeline.open([FIRST])
    worker.watch(6, lag=7)
    worker.opener.takes_s = 3600.0
    await worker.pipeline.open([FIRST])
    worker.watch(100, lag=None)
    worker.watch(6, lag=7)
    assert worker.ends == []
    worker.watch(1, lag=7)
    assert len(worker.ends) == 1


async def test_a_chunk_that_waited_is_not_begun_on_a_lane_that_is_given_up(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    """What a lane comes to that was given up is settled by the opening that followed.

    Nothing is closed, nobody asked to rejoin.
    """
    await worker.pipeline.open([FIRST])
    (old,) = worker.pipeline.lanes.values()
    await worker.pipeline.open([FIRST, SECOND])
    worker.pipeline._doubt(chunk(FIRST), old, KafkaError("no answer"))
    assert not any(lane.closed for lane in worker.pipeline.lanes.values())
    assert worker.rejoins == 0
    worker.pipeline._doubt(chunk(FIRST), worker.pipeline.lanes[FIRST], KafkaError("no answer"))
    assert all(lane.closed for lane in worker.pipeline.lanes.values())
    assert worker.rejoins == 1


async def test_a_store_that_a_person_must_look_at_ends_the_worker(
    worker: Worker, tmp_path: Path
) -> None:
    """It isn't tried again and again in silence."""
    worker.opener.error = StoreUnopened(tmp_path, "IO error: Permission denied")
    with pytest.raises(Fatal, match="can't be opened \\(IO error: Permission denied\\)"):
        await worker.pipeline.open([FIRST])


async def test_a_chunk_that_outran_its_transaction_is_cut_in_half(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size survives the opening, is a metric, and comes back by small steps.

    A lane that had no part in it keeps its own.
    """
    worker = Worker(clock, chunk_records=3200)
    fails = [True, True, False]

    async def outruns() -> None:
        if fails and fails.pop(0):
            clock.now += 15.0
            raise TimeoutError

    commits(monkeypatch, outruns)
    tries = []
    for _ in range(3):
        await worker.pipeline.open([FIRST, SECOND])
        tries.append(await worker.commits_of(FIRST, 1000))
    assert tries == [[1000], [500], [250, 350, 400]]
    assert worker.pipeline.most_records(FIRST) == 450  # the last part wasn't a full one
    assert (
        REGISTRY.get_sample_value("netsold_chunk_records", {"topic": "orders", "partition": "0"})
        == 450
    )
    assert worker.pipeline.most_records(SECOND) == 1000
    assert (worker.ends, worker.rejoins) == ([], 2)


async def test_a_size_begins_small_and_grows_while_all_fits(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts anew doesn't begin with what may have ended the one before."""
    commits(monkeypatch, done)
    worker = Worker(clock)
    assert worker.pipeline.most_records(FIRST) == 1000
    await worker.pipeline.open([FIRST])
    sizes = [await worker.commits_of(FIRST, worker.pipeline.most_records(FIRST)) for _ in range(6)]
    assert sizes == [[1000], [2000], [4000], [8000], [16_000], [16_000]]


async def test_a_transaction_is_bounded_by_the_rows_that_it_writes(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came out larger is folded again with fewer records; after that the size fits at once.

    One record is always let through.
    """
    rows = []

    async def commit(_lane: Lane, outcome: Outcome, *_: object) -> None:
        rows.append(len(outcome.sends[SALES_TOPIC]))

    monkeypatch.setattr(module, "commit", commit)
    worker = Worker(clock, transaction_rows=5000)
    await worker.pipeline.open([FIRST])
    worker.fold_.rows = 8
    assert await worker.commits_of(FIRST, 2000) == [1000, 468, 468, 468, 468, 128]
    assert worker.pipeline.lanes[FIRST].position == 2000
    assert max(rows) <= 5000
    assert sum(rows) == 16_000
    worker.fold_.rows = 6000
    rows.clear()
    await worker.fold(FIRST, 3)
    assert rows == [6000] * 3


async def test_a_fold_that_is_long_is_named_and_made_shorter(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence has the place, the order that most of it is about, and the time."""
    commits(monkeypatch, done)
    await worker.pipeline.open([FIRST])
    worker.fold_.record_s = 0.0088
    with capture_logs() as lines:
        await worker.fold(FIRST, 1000)
    words = "orders-0@0..1000: 950 of 1,000 records are of order o-17; folding took 8.8 s and its transaction 0.0 s"
    assert [line["event"] for line in lines] == [f"{words}: the next one has at most 500 records"]
    for _ in range(10):
        await worker.fold(FIRST, 1000)
    assert worker.pipeline.most_records(FIRST) == 113  # in one second, a fifteenth of the timeout


async def test_folding_is_no_standstill(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one lane is folded nobody else can move, and the watch neither.

    That ends no worker, and no lane is named for it.
    """
    commits(monkeypatch, done)
    await worker.pipeline.open([FIRST, SECOND])
    worker.watch(2, lag=7)
    worker.fold_.record_s = 0.1
    await worker.fold(FIRST, 900)
    worker.watch(1, lag=7)
    assert worker.ends == []
    worker.watch(9, lag=7)
    assert worker.ends == []
    worker.watch(1, lag=7)
    assert [end.partition(":")[0] for end in worker.ends] == ["orders-1"]


async def test_what_stands_still_names_the_lane_that_is_at_work(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not another one, which only waits for its turn."""

    async def hangs() -> None:
        await asyncio.Event().wait()

    commits(monkeypatch, hangs)
    await worker.pipeline.open([FIRST, SECOND])
    await worker.pipeline.process(chunk(SECOND, 0, 1000))
    worker.watch(13, lag=1)
    first, *_ = worker.ends
    words = "orders-1: 1 records behind and no progress for 60 s; not committed: orders-1@0..1000: 950 of 1,000 records are of order o-17"
    assert set(worker.ends) == {first}
    assert first.startswith(words)
    commit = worker.pipeline.lanes[SECOND].commit
    assert commit is not None
    commit.cancel()


async def test_whoever_is_thrown_out_with_others_does_not_stand_still(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another lane's doubts and the rebalances after them take isn't the time of a lane that had only one record left, a tick."""
    commits(monkeypatch, refused)
    await worker.pipeline.open([FIRST, SECOND])
    worker.watch(1, lag=1)
    for _ in range(3):
        await worker.fold(FIRST)
        worker.watch(1, lag=1)
        worker.clock.now += 20.0
        await worker.pipeline.close()
        worker.clock.now += 20.0
        await worker.pipeline.open([FIRST, SECOND])
    worker.watch(3, lag=1)
    assert "orders-1" not in " ".join(worker.ends)


async def test_lanes_are_opened_one_opening_at_a_time(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust cancels an opening without waiting for its end.

    The next one must wait, else it meets stores that are still open.
    """
    running, most, ended = 0, 0, asyncio.Event()

    async def opens(_sources: list[TP]) -> list[Lane]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            if not ended.is_set():
                await asyncio.Event().wait()
        finally:
            await ended.wait()
            running -= 1
        return []

    monkeypatch.setattr(worker.opener, "open", opens)
    first = asyncio.create_task(worker.pipeline.open([FIRST]))
    await asyncio.sleep(0)
    first.cancel()
    second = asyncio.create_task(worker.pipeline.open([FIRST]))
    for _ in range(3):
        await asyncio.sleep(0)
    ended.set()
    await second
    assert most == 1
    assert first.cancelled()


async def test_an_opening_that_fails_while_it_is_cancelled_ends(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Giving up producers may fail.

    That isn't taken for one more reason to try again, while the next opening waits.
    """
    opens, begun = worker.opener.open, 0

    async def breaks(sources: list[TP]) -> list[Lane]:
        nonlocal begun
        begun += 1
        if begun > 1:
            return await opens(sources)
        try:
            await asyncio.Event().wait()
        finally:
            raise KafkaError("no connection")

    monkeypatch.setattr(worker.opener, "open", breaks)
    first = asyncio.create_task(worker.pipeline.open([FIRST]))
    await asyncio.sleep(0)
    first.cancel()
    await worker.pipeline.open([SECOND])
    assert first.cancelled()
    assert list(worker.pipeline.lanes) == [SECOND]
    assert begun == 2


async def test_what_a_worker_waits_for_is_said_every_10_s(worker: Worker) -> None:
    """For its group, in an opening, and after a revocation.

    In one sentence each time, and nothing while it can work.
    """

    def lines(seconds: int) -> list[str]:
        with capture_logs() as found:
            for _ in range(seconds):
                worker.clock.now += 1.0
                worker.pipeline.waiting.turn()
        return [line["event"] for line in found]

    group = "waiting for the group to assign partitions: for {} s nothing could be worked on"
    assert lines(25) == [group.format(10), group.format(20)]
    opens, go_on = worker.opener.open, asyncio.Event()

    async def waits(sources: list[TP]) -> list[Lane]:
        await go_on.wait()
        return await opens(sources)

    worker.opener.open = waits  # type: ignore[method-assign]
    opening = asyncio.create_task(worker.pipeline.open([FIRST]))
    await asyncio.sleep(0)
    assert lines(10) == ["waiting for the changelogs: for 30 s nothing could be worked on"]
    go_on.set()
    await opening
    assert lines(60) == []
    await worker.pipeline.close()
    assert lines(12) == [group.format(10)]
