"""The fetched records of a partition: chunks, and aiokafka's buffer behind them."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import TopicAuthorizationFailedError

from schemas.envelope import ChatMessage, Received, Written
from streams.batches import TolerantRecords
from streams.fetch_buffer import FetchBuffer
from streams.fetched import Chunk, Fetch
from tables.summing_stage import RowAddition
from tests.fetching import SALES, Fetches, batch


def test_a_chunk_is_cut_where_its_parts_join() -> None:
    """The first part ends after its last record, and the rest begins there.

    The control records around them stay with them.
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
            [RowAddition(b"product-1", b"cycle", None, "product_id")],  # type: ignore[arg-type]
            "1 of 1 records are of product product-1",
        ),
        ([None, Received("order_paid", "e", "s", 0, "o-17", None), None], "3 records"),
        ([], "0 records"),
    ],
)
def test_a_chunk_names_its_most_frequent_subject(about: list[object], words: str) -> None:
    """It names the place, the records, and the subject of at least half of them.

    A subject is an order, conversation, product or shop.
    """
    assert (
        str(Chunk(SALES, list(enumerate(about, 7)), 7, 9, TolerantRecords(b"")))
        == f"sales-0@7..9: {words}"
    )


async def test_nothing_waits_while_partitions_are_reassigned() -> None:
    """Another worker may own the fetch by then."""
    fetches = Fetches()
    buffer = FetchBuffer(fetches.fetcher)
    fetches.fetch(batch(0, b"a"))
    assert list(buffer.waiting({SALES})) == [SALES]
    fetches.subscriptions.begin_reassignment()
    assert buffer.waiting({SALES}) == {}


async def test_an_error_of_a_fetch_is_raised_once() -> None:
    """It must not be lost; the partition can be fetched again after it."""
    fetches = Fetches()
    buffer = FetchBuffer(fetches.fetcher)
    fetches.put(FetchError(error=TopicAuthorizationFailedError("sales"), backoff=0))
    with pytest.raises(TopicAuthorizationFailedError):
        buffer.waiting({SALES})
    assert buffer.waiting({SALES}) == {}


async def test_waiting_for_a_fetch_ends_by_the_time() -> None:
    """It raises errors that make further fetches impossible."""
    fetches = Fetches()
    buffer = FetchBuffer(fetches.fetcher)
    await buffer.wait(0.001)
    waits = asyncio.create_task(buffer.wait(None))
    await asyncio.sleep(0)
    fetches.subscriptions.abort_waiters(TopicAuthorizationFailedError("sales"))
    with pytest.raises(TopicAuthorizationFailedError):
        await waits


@pytest.mark.parametrize("by_batches", [True, False])
async def test_a_fetch_that_was_read_leaves_no_reference_cycle(*, by_batches: bool) -> None:
    """Else its bytes would wait for a garbage collection, and those are rare."""
    fetches = Fetches()
    fetches.fetch(batch(0, b"a", b"b"), batch(2, b"c"))
    fetch = Fetch(SALES, fetches.fetcher._records.pop(SALES))
    if by_batches:
        assert len(fetch.read_batches(10)) == 3
    else:
        assert len(fetch.read(10, bool)) == 3
    bytes_of = weakref.ref(fetch.records)
    gc.disable()
    try:
        del fetch
        assert bytes_of() is None
    finally:
        gc.enable()
