"""A throttled worker: its pace, and that its waits are no stall."""

from __future__ import annotations

import asyncio

from aiokafka import TopicPartition

from streams.stalls import StallWatch
from streams.throttle import Throttle
from tests.virtual_time import run


def test_records_pass_at_an_even_pace() -> None:
    """The first ones at once; 500 records at 100/s take 5 s, whoever waits for them."""

    async def passing() -> list[float]:
        now = asyncio.get_running_loop().time
        throttle = Throttle(100.0, now)
        began = now()
        waits = await asyncio.gather(*(throttle.wait(50) for _ in range(10)))
        await throttle.wait(1)
        return [now() - began, *waits]

    total, *waits = run(passing())
    assert total == 5.0
    assert waits == [number * 0.5 for number in range(10)]


def test_time_without_records_is_not_made_up_for() -> None:
    """A quiet hour allows no burst afterwards."""

    async def passing() -> tuple[float, float]:
        throttle = Throttle(10.0, asyncio.get_running_loop().time)
        await asyncio.sleep(3600)
        return await throttle.wait(10), await throttle.wait(10)

    assert run(passing()) == (0.0, 1.0)


def test_a_turn_of_all_lanes_takes_about_a_second() -> None:
    """So none waits long for its turn; each gets one record at least."""
    throttle = Throttle(100.0, lambda: 0.0)
    assert [throttle.most(lanes) for lanes in (0, 1, 8, 1000)] == [100, 100, 12, 1]


def test_waits_are_no_stall_and_a_stall_is_still_found() -> None:
    """At a record a second, 100 lanes have their turn after 100 s: more than the watch allows."""
    now = [0.0]
    lanes = [TopicPartition("orders", number) for number in range(100)]
    watch = StallWatch(60.0, lambda: now[0])
    watch.opened(lanes, 0.0)
    lags: dict[TopicPartition, int | None] = dict.fromkeys(lanes, 5)
    for number in range(300):
        now[0] += 1.0
        watch.waited(1.0)
        if number % 5 == 0:
            assert watch.turn(lags) == []
    found: list[TopicPartition] = []
    for _ in range(14):
        now[0] += 5.0  # and now nobody waits for the throttle
        found = watch.turn(lags)
    assert set(found) == set(lanes)
