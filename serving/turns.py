"""Work of the event loop's own thread that gives way to answers again and again.

A second thread would compute beside the loop under Python's one lock. The loop gives the lock up
with each of its calls to sockets and then waits for it, so an answer would wait several times.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

Result = TypeVar("Result")
Item = TypeVar("Item")

Parts: TypeAlias = "Generator[None, None, Result]"
"""Some work, which stops after each short part of it, and its result."""

PART_ITEMS: Final = 32
"""How many rows or records are a part: some 0.3 ms of work."""

LEAST_TURN_S: Final = 0.001
MOST_TURN_S: Final = 0.004


def whole(parts: Parts[Result]) -> Result:
    """Do all of some work at once."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: Result = end.value
            return result


async def in_turns(parts: Parts[Result]) -> Result:
    """Do some work in turns with everything else of the loop.

    A turn is half as long as all else was since the turn before, within bounds: two such works then
    have as much time as answers without end, and don't make each other's turns longer. An answer
    waits for a turn of each at most, and for its longest part.
    """
    turn_s, began_s = LEAST_TURN_S, perf_counter()
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: Result = end.value
            return result
        ended_s = perf_counter()
        if ended_s - began_s >= turn_s:
            await asyncio.sleep(0)
            began_s = perf_counter()
            turn_s = min(max(LEAST_TURN_S, (began_s - ended_s) / 2), MOST_TURN_S)


def parts_of(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Some items, PART_ITEMS at a time."""
    left = iter(items)
    while some := list(islice(left, PART_ITEMS)):
        yield some
