"""Long work of the event loop gives way to everything else of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from serving import turns
from serving.turns import PART_ITEMS, in_turns, parts_of, whole

if TYPE_CHECKING:
    from serving.turns import Parts

PART_S = 0.0005


def work(parts: int) -> Parts[int]:
    """So many parts, each of PART_S."""
    for _ in range(parts):
        spend(PART_S)
        yield
    return parts


def spend(seconds: float) -> None:
    """Compute for so long."""
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        pass


def test_all_of_it_is_done_at_once() -> None:
    """Its result is what the work returns."""
    assert whole(work(3)) == 3


async def test_others_have_turns_meanwhile() -> None:
    """After at most MOST_TURN_S and a part, however long the others' turns are."""
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            spend(0.006)  # longer than the longest turn
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    assert await in_turns(work(100)) == 100
    running.cancel()
    assert others >= 100 * PART_S / (turns.MOST_TURN_S + 10 * PART_S)


async def test_a_turn_is_as_long_as_the_others_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least LEAST_TURN_S, so work beside nothing is not stopped after each part."""
    stops = 0
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        nonlocal stops
        stops += 1
        await sleep(seconds)

    monkeypatch.setattr(turns.asyncio, "sleep", counted)
    await in_turns(work(100))
    assert 1 <= stops <= 100 * PART_S / turns.LEAST_TURN_S


async def test_a_failure_is_raised() -> None:
    """As the work raises it."""

    def failing() -> Parts[None]:
        yield
        raise RuntimeError("damage")

    with pytest.raises(RuntimeError, match="damage"):
        await in_turns(failing())


def test_parts_have_all_items_in_order() -> None:
    """The last one has the rest."""
    items = list(range(2 * PART_ITEMS + 1))
    parts = list(parts_of(iter(items)))
    assert [len(one) for one in parts] == [PART_ITEMS, PART_ITEMS, 1]
    assert [item for part in parts for item in part] == items
