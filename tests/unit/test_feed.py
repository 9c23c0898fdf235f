"""A feed gives items as they are read; a slow pipe blocks neither the loop nor its end."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import TYPE_CHECKING

import pytest

from operations.writing.feed import MOST_AHEAD, Feed

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_S = 30.0


async def _all(feed: Feed[int]) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(LONG_S):
        while (some := await feed.next(0.01)) is not None:
            assert len(some) <= MOST_AHEAD
            found += some
    return found


@pytest.mark.parametrize("number", [0, 1, MOST_AHEAD, 10 * MOST_AHEAD + 1])
async def test_all_items_are_returned_once_and_in_order(number: int) -> None:
    """This holds for many more items than are read ahead."""
    assert await _all(Feed(iter(range(number)))) == list(range(number))


async def test_items_are_returned_while_the_next_one_is_awaited() -> None:
    """A pipe may stay open; without items the batch is empty."""
    more = Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        more.wait(LONG_S)
        yield 3

    feed = Feed(items())
    found: list[int] = []
    async with asyncio.timeout(LONG_S):
        while len(found) < 2:
            found += await feed.next(0.01) or []
    assert found == [1, 2]
    assert await feed.next(0.01) == []
    more.set()
    assert await _all(feed) == [3]


async def test_a_failure_is_raised_after_the_items_before_it() -> None:
    """The iterator's error is raised where the items are read."""

    def items() -> Iterator[int]:
        yield 1
        raise LookupError("broken")

    feed = Feed(items())
    found: list[int] = []

    async def read() -> None:
        async with asyncio.timeout(LONG_S):
            while (some := await feed.next(0.01)) is not None:
                found.extend(some)

    with pytest.raises(LookupError, match="broken"):
        await read()
    assert found == [1]


async def test_reading_ahead_is_bounded() -> None:
    """A fast file doesn't fill the memory while Kafka is slow."""
    read, full = 0, Event()

    def items() -> Iterator[int]:
        nonlocal read
        for number in range(10 * MOST_AHEAD):
            read = number + 1
            if read == MOST_AHEAD:
                full.set()
            yield number

    feed = Feed(items())
    assert await asyncio.to_thread(full.wait, LONG_S)
    assert read == MOST_AHEAD
    assert len(await _all(feed)) == 10 * MOST_AHEAD
