"""Event time in an application that has just begun, before any event time is confirmed."""

from __future__ import annotations

import pytest

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
