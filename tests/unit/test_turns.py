"""Long work of the event loop gives way to everything else of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from serving import turns
from serving.turns import LEAST_TURN_S, MOST_TURN_S, PART_ITEMS, in_turns, parts_of, whole

if TYPE_CHECKING:
    from serving.turns import Parts

PARTS = 1000
PART_S = LEAST_TURN_S / 4


class Clock:
    """A clock that moves when somebody computes."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def work(self) -> Parts[int]:
        """PARTS parts, each of PART_S."""
        for _ in range(PARTS):
            self.now_s += PART_S
            yield
        return PARTS

    async def compute(self, seconds: float, waits: list[float]) -> None:
        """Compute for so long in each round of the loop, and note how long the others did."""
        while True:
            self.now_s += seconds
            ended_s = self.now_s
            await asyncio.sleep(0)
            waits.append(self.now_s - ended_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of turns."""
    found = Clock()
    monkeypatch.setattr(turns, "perf_counter", found)
    return found


def test_all_of_it_is_done_at_once(clock: Clock) -> None:
    """Its result is what the work returns."""
    assert whole(clock.work()) == PARTS


@pytest.mark.parametrize(
    ("other_s", "turn_s"),
    [
        (0.0, LEAST_TURN_S),
        (LEAST_TURN_S, LEAST_TURN_S),
        (4 * LEAST_TURN_S, 2 * LEAST_TURN_S),
        (100 * MOST_TURN_S, MOST_TURN_S),
    ],
)
async def test_others_wait_for_a_turn_and_a_part_at_most(
    clock: Clock, other_s: float, turn_s: float
) -> None:
    """A turn is half as long as theirs, within bounds."""
    waits: list[float] = []
    other = asyncio.create_task(clock.compute(other_s, waits))
    assert await in_turns(clock.work()) == PARTS
    other.cancel()
    assert waits
    assert turn_s - PART_S < max(waits) <= turn_s + PART_S
    assert len(waits) >= PARTS * PART_S / (turn_s + PART_S) - 1


async def test_two_works_do_not_make_each_others_turns_longer(clock: Clock) -> None:
    """What waits for both waits for two of the least turns."""
    waits: list[float] = []
    other = asyncio.create_task(clock.compute(LEAST_TURN_S / 10, waits))
    await asyncio.gather(in_turns(clock.work()), in_turns(clock.work()))
    other.cancel()
    assert max(waits) <= 2 * (LEAST_TURN_S + PART_S)


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
