"""The chain of fetch positions: a chunk says exactly which stretch of the log it covers, control records included."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from faust.types import TP

from streams.batches import TolerantRecords
from streams.chunks import Chunk, ChunkConsumer, ChunkThread, Stretch

if TYPE_CHECKING:
    from collections.abc import Iterator

SALES = TP("sales", 0)
A, B, C = ((offset, f"what {offset} says") for offset in range(3))
RECORDS = TolerantRecords(b"")


@dataclass
class _State:
    position: int = 0
    has_valid_position: bool = True


@dataclass
class _Fetcher:
    """Stands in for aiokafka's: each fetch moves the position, with or without records."""

    state: _State = field(default_factory=_State)
    fetches: list[tuple[int, list[Any]]] = field(default_factory=list)
    assigns: bool = False

    @property
    def _records(self) -> dict[TP, Any]:
        waiting = SimpleNamespace(_partition_records=SimpleNamespace(_records=RECORDS))
        return {TP("sales", partition): waiting for partition in range(3)} if self.fetches else {}

    @property
    def _subscriptions(self) -> Any:  # noqa: ANN401 - aiokafka's is untyped
        assignment = SimpleNamespace(state_value=lambda _tp: self.state)
        subscription = SimpleNamespace(assignment=assignment)
        return SimpleNamespace(subscription=subscription, fetch_context=self._context, reassignment_in_progress=self.assigns)

    @contextmanager
    def _context(self) -> Iterator[None]:
        yield

    async def fetched_records(self, active: set[TP], timeout: float, max_records: int | None) -> dict[TP, list[Any]]:  # noqa: ASYNC109
        assert timeout == 0
        assert max_records == 100
        self.state.position, records = self.fetches.pop(0)
        return dict.fromkeys(active, records) if records else {}


@pytest.fixture
def thread() -> ChunkThread:
    """A consumer thread whose flow is open."""
    made = ChunkThread.__new__(ChunkThread)
    made.consumer = SimpleNamespace(flow_active=True)
    made.stretches = {}
    made._next = None
    made._readers = {"sales": lambda _tp, record: (record.offset, record)}
    return made


async def fetch(thread: ChunkThread, fetcher: _Fetcher) -> Chunk | None:
    """The chunk of one fetch."""
    return (await thread._fetched(fetcher, {SALES}, 100)).get(SALES)


async def test_chunks_join_end_to_start(thread: ChunkThread) -> None:
    """A marker behind the last record belongs to the chunk that ends with it."""
    fetcher = _Fetcher(fetches=[(11, [A]), (25, [B, C])])
    assert await fetch(thread, fetcher) == Chunk(SALES, [A], 0, 11, RECORDS)
    assert await fetch(thread, fetcher) == Chunk(SALES, [B, C], 11, 25, RECORDS)


async def test_a_stretch_without_records_is_joined_to_the_next_chunk(thread: ChunkThread) -> None:
    """Control records that come alone leave no gap in the chain, however many fetches they take."""
    fetcher = _Fetcher(fetches=[(10, [A]), (11, []), (12, []), (20, [B])])
    chunks = [await fetch(thread, fetcher) for _ in range(4)]
    assert chunks == [Chunk(SALES, [A], 0, 10, RECORDS), None, None, Chunk(SALES, [B], 10, 20, RECORDS)]


async def test_a_seek_breaks_the_chain(thread: ChunkThread) -> None:
    """After somebody has sought, the chunk starts where it was sought to: a lane that stands elsewhere must see that."""
    fetcher = _Fetcher(fetches=[(10, [A]), (11, []), (60, [B])])
    await fetch(thread, fetcher)
    await fetch(thread, fetcher)
    fetcher.state.position = 50
    assert await fetch(thread, fetcher) == Chunk(SALES, [B], 50, 60, RECORDS)


async def test_partitions_take_turns(thread: ChunkThread) -> None:
    """When enough was taken, the next call begins with the partition that was left out."""
    thread._next = TP("sales", 1)
    assert thread._in_turn({TP("sales", 0), TP("orders", 1), TP("sales", 1)}) == [TP("sales", 1), TP("orders", 1), SALES]
    fetcher = _Fetcher(fetches=[(10, [A] * 200), (20, [B])])
    active = {TP("sales", partition) for partition in range(3)}
    thread._next = None
    assert list(await thread._fetched(fetcher, active, 100)) == [SALES]
    assert thread._next == TP("sales", 1)


async def test_nothing_is_fetched_while_the_flow_is_stopped(thread: ChunkThread) -> None:
    """During a rebalance no position moves."""
    thread.consumer.flow_active = False
    fetcher = _Fetcher(fetches=[(10, [A])])
    assert await fetch(thread, fetcher) is None
    assert fetcher.state.position == 0


async def test_nothing_is_fetched_while_partitions_are_assigned_anew(thread: ChunkThread) -> None:
    """What is waiting may be another owner's by then; where the lane stands is known all the same."""
    fetcher = _Fetcher(fetches=[(10, [A])], assigns=True)
    assert await fetch(thread, fetcher) is None
    assert thread.stretches == {SALES: Stretch(0, 0)}
    fetcher.assigns = False
    assert await fetch(thread, fetcher) == Chunk(SALES, [A], 0, 10, RECORDS)


async def test_lag_leaves_out_what_is_never_delivered(thread: ChunkThread) -> None:
    """A lane that has taken every record is not behind, though a marker stands between it and the log's end."""
    consumer = ChunkConsumer.__new__(ChunkConsumer)
    consumer._thread = thread
    thread._consumer = SimpleNamespace(last_stable_offset=lambda _tp: 11)
    consumer.assignment = lambda: {SALES}
    assert consumer.lag(SALES, 0) is None
    fetcher = _Fetcher(fetches=[(10, [A]), (11, [])])
    await fetch(thread, fetcher)
    assert consumer.lag(SALES, 0) == 11
    assert consumer.lag(SALES, 10) == 1
    await fetch(thread, fetcher)
    assert consumer.lag(SALES, 10) == 0
    assert consumer.lag(SALES, 0) == 11
