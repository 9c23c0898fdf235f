"""Event time in an application that has just begun, before any event time is confirmed."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, Self

import pytest
from aiokafka import TopicPartition

from streams import ticks
from streams.ticks import NEAR_MS, first_ms
from tables.watermarks import Progress, SourceProgress

CLOCK_MS = 1_790_000_000_000
PAST_MS = CLOCK_MS - 10**10


@pytest.mark.parametrize(
    ("progresses", "expected_ms"),
    [
        ({}, None),
        ({"orders-0": Progress(), "sales-0": Progress()}, None),
        ({"chats-0": Progress(0, CLOCK_MS - 1000)}, CLOCK_MS - 1000),
        ({"chats-0": Progress(0, CLOCK_MS + NEAR_MS)}, CLOCK_MS + NEAR_MS),
        ({"chats-0": Progress(0, CLOCK_MS + NEAR_MS + 1)}, None),
        ({"chats-0": Progress(0, PAST_MS)}, None),
        ({"chats-0": Progress(0, PAST_MS), "orders-1": Progress(0, CLOCK_MS - 1)}, PAST_MS),
        (
            {
                "chats-0": Progress(0, PAST_MS),
                "orders-1": Progress(0, PAST_MS + 5),
                "orders-0": Progress(0, CLOCK_MS),
            },
            PAST_MS + 5,
        ),
        (
            {
                "orders-1": Progress(0, PAST_MS),
                "sales-0": Progress(3, PAST_MS, sources={"orders-1": SourceProgress(0, PAST_MS)}),
            },
            None,
        ),
        (
            {
                "shop-activity-0": Progress(
                    3,
                    PAST_MS,
                    sources={
                        "orders-1": SourceProgress(0, PAST_MS),
                        "chats-0": SourceProgress(4, PAST_MS + 9),
                    },
                )
            },
            PAST_MS,
        ),
    ],
)
def test_a_beginning_follows_two_partitions_or_one_near_the_clock(
    progresses: dict[str, Progress], expected_ms: int | None
) -> None:
    """A partition known by its own lane and by marks counts once.

    A single date that is not near the clock changes nothing.
    """
    assert first_ms(progresses, CLOCK_MS) == expected_ms


class Ticking:
    """Used in place of a producer: what would be written, and when enough is."""

    def __init__(self, **_options: object) -> None:
        self.written: list[tuple[str, int]] = []
        self.ticked = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def send_and_wait(
        self, topic: str, _value: bytes, *, partition: int, **_: object
    ) -> None:
        self.written.append((topic, partition))
        self.ticked.set()


async def test_no_tick_claims_that_a_log_is_complete_which_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A copy that lacks records gets none: they may be of an earlier time than the tick's."""
    producer = Ticking()
    monkeypatch.setattr(ticks, "AIOKafkaProducer", lambda **_: producer)
    now_ms = time.time_ns() // 1_000_000
    lane = SimpleNamespace(
        name="chats-0", progress=Progress(0, now_ms - 60_000, confirmed_ms=now_ms - 1000),
        spec=SimpleNamespace(sends=("shop-activity",)),
    )  # fmt: skip
    pipeline: Any = SimpleNamespace(
        settings=SimpleNamespace(idle_tick_ms=1, client_options=dict),
        lanes={TopicPartition("chats", 0): lane},
    )
    complete, tried = asyncio.Event(), asyncio.Event()

    async def is_complete() -> bool:
        tried.set()
        return complete.is_set()

    task = asyncio.create_task(ticks.tick_when_idle(pipeline, lambda _: 0, is_complete))
    async with asyncio.timeout(60):
        await tried.wait()
        assert producer.written == []
        complete.set()
        await producer.ticked.wait()
    assert producer.written[0] == ("chats", 0)
    task.cancel()
