"""A worker's lanes: opened by assignment, all closed after a doubt, watched for stalls.

A chunk that can't be committed ends the worker. Revoked partitions are not touched.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError
from structlog.testing import capture_logs

from schemas.envelope import Received
from streams import chunk_processor, pipeline
from streams.batches import TolerantRecords
from streams.errors import Fatal
from streams.fetched import Chunk
from streams.lanes import Lane, LaneState
from streams.metrics import REGISTRY
from streams.pipeline import Pipeline
from streams.settings import Settings
from streams.stores import StoreUnopened
from tables.catalogue import ORDER_STAGE, ORDERS, SALES_TOPIC
from tables.outcome import Outcome, Readings
from tables.watermarks import Progress
from tests.damage import raise_stuck

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FIRST, SECOND = TopicPartition("orders", 0), TopicPartition("orders", 1)


class Clock:
    """The pipeline's clock, in seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeStage:
    """A stage with a given time and number of rows per record; `folded` has the chunks' sizes."""

    spec = ORDER_STAGE
    terms = ""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.folded: list[int] = []
        self.record_s = 0.0
        self.rows = 0
        self.pauses = False

    def fold(self, _place: str, readings: Readings, _states: object, progress: Progress) -> Outcome:
        self.folded.append(len(readings))
        self.clock.now += self.record_s * len(readings)
        rows = [(b"product", b"row")] * (self.rows * len(readings))
        last = readings[-1][0] if readings else progress.offset
        return Outcome(
            {ORDERS.name: {}},
            {SALES_TOPIC: rows},
            [],
            Progress(last),
            {},
            len(readings),
            paused=self.pauses,
        )


class UnusedProducer:
    """A producer that is only ever closed."""

    async def abandon(self) -> None: ...


class FakeOpener:
    """Opens lanes without stores; an opening takes `takes_s`, or fails with `error`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.stage = FakeStage(clock)
        self.takes_s = 0.0
        self.error: Exception | None = None

    async def open(self, sources: list[TopicPartition]) -> list[Lane]:
        self.clock.now += self.takes_s
        if self.error is not None:
            raise self.error
        return [
            Lane(
                cast("Any", self.stage),
                source.topic,
                "id",
                source.partition,
                cast("Any", UnusedProducer()),
                {},
                Progress(),
                0,
                partitions=4,
                partitioner="murmur2",
            )
            for source in sources
        ]

    def waits_for(self) -> str:
        return "the changelogs"


class Worker:
    """A pipeline and its consumer, with a record of what the pipeline requests of it."""

    def __init__(self, clock: Clock, **settings: Any) -> None:  # noqa: ANN401 - of each setting its own
        self.clock = clock
        self.opener = FakeOpener(clock)
        self.stage = self.opener.stage
        self.pipeline = Pipeline(
            Settings(_env_file=None, **settings), cast("Any", self.opener), self, clock
        )
        self.ends: list[str] = []
        self.paused: list[TopicPartition] = []
        self.rejoins = 0
        self.seeks: list[tuple[TopicPartition, int]] = []
        self.every_lag: int | None = 0

    def seek(self, partition: TopicPartition, position: int) -> None:
        self.seeks.append((partition, position))

    def pause(self, partition: TopicPartition) -> None:
        self.paused.append(partition)

    def lag(self, _partition: TopicPartition, _position: int) -> int | None:
        return self.every_lag

    def rejoin(self) -> None:
        self.rejoins += 1

    def leave(self, error: Fatal) -> None:
        self.ends.append(str(error))

    def watch(self, turns: int, lag: int | None) -> None:
        """Let turns of 5 s pass, in which every lane is `lag` records behind."""
        self.every_lag = lag
        for _ in range(turns):
            self.clock.now += 5.0
            self.pipeline.turn()

    async def fold(self, partition: TopicPartition, records: int = 1) -> None:
        """Process a chunk, and wait for its commits."""
        lane = self.pipeline.lanes[partition]
        await self.pipeline.process(chunk(partition, lane.position, records))
        await lane.idle()

    async def commits_of(self, partition: TopicPartition, records: int) -> list[int]:
        """Process a chunk; return the number of records in each fold."""
        self.stage.folded.clear()
        await self.fold(partition, records)
        return list(self.stage.folded)


def event(order_id: str) -> Received:
    """An event of which only the order matters."""
    return Received("order_placed", "id", "source", 0, order_id, None)


def chunk(partition: TopicPartition, start: int = 0, records: int = 1) -> Chunk:
    """A chunk in which nineteen of twenty records are of one order."""
    readings = [
        (start + at, event(f"o-{at}" if at % 20 == 10 else "o-17")) for at in range(records)
    ]
    return Chunk(partition, readings, start, start + records, TolerantRecords(b""))


@pytest.fixture
def clock() -> Clock:
    """A clock that only the test moves."""
    return Clock()


@pytest.fixture
def worker(clock: Clock) -> Worker:
    """A worker without partitions."""
    return Worker(clock)


def commits(monkeypatch: pytest.MonkeyPatch, how: Callable[[], Awaitable[None]]) -> None:
    """Let `how` run in place of every chunk's transaction."""

    async def commit(*_: object) -> None:
        await how()

    monkeypatch.setattr(chunk_processor, "commit", commit)


async def refused() -> None:
    """A transaction that the broker refuses."""
    raise KafkaError("too large")


async def done() -> None:
    """A transaction that is committed."""


async def test_a_chunk_that_can_never_be_committed_ends_the_worker(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is retried after every rebalance until it is a stall.

    Then the worker ends, and names the error.
    """
    commits(monkeypatch, refused)
    for _ in range(4):
        await worker.pipeline.open([FIRST])
        worker.clock.now += 16.0
        await worker.fold(FIRST)
        if worker.ends:
            break
    assert worker.rejoins == 3
    (end,) = worker.ends
    assert end.startswith("orders-0: in doubt (KafkaError('too large')), and no progress for 60 s")


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
    """This holds for any error, also one raised at a later call.

    All partitions are opened again, and the worker continues.
    """

    async def fails() -> None:
        raise error

    commits(monkeypatch, fails)
    await worker.pipeline.open([FIRST])
    await worker.fold(FIRST)
    assert (worker.ends, worker.rejoins) == ([], 1)


async def test_a_stall_is_counted_across_openings(worker: Worker) -> None:
    """Two openings with half of the time each count like one with all of it."""
    for _ in range(2):
        await worker.pipeline.open([FIRST])
        worker.watch(6, lag=7)
    assert worker.ends == []
    worker.watch(1, lag=7)
    (end,) = worker.ends
    assert end.startswith("orders-0: 7 records behind and no progress for 60 s")


@pytest.mark.parametrize("by", ["a commit", "no lag", "another owner"])
async def test_progress_ends_a_stall(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """A commit, the end of the log and another owner in between restart the time."""
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


async def test_opening_is_no_stall(worker: Worker) -> None:
    """A restore may take longer than a stall.

    No lag is known before the first fetch.
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


async def test_a_waiting_chunk_is_not_started_on_a_closed_lane(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drained lane must not begin another transaction.

    Other lanes may still drain.
    """
    commits(monkeypatch, done)
    monkeypatch.setattr(pipeline, "DRAIN_SECONDS", 0.02)
    await worker.pipeline.open([FIRST, SECOND])
    first, second = worker.pipeline.lanes.values()
    second.commit = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]  # one that never ends
    await worker.pipeline.process(chunk(FIRST))
    before = first.commit
    waiting = asyncio.create_task(worker.pipeline.process(chunk(FIRST, 1)))
    await asyncio.sleep(0)
    await worker.pipeline.close()
    await waiting
    assert first.commit is before
    assert before is not None
    assert before.done()
    assert second.commit.cancelled()


async def test_a_damaged_store_that_cannot_be_wiped_ends_the_worker(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names the store; the lane's task doesn't fail without a word."""
    commits(monkeypatch, raise_stuck)
    await worker.pipeline.open([FIRST])
    await worker.fold(FIRST)
    (end,) = worker.ends
    assert end.startswith("the store stuck can't be opened (stuck: Corruption): mend that")
    assert worker.rejoins == 0


async def test_a_doubt_of_an_earlier_assignment_changes_nothing(worker: Worker) -> None:
    """The opening since then has settled it.

    No lane is closed, and no rebalance is requested.
    """
    await worker.pipeline.open([FIRST])
    (old,) = worker.pipeline.lanes.values()
    await worker.pipeline.open([FIRST, SECOND])
    worker.pipeline._assignment.doubt(old, chunk(FIRST), KafkaError("no answer"))
    assert not any(lane.closed for lane in worker.pipeline.lanes.values())
    assert worker.rejoins == 0
    today = worker.pipeline.lanes[FIRST]
    worker.pipeline._assignment.doubt(today, chunk(FIRST), KafkaError("no answer"))
    assert all(lane.closed for lane in worker.pipeline.lanes.values())
    assert worker.rejoins == 1


async def test_a_store_that_a_person_must_repair_ends_the_worker(
    worker: Worker, tmp_path: Path
) -> None:
    """Opening isn't retried."""
    worker.opener.error = StoreUnopened(tmp_path, "IO error: Permission denied")
    with pytest.raises(Fatal, match="can't be opened \\(IO error: Permission denied\\)"):
        await worker.pipeline.open([FIRST])


async def test_a_chunk_whose_transaction_times_out_is_cut_in_half(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size is kept by the next opening, is a metric, and grows again by small steps.

    Another lane keeps its own size.
    """
    worker = Worker(clock, chunk_records=3200)
    fails = [True, True, False]

    async def times_out() -> None:
        if fails and fails.pop(0):
            clock.now += 15.0
            raise TimeoutError

    commits(monkeypatch, times_out)
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


async def test_a_size_begins_small_and_doubles_while_everything_fits(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted worker doesn't begin with its last size.

    That size may have ended the process before.
    """
    commits(monkeypatch, done)
    worker = Worker(clock)
    assert worker.pipeline.most_records(FIRST) == 1000
    await worker.pipeline.open([FIRST])
    sizes = [await worker.commits_of(FIRST, worker.pipeline.most_records(FIRST)) for _ in range(6)]
    assert sizes == [[1000], [2000], [4000], [8000], [16_000], [16_000]]


async def test_a_transaction_is_bounded_by_the_rows_that_it_writes(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk with too many rows is folded again with fewer records.

    Then the size fits. A single record is always committed.
    """
    rows = []

    async def commit(_lane: Lane, outcome: Outcome, *_: object) -> None:
        rows.append(len(outcome.sends[SALES_TOPIC]))

    monkeypatch.setattr(chunk_processor, "commit", commit)
    worker = Worker(clock, transaction_rows=5000)
    await worker.pipeline.open([FIRST])
    worker.stage.rows = 8
    assert await worker.commits_of(FIRST, 2000) == [1000, 468, 468, 468, 468, 128]
    assert worker.pipeline.lanes[FIRST].position == 2000
    assert max(rows) <= 5000
    assert sum(rows) == 16_000
    worker.stage.rows = 6000
    rows.clear()
    await worker.fold(FIRST, 3)
    assert rows == [6000] * 3


async def test_a_fold_that_is_long_is_named_and_made_shorter(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence has the place, the time, and the order of most of its records."""
    commits(monkeypatch, done)
    await worker.pipeline.open([FIRST])
    worker.stage.record_s = 0.0088
    with capture_logs() as lines:
        await worker.fold(FIRST, 1000)
    words = (
        "orders-0@0..1000: 950 of 1,000 records are of order o-17; "
        "folding took 8.8 s and its transaction 0.0 s"
    )
    assert [line["event"] for line in lines] == [f"{words}: the next one has at most 500 records"]
    for _ in range(10):
        await worker.fold(FIRST, 1000)
    assert worker.pipeline.most_records(FIRST) == 113  # in one second, a fifteenth of the timeout


async def test_folding_is_no_stall(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one lane is folded, no other lane can make progress.

    That time isn't counted.
    """
    commits(monkeypatch, done)
    await worker.pipeline.open([FIRST, SECOND])
    worker.watch(2, lag=7)
    worker.stage.record_s = 0.1
    await worker.fold(FIRST, 900)
    worker.watch(1, lag=7)
    assert worker.ends == []
    worker.watch(9, lag=7)
    assert worker.ends == []
    worker.watch(1, lag=7)
    assert [end.partition(":")[0] for end in worker.ends] == ["orders-1"]


async def test_a_stall_names_the_lane_with_a_chunk_in_work(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another lane that only waits for its turn is not named."""

    async def hangs() -> None:
        await asyncio.Event().wait()

    commits(monkeypatch, hangs)
    await worker.pipeline.open([FIRST, SECOND])
    await worker.pipeline.process(chunk(SECOND, 0, 1000))
    worker.watch(13, lag=1)
    first, *_ = worker.ends
    words = (
        "orders-1: 1 records behind and no progress for 60 s; "
        "not committed: orders-1@0..1000: 950 of 1,000 records are of order o-17"
    )
    assert set(worker.ends) == {first}
    assert first.startswith(words)
    commit = worker.pipeline.lanes[SECOND].commit
    assert commit is not None
    commit.cancel()


async def test_a_lane_closed_by_anothers_doubt_is_not_stalled(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of another lane's doubts and rebalances doesn't count.

    This holds even with an unread tick.
    """
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


async def test_openings_run_one_at_a_time(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust cancels an opening without waiting for its end.

    The next one must wait: the stores are still open.
    """
    running, most, ended = 0, 0, asyncio.Event()

    async def opens(_sources: list[TopicPartition]) -> list[Lane]:
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
    """Closing producers may fail.

    The opening isn't retried while the next one waits.
    """
    opens, calls = worker.opener.open, 0

    async def breaks(sources: list[TopicPartition]) -> list[Lane]:
        nonlocal calls
        calls += 1
        if calls > 1:
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
    assert calls == 2


async def test_what_a_worker_waits_for_is_logged_every_10_s(worker: Worker) -> None:
    """It waits for its group, in an opening, and after a revocation.

    Nothing is logged while it can work.
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

    async def waits(sources: list[TopicPartition]) -> list[Lane]:
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


async def test_a_chunk_that_does_not_continue_its_lane_is_fetched_again(worker: Worker) -> None:
    """The consumer seeks to the lane's position, and nothing is folded."""
    await worker.pipeline.open([FIRST])
    await worker.pipeline.process(chunk(FIRST, start=5))
    assert worker.seeks == [(FIRST, 0)]
    assert worker.stage.folded == []


async def test_a_paused_lane_accepts_no_chunk_and_is_not_stalled(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk with the refusals is committed up to the last one."""
    commits(monkeypatch, done)
    await worker.pipeline.open([FIRST])
    worker.stage.pauses = True
    await worker.fold(FIRST, 10)
    lane = worker.pipeline.lanes[FIRST]
    assert (lane.state, lane.position, worker.paused) == (LaneState.PAUSED, 10, [FIRST])
    await worker.fold(FIRST, 10)
    assert worker.stage.folded == [10]
    worker.watch(30, lag=7)
    assert worker.ends == []
