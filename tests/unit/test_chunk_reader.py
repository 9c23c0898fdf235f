"""The chain of fetch positions.

A chunk covers an exact stretch of the log, control records included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streams.chunk_reader import ChunkReader
from streams.errors import Fatal
from streams.paced_buffer import PacedBuffer
from tests.fetching import SALES, Fetches, batch, marker

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.envelope import Record
    from streams.fetched import Chunk


class Partition(Fetches):
    """One partition, read in chunks of at most two records."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = PacedBuffer(self.fetcher, 0, lambda _: False, lambda _: True)
        self.reader = ChunkReader(self.buffer)
        self.decode: Callable[[Record], Any] = lambda record: record.value

    def waiting(self) -> Any:  # noqa: ANN401 - aiokafka's is untyped
        """The fetch that waits to be read."""
        return self.buffer.waiting({SALES}).get(SALES)

    def next_chunk(self) -> Chunk | None:
        """The next chunk of the waiting fetch."""
        return self.reader.next_chunk(SALES, self.waiting(), 2, self.decode)

    def read(self) -> tuple[list[tuple[int, Any]], int, int] | None:
        """The next chunk's readings, start and end."""
        chunk = self.next_chunk()
        return None if chunk is None else (list(chunk.readings), chunk.start, chunk.end)


@pytest.fixture
async def partition() -> Partition:
    """A partition at position 0."""
    return Partition()


def test_chunks_join_end_to_start(partition: Partition) -> None:
    """A control record after the last record belongs to its chunk.

    The next fetch can begin.
    """
    partition.fetch(batch(0, b"a"), marker(1))
    assert partition.read() == ([(0, b"a")], 0, 2)
    assert partition.state.position == 2
    assert partition.waiting() is None
    partition.fetch(batch(2, b"b"), batch(3, b"c"))
    assert partition.read() == ([(2, b"b"), (3, b"c")], 2, 4)


@pytest.mark.parametrize(
    "batches",
    [
        [batch(0, b"a", b"b", b"c"), marker(3)],
        [batch(0, b"a"), batch(1, b"b"), batch(2, b"c"), marker(3)],
    ],
)
def test_what_was_fetched_is_read_in_chunks(partition: Partition, batches: list[bytes]) -> None:
    """A full chunk leaves the rest to the next one, also within a batch.

    Its records can be found by offset.
    """
    partition.fetch(*batches)
    first = partition.next_chunk()
    assert first is not None
    assert (first.readings, first.start, first.end) == ([(0, b"a"), (1, b"b")], 0, 2)
    assert partition.state.position == 2
    assert partition.read() == ([(2, b"c")], 2, 4)
    assert partition.waiting() is None
    assert {at: record.value for at, record in first.records.at({0, 1}).items()} == {
        0: b"a",
        1: b"b",
    }


def test_the_end_of_a_fetch_shows_at_the_next_chunk(partition: Partition) -> None:
    """A chunk that ends with the fetch may be full.

    The next chunk shows that the fetch has ended.
    """
    partition.fetch(batch(0, b"a", b"b"))
    assert partition.read() == ([(0, b"a"), (1, b"b")], 0, 2)
    assert partition.read() is None
    assert partition.waiting() is None


def test_a_fetch_begins_within_a_batch(partition: Partition) -> None:
    """A broker returns whole batches, also with records that were read already."""
    partition.state.seek(2)
    partition.fetch(batch(0, b"a", b"b", b"c"), batch(3, b"d"))
    assert partition.read() == ([(2, b"c"), (3, b"d")], 2, 4)


def test_control_records_are_joined_to_the_next_chunk(partition: Partition) -> None:
    """Fetches of control records alone leave no gap in the chain.

    Any number of them is joined.
    """
    read = []
    for batches in ([batch(0, b"a")], [marker(1)], [marker(2), marker(3)], [batch(4, b"b")]):
        partition.fetch(*batches)
        read.append(partition.read())
    assert read == [([(0, b"a")], 0, 1), None, None, ([(4, b"b")], 1, 5)]


def test_a_seek_breaks_the_chain(partition: Partition) -> None:
    """After a seek the chunk starts at the new position.

    A lane at another position must notice it.
    """
    partition.fetch(batch(0, b"a"), marker(1))
    partition.next_chunk()
    partition.fetch(marker(2))
    partition.next_chunk()
    partition.state.seek(50)
    partition.fetch(batch(50, b"b"))
    assert partition.read() == ([(50, b"b")], 50, 51)


def test_what_was_fetched_before_a_seek_is_dropped(partition: Partition) -> None:
    """So is the rest of a fetch that is half read."""
    for half_read in (False, True):
        partition.state.seek(0)
        partition.fetch(batch(0, b"a", b"b", b"c"))
        if half_read:
            assert partition.read() == ([(0, b"a"), (1, b"b")], 0, 2)
        partition.state.seek(50)
        assert partition.read() is None
        assert partition.waiting() is None
        assert partition.state.position == 50


def test_a_seek_while_a_chunk_is_read_counts(partition: Partition) -> None:
    """The consumer's thread may seek at any time; reading must not undo the seek.

    Otherwise the lane would request the same seek for ever.
    """

    def decode(record: Record) -> int:
        partition.state.seek(50)
        return record.offset

    partition.decode = decode
    partition.fetch(batch(0, b"a", b"b"), marker(2))
    assert partition.read() == ([(0, 0), (1, 1)], 0, 2)
    assert partition.state.position == 50
    assert partition.read() is None


def test_a_fault_while_reading_names_the_record(partition: Partition) -> None:
    """Decoding never raises by design.

    If it does, the error names the record, and the fetch is dropped.
    """
    partition.fetch(batch(0, b"1", b"0"))
    partition.decode = lambda record: 1 // int(record.value or b"")
    with pytest.raises(Fatal, match=r"sales-0@1: ZeroDivisionError\(.*a fault of ours, report it"):
        partition.next_chunk()
    assert partition.waiting() is None
    assert partition.state.position == 0


async def test_a_fetch_of_an_earlier_assignment_is_dropped(partition: Partition) -> None:
    """Another worker may own the partition when it is read."""
    partition.fetch(batch(0, b"a"))
    partition.reassign()
    assert partition.read() is None


async def test_a_fetch_that_is_not_forgotten_yet_is_not_read_twice(partition: Partition) -> None:
    """The consumer's thread drops a fetch a little after it is read."""
    partition.fetch(batch(0, b"a"))
    result = partition.waiting()
    assert partition.read() == ([(0, b"a")], 0, 1)
    assert partition.reader.next_chunk(SALES, result, 2, partition.decode) is None


def test_lag_leaves_out_what_is_never_delivered(partition: Partition) -> None:
    """A lane with every record has no lag, even if a control record ends the log."""
    assert partition.reader.lag(SALES, 0, 11) == 11
    partition.fetch(batch(9, b"a"))
    partition.read()
    assert partition.reader.lag(SALES, 0, 11) == 11
    assert partition.reader.lag(SALES, 10, 11) == 1
    partition.fetch(marker(10))
    partition.read()
    assert partition.reader.lag(SALES, 10, 11) == 0
    assert partition.reader.lag(SALES, 0, 11) == 11
