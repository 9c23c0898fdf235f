"""The chain of fetch positions: a chunk says exactly which stretch of the log it covers, control records included."""

from __future__ import annotations

from asyncio import Future
from collections import OrderedDict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.consumer.fetcher import FetchError, FetchResult
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.errors import TopicAuthorizationFailedError
from faust.types import TP

from streams.batches import TolerantRecords
from streams.chunks import Chunk, ChunkConsumer, ChunkThread, _reading
from streams.pipeline import Fatal
from tests.flow import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SALES = TP("sales", 0)
A, B, C = ((offset, f"what {offset} says") for offset in range(3))
RECORDS = TolerantRecords(b"")


class _Source:
    """Stands in for aiokafka's PartitionRecords: what was fetched from a position on; `then` is called before the last one is read."""

    _records = RECORDS

    def __init__(self, begin: int, end: int, readings: list[Any], then: Callable[[], None] = lambda: None) -> None:
        self.next_fetch_offset = begin
        self._iterator = self._read(end, readings, then)

    def _read(self, end: int, readings: list[Any], then: Callable[[], None]) -> Iterator[Any]:
        for reading in readings:
            if reading is readings[-1]:
                then()
            self.next_fetch_offset = reading[0] + 1
            yield reading
        self.next_fetch_offset = end

    def __iter__(self) -> _Source:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - what a record says
        return next(self._iterator)


class Partition:
    """One partition's way from what is fetched to chunks, with both threads' work done by the test's own."""

    def __init__(self) -> None:
        self.state, self.fetched = TopicPartitionState(None), OrderedDict[TP, Any]()
        self.state.seek(0)
        self.assignment = SimpleNamespace(active=True, state_value=lambda _tp: self.state)
        self.subscriptions = SimpleNamespace(reassignment_in_progress=False)
        fetcher = SimpleNamespace(
            _records=self.fetched, _subscriptions=self.subscriptions, _wait_consume_future=None, _notify=lambda _future: None
        )
        self.thread = thread = ChunkThread.__new__(ChunkThread)
        self.consumer = consumer = ChunkConsumer.__new__(ChunkConsumer)
        thread.consumer = SimpleNamespace(flow_active=True)
        thread._consumer = SimpleNamespace(_fetcher=fetcher, last_stable_offset=lambda _tp: 11)
        thread.thread_loop = SimpleNamespace(call_soon_threadsafe=lambda what, *args: what(*args))
        consumer._thread, consumer._readers, consumer._undelivered = thread, {"sales": lambda _tp, _record: A}, {}
        consumer.app = SimpleNamespace(conf=SimpleNamespace(broker_max_poll_records=2), in_recovery=False)
        consumer._active_partitions, consumer._paused_partitions, consumer._buffered_partitions = {SALES}, set(), set()
        consumer.assignment = lambda: {SALES}

    def fetch(self, end: int, readings: list[Any], then: Callable[[], None] = lambda: None) -> None:
        """Fetch from the position to `end`."""
        source = _Source(self.state.position, end, readings, then)
        self.fetched[SALES] = FetchResult(SALES, assignment=self.assignment, partition_records=source, backoff=0)

    def waiting(self) -> Any:  # noqa: ANN401 - aiokafka's is untyped
        """What waits to be read."""
        return self.thread._waiting(self.thread._consumer._fetcher, {SALES}).get(SALES)

    def chunk(self) -> Chunk | None:
        """The next chunk of what waits."""
        return self.consumer._chunk(SALES, self.waiting())


@pytest.fixture
async def partition() -> Partition:
    """A partition at position 0, whose flow is open; a chunk of it has two records at most."""
    return Partition()


def test_chunks_join_end_to_start(partition: Partition) -> None:
    """A marker behind the last record belongs to the chunk that ends with it; what was read up isn't kept from being fetched on."""
    partition.fetch(11, [A])
    assert partition.chunk() == Chunk(SALES, [A], 0, 11, RECORDS)
    assert partition.state.position == 11
    assert partition.waiting() is None
    partition.fetch(25, [(11, "b"), (12, "c")])
    assert partition.chunk() == Chunk(SALES, [(11, "b"), (12, "c")], 11, 13, RECORDS)


def test_what_was_fetched_is_read_in_chunks(partition: Partition) -> None:
    """A full chunk leaves the rest for the next one; that there was none shows only then."""
    partition.fetch(25, [A, B, C])
    assert partition.chunk() == Chunk(SALES, [A, B], 0, 2, RECORDS)
    assert partition.chunk() == Chunk(SALES, [C], 2, 25, RECORDS)
    assert partition.waiting() is None
    partition.state.seek(0)
    partition.fetch(2, [A, B])
    assert partition.chunk() == Chunk(SALES, [A, B], 0, 2, RECORDS)
    assert partition.chunk() is None
    assert partition.waiting() is None


def test_a_stretch_without_records_is_joined_to_the_next_chunk(partition: Partition) -> None:
    """Control records that come alone leave no gap in the chain, however many fetches they take."""
    chunks = []
    for end, readings in ((10, [A]), (11, []), (12, []), (20, [(15, "b")])):
        partition.fetch(end, readings)
        chunks.append(partition.chunk())
    assert chunks == [Chunk(SALES, [A], 0, 10, RECORDS), None, None, Chunk(SALES, [(15, "b")], 10, 20, RECORDS)]


def test_a_seek_breaks_the_chain(partition: Partition) -> None:
    """After somebody has sought, the chunk starts where it was sought to: a lane that stands elsewhere must see that."""
    partition.fetch(10, [A])
    partition.chunk()
    partition.fetch(11, [])
    partition.chunk()
    partition.state.seek(50)
    partition.fetch(60, [(50, "b")])
    assert partition.chunk() == Chunk(SALES, [(50, "b")], 50, 60, RECORDS)


def test_what_was_fetched_before_a_seek_is_dropped(partition: Partition) -> None:
    """It isn't what comes next any more."""
    partition.fetch(10, [A])
    partition.state.seek(50)
    assert partition.chunk() is None
    assert partition.waiting() is None
    assert partition.state.position == 50


def test_a_seek_while_a_chunk_is_read_holds(partition: Partition) -> None:
    """The consumer's thread seeks at any time: reading must not take that back, else the lane would ask for it for ever."""

    def seek() -> None:
        partition.state.seek(50)

    partition.fetch(10, [A, B], then=seek)
    assert partition.chunk() == Chunk(SALES, [A, B], 0, 2, RECORDS)
    assert partition.state.position == 50
    assert partition.chunk() is None


def test_a_fault_while_reading_names_the_record() -> None:
    """Reading never raises; should it, the worker ends with where and why."""
    record = Record("sales", 0, 7, 0, None, b"1", [])
    assert _reading(lambda one: one.value)(SALES, record) == (7, b"1")
    with pytest.raises(Fatal, match=r"sales-0@7: ZeroDivisionError\(.*a fault of ours, report it"):
        _reading(lambda one: 1 // one.timestamp)(SALES, record)


def test_nothing_is_read_while_the_flow_is_stopped(partition: Partition) -> None:
    """During a rebalance no position moves."""
    partition.fetch(10, [A])
    partition.thread.consumer.flow_active = False
    assert partition.waiting() is None


def test_nothing_is_read_while_partitions_are_assigned_anew(partition: Partition) -> None:
    """What is waiting may be another owner's by then."""
    partition.fetch(10, [A])
    partition.subscriptions.reassignment_in_progress = True
    assert partition.waiting() is None
    partition.subscriptions.reassignment_in_progress = False
    assert partition.chunk() == Chunk(SALES, [A], 0, 10, RECORDS)


def test_what_another_owner_has_now_is_dropped(partition: Partition) -> None:
    """An assignment that is over by the time of reading."""
    partition.fetch(10, [A])
    partition.assignment.active = False
    assert partition.chunk() is None


def test_an_error_of_a_fetch_is_raised_once(partition: Partition) -> None:
    """It must not be lost, and the partition can be fetched again after it."""
    partition.fetched[SALES] = FetchError(error=TopicAuthorizationFailedError("sales"), backoff=0)
    with pytest.raises(TopicAuthorizationFailedError):
        partition.waiting()
    assert partition.waiting() is None


async def test_a_partition_goes_on_when_its_chunk_was_taken(partition: Partition) -> None:
    """Faust leaves out a partition while its chunk waits for the agent; the thread that fetches must hear that it is back."""
    consumer, thread = partition.consumer, partition.thread
    consumer.on_buffer_full(SALES)
    assert consumer._active_partitions == set()
    thread._waiter = waiter = Future[None]()
    consumer.on_buffer_drop(SALES)
    assert consumer._active_partitions == {SALES}
    assert waiter.done()


def test_a_paused_partition_stays_so_when_its_chunk_was_taken(partition: Partition) -> None:
    """The chunk that waited may be the one for which the partition is paused."""
    consumer = partition.consumer
    consumer.on_buffer_full(SALES)
    consumer._paused_partitions.add(SALES)
    consumer.on_buffer_drop(SALES)
    assert consumer._active_partitions == set()


def test_lag_leaves_out_what_is_never_delivered(partition: Partition) -> None:
    """A lane that has taken every record is not behind, though a marker stands between it and the log's end."""
    lag = partition.consumer.lag
    assert lag(SALES, 0) == 11
    partition.fetch(10, [A])
    partition.chunk()
    assert lag(SALES, 0) == 11
    assert lag(SALES, 10) == 1
    partition.fetch(11, [])
    partition.chunk()
    assert lag(SALES, 10) == 0
    assert lag(SALES, 0) == 11
    partition.thread._consumer.last_stable_offset = lambda _tp: None
    assert lag(SALES, 10) is None
