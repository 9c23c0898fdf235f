"""The chain of fetch positions.

A chunk says exactly which stretch of the log it covers, control records included.
"""

from __future__ import annotations

import asyncio
import struct
from asyncio import Event
from collections import Counter, OrderedDict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, Mock

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchError, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.transport.conductor import ConductorCompiler
from faust.types import TP
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from schemas.envelope import ChatMessage, Received, Record, Written
from streams.batches import TolerantRecords
from streams.chunks import Chunk, ChunkConsumer, ChunkThread
from streams.pipeline import Fatal
from tables.product_stage import ProductAddition

if TYPE_CHECKING:
    from collections.abc import Callable

SALES = TP("sales", 0)
CONTROL = 0x20
COMMIT = struct.pack(">hh", 0, 1)


def batch(first: int, *values: bytes, attributes: int = 0) -> bytes:
    """Records from an offset on, as a broker hands them out."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1_000_000)
    for number, value in enumerate(values):
        builder.append(number, 1_783_000_000_000, COMMIT if attributes else b"key", value, [])
    made = bytearray(builder.build())
    made[:8] = struct.pack(">q", first)
    made[21:23] = struct.pack(">h", attributes)
    return bytes(made)


def marker(at: int) -> bytes:
    """The end of a transaction, which is never delivered."""
    return batch(at, bytes(6), attributes=CONTROL)


class Partition:
    """One partition's way from what is fetched to chunks of two records at most, with both threads' work done by the test's own."""

    def __init__(self) -> None:
        self.state, self.fetched = TopicPartitionState(None), OrderedDict[TP, Any]()
        self.state.seek(0)
        self.assignment = SimpleNamespace(active=True, state_value=lambda _tp: self.state)
        self.subscriptions = SimpleNamespace(reassignment_in_progress=False)
        fetcher = SimpleNamespace(
            _records=self.fetched,
            _subscriptions=self.subscriptions,
            _wait_consume_future=None,
            _notify=lambda _future: None,
        )
        self.read: Callable[[Record], Any] = lambda record: record.value
        self.thread = thread = ChunkThread.__new__(ChunkThread)
        self.consumer = consumer = ChunkConsumer.__new__(ChunkConsumer)
        thread.consumer = SimpleNamespace(flow_active=True)
        thread._consumer = SimpleNamespace(_fetcher=fetcher, last_stable_offset=lambda _tp: 11)
        thread.thread_loop = SimpleNamespace(call_soon_threadsafe=lambda what, *args: what(*args))
        consumer._thread, consumer._fetched, consumer._undelivered = thread, {}, {}
        pipeline = SimpleNamespace(
            opener=SimpleNamespace(reading=lambda _: self.read), most_records=lambda _tp: 2
        )
        consumer.app = SimpleNamespace(in_recovery=False, pipeline=pipeline)
        consumer._active_partitions, consumer._paused_partitions, consumer._buffered_partitions = (
            {SALES},
            set(),
            set(),
        )
        consumer.assignment = lambda: {SALES}

    def fetch(self, *batches: bytes) -> None:
        """Fetch these, from the consumer's position on."""
        source = PartitionRecords(
            SALES,
            TolerantRecords(b"".join(batches)),
            [],
            self.state.position,
            None,
            None,
            check_crcs=False,
            isolation_level=READ_COMMITTED,
        )
        self.fetched[SALES] = FetchResult(
            SALES, assignment=self.assignment, partition_records=source, backoff=0
        )

    def waiting(self) -> Any:  # noqa: ANN401 - aiokafka's is untyped
        """What waits to be read."""
        return self.thread._waiting(self.thread._consumer._fetcher, {SALES}).get(SALES)

    def chunk(self) -> Chunk | None:
        """The next chunk of what waits."""
        return self.consumer._chunk(SALES, self.waiting())

    def said(self) -> tuple[list[tuple[int, Any]], int, int] | None:
        """What the next chunk says, and from where to where it goes."""
        chunk = self.chunk()
        return None if chunk is None else (list(chunk.readings), chunk.start, chunk.end)


@pytest.fixture
async def partition() -> Partition:
    """A partition at position 0 whose flow is open."""
    return Partition()


def test_chunks_join_end_to_start(partition: Partition) -> None:
    """A marker behind the last record belongs to the chunk that ends with it.

    What was read up isn't kept from being fetched on.
    """
    partition.fetch(batch(0, b"a"), marker(1))
    assert partition.said() == ([(0, b"a")], 0, 2)
    assert partition.state.position == 2
    assert partition.waiting() is None
    partition.fetch(batch(2, b"b"), batch(3, b"c"))
    assert partition.said() == ([(2, b"b"), (3, b"c")], 2, 4)


@pytest.mark.parametrize(
    "batches",
    [
        [batch(0, b"a", b"b", b"c"), marker(3)],
        [batch(0, b"a"), batch(1, b"b"), batch(2, b"c"), marker(3)],
    ],
)
def test_what_was_fetched_is_read_in_chunks(partition: Partition, batches: list[bytes]) -> None:
    """A full chunk leaves the rest for the next one, also in the middle of a batch.

    All its records can be looked up.
    """
    partition.fetch(*batches)
    first = partition.chunk()
    assert first is not None
    assert (first.readings, first.start, first.end) == ([(0, b"a"), (1, b"b")], 0, 2)
    assert partition.state.position == 2
    assert partition.said() == ([(2, b"c")], 2, 4)
    assert partition.waiting() is None
    assert {at: record.value for at, record in first.fetched.at({0, 1}).items()} == {
        0: b"a",
        1: b"b",
    }


def test_that_nothing_was_left_shows_at_the_next_chunk(partition: Partition) -> None:
    """A chunk that ends with the fetch may be a full one."""
    partition.fetch(batch(0, b"a", b"b"))
    assert partition.said() == ([(0, b"a"), (1, b"b")], 0, 2)
    assert partition.said() is None
    assert partition.waiting() is None


def test_a_fetch_begins_within_a_batch(partition: Partition) -> None:
    """A broker hands out whole batches: what stands before the position was read already."""
    partition.state.seek(2)
    partition.fetch(batch(0, b"a", b"b", b"c"), batch(3, b"d"))
    assert partition.said() == ([(2, b"c"), (3, b"d")], 2, 4)


def test_a_stretch_without_records_is_joined_to_the_next_chunk(partition: Partition) -> None:
    """Control records that come alone leave no gap in the chain, however many fetches they take."""
    said = []
    for batches in ([batch(0, b"a")], [marker(1)], [marker(2), marker(3)], [batch(4, b"b")]):
        partition.fetch(*batches)
        said.append(partition.said())
    assert said == [([(0, b"a")], 0, 1), None, None, ([(4, b"b")], 1, 5)]


def test_a_seek_breaks_the_chain(partition: Partition) -> None:
    """After somebody has sought, the chunk starts where it was sought to.

    A lane that stands elsewhere must see that.
    """
    partition.fetch(batch(0, b"a"), marker(1))
    partition.chunk()
    partition.fetch(marker(2))
    partition.chunk()
    partition.state.seek(50)
    partition.fetch(batch(50, b"b"))
    assert partition.said() == ([(50, b"b")], 50, 51)


def test_what_was_fetched_before_a_seek_is_dropped(partition: Partition) -> None:
    """It isn't what comes next any more, not even the rest of what was begun."""
    for begun in (False, True):
        partition.state.seek(0)
        partition.fetch(batch(0, b"a", b"b", b"c"))
        if begun:
            assert partition.said() == ([(0, b"a"), (1, b"b")], 0, 2)
        partition.state.seek(50)
        assert partition.said() is None
        assert partition.waiting() is None
        assert partition.state.position == 50


def test_a_seek_while_a_chunk_is_read_holds(partition: Partition) -> None:
    """The consumer's thread seeks at any time.

    Reading must not take that back, else the lane would ask for it for ever.
    """

    def read(record: Record) -> int:
        partition.state.seek(50)
        return record.offset

    partition.read = read
    partition.fetch(batch(0, b"a", b"b"), marker(2))
    assert partition.said() == ([(0, 0), (1, 1)], 0, 2)
    assert partition.state.position == 50
    assert partition.said() is None


def test_a_fault_while_reading_names_the_record(partition: Partition) -> None:
    """Reading never raises; should it, the worker ends with where and why."""
    partition.fetch(batch(0, b"1", b"0"))
    partition.read = lambda record: 1 // int(record.value or b"")
    with pytest.raises(Fatal, match=r"sales-0@1: ZeroDivisionError\(.*a fault of ours, report it"):
        partition.chunk()


async def test_a_fault_while_reading_ends_the_worker(partition: Partition) -> None:
    """No chunk is made of what comes behind it: that would leave the record out."""
    consumer, ends = partition.consumer, list[Fatal]()
    consumer.flow_active, consumer._stopped, consumer._crashed = True, Event(), Event()
    consumer.app.consumer_generation_id, consumer.app.leave = 1, ends.append

    async def getmany(_active: set[TP], _timeout: float) -> dict[TP, Any]:
        return {SALES: partition.waiting()}

    consumer._getmany = getmany
    partition.fetch(batch(0, b"1", b"0", b"2"))
    partition.read = lambda record: 1 // int(record.value or b"")
    assert [message async for message in consumer.getmany(1.0)] == []
    assert len(ends) == 1
    assert partition.waiting() is None
    assert partition.state.position == 0


def test_nothing_is_read_while_the_flow_is_stopped(partition: Partition) -> None:
    """During a rebalance no position moves."""
    partition.fetch(batch(0, b"a"))
    partition.thread.consumer.flow_active = False
    assert partition.waiting() is None


def test_nothing_is_read_while_partitions_are_assigned_anew(partition: Partition) -> None:
    """What is waiting may be another owner's by then."""
    partition.fetch(batch(0, b"a"))
    partition.subscriptions.reassignment_in_progress = True
    assert partition.waiting() is None
    partition.subscriptions.reassignment_in_progress = False
    assert partition.said() == ([(0, b"a")], 0, 1)


def test_what_another_owner_has_now_is_dropped(partition: Partition) -> None:
    """An assignment that is over by the time of reading."""
    partition.fetch(batch(0, b"a"))
    partition.assignment.active = False
    assert partition.chunk() is None


def test_an_error_of_a_fetch_is_raised_once(partition: Partition) -> None:
    """It must not be lost, and the partition can be fetched again after it."""
    partition.fetched[SALES] = FetchError(error=TopicAuthorizationFailedError("sales"), backoff=0)
    with pytest.raises(TopicAuthorizationFailedError):
        partition.waiting()
    assert partition.waiting() is None


async def test_every_partition_has_its_turn(partition: Partition) -> None:
    """All have more to bring than the agent can take, by Faust's own way to its queue.

    None is left out, and none waits for the others.
    """
    partitions = [TP("sales", number) for number in range(4)]
    partition.consumer._active_partitions = set(partitions)
    queue = ThrowableQueue(maxsize=1, flow_control=FlowControlEvent(initially_suspended=False))
    channel = Mock(
        key_type=None,
        value_type=None,
        queue=queue,
        put=queue.put,
        decode=AsyncMock(side_effect=lambda message, **_: message),
    )
    app = Mock(consumer=partition.consumer)
    app.flow_control.acquire = app.producer.buffer.wait_until_ebb = AsyncMock()
    bring = {tp: ConductorCompiler().build(Mock(app=app), tp, {channel}) for tp in partitions}

    async def fetch() -> None:
        while True:
            for tp in sorted(partition.consumer._get_active_partitions()):
                await bring[tp](Mock(tp=tp))
            await asyncio.sleep(0)

    fetching = asyncio.create_task(fetch())
    taken: Counter[TP] = Counter()
    async with asyncio.timeout(5.0):
        for _ in range(40):
            taken[(await queue.get()).tp] += 1
            await asyncio.sleep(0)  # while it folds, the next is brought
            await asyncio.sleep(0)
    fetching.cancel()
    assert taken == dict.fromkeys(partitions, 10)


def test_lag_leaves_out_what_is_never_delivered(partition: Partition) -> None:
    """A lane that has taken every record is not behind, though a marker stands between it and the log's end."""
    lag = partition.consumer.lag
    assert lag(SALES, 0) == 11
    partition.fetch(batch(9, b"a"))
    partition.chunk()
    assert lag(SALES, 0) == 11
    assert lag(SALES, 10) == 1
    partition.fetch(marker(10))
    partition.chunk()
    assert lag(SALES, 10) == 0
    assert lag(SALES, 0) == 11
    partition.thread._consumer.last_stable_offset = lambda _tp: None
    assert lag(SALES, 10) is None


def test_a_chunk_is_cut_where_its_parts_join() -> None:
    """The first part ends behind its last record, the rest begins there.

    The control records around them stay where they were.
    """
    whole = Chunk(SALES, [(3, b"a"), (5, b"b"), (9, b"c")], 2, 12, TolerantRecords(b""))
    first, rest = whole.cut(2)
    assert rest is not None
    assert [(part.start, part.end, part.readings) for part in (first, rest)] == [
        (2, 6, [(3, b"a"), (5, b"b")]),
        (6, 12, [(9, b"c")]),
    ]
    assert whole.cut(3) == (whole, None)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (
            [Received("order_paid", "e", "s", 0, "o-17", None)] * 2 + [None],
            "2 of 3 records are of order o-17",
        ),
        (
            [ChatMessage("shop-1", "buyer-2", Written(0, 0, "m", "s", "m", None, None))] * 2,
            "2 of 2 records are of the conversation of shop-1 and buyer-2",
        ),
        (
            [ProductAddition(b"product-1", b"cycle", None)],  # type: ignore[arg-type]
            "1 of 1 records are of product product-1",
        ),
        ([None, Received("order_paid", "e", "s", 0, "o-17", None), None], "3 records"),
        ([], "0 records"),
    ],
)
def test_a_chunk_says_what_most_of_it_is_about(about: list[object], words: str) -> None:
    """Place and records; and an order, conversation, product or shop that has half of them."""
    assert (
        str(Chunk(SALES, list(enumerate(about, 7)), 7, 9, TolerantRecords(b"")))
        == f"sales-0@7..9: {words}"
    )
