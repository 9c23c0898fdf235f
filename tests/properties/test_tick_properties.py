"""No wrong date moves idle partitions.

Ticks stay within the time of the right dates, in any order of arrival (C2).
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import BUYER, ChatMessage, Received, Tick, Written
from streams.ticks import Pace, newest_ms
from tables.intake import Intake
from tables.watermarks import START, Progress
from tests.flow import CYCLES

PARTITIONS = 4
"""Two partitions of orders, two of chats."""

BEGIN_MS = 1_783_123_200_000
CLOCK_MS = BEGIN_MS + 10**11
"""The machine's clock, which is years later while history is read."""

Happened = tuple[int, int, int]
"""Partition, number of an order or conversation in it (-1 has wrong dates), and event time."""


def event(partition: int, whose: int, at_ms: int) -> Received | ChatMessage:
    """An event of an order, or of a conversation, that only its partition has."""
    name = f"{partition}.{whose}"
    if partition < PARTITIONS // 2:
        return Received("order_paid", f"e-{at_ms}", "/t", at_ms, name, None)
    return ChatMessage(
        "s-1", name, Written(at_ms, BUYER, f"e-{at_ms}", "/t", f"m-{at_ms}", None, None)
    )


class Ticking:
    """Source partitions of one or two workers, their progress, and their clocks for ticks."""

    def __init__(self, workers: int) -> None:
        self.progress = [START] * PARTITIONS
        self.offsets = [0] * PARTITIONS
        self.workers = [
            [at for at in range(PARTITIONS) if at % workers == worker] for worker in range(workers)
        ]
        self.paces = [Pace() for _ in self.workers]
        self.now_s = 0.0
        self.ticks: list[int] = []

    def take(self, partition: int, record: Received | ChatMessage | Tick) -> None:
        """Apply one record to a partition."""
        offset, self.offsets[partition] = self.offsets[partition], self.offsets[partition] + 1
        subject = "order_id" if partition < PARTITIONS // 2 else "between"
        intake = Intake(
            [(offset, record)],
            self.progress[partition],
            CYCLES,
            1000,
            lambda one: _about(one, subject),
        )
        self.progress[partition] = intake.progress

    def tick(self) -> None:
        """Advance the clock by a second; every worker writes ticks where event time is behind.

        None of its partitions has lag.
        """
        self.now_s += 1.0
        from_marks = Progress(confirmed_ms=newest_ms(self.progress))
        for mine, pace in zip(self.workers, self.paces, strict=True):
            known_ms = newest_ms([*(self.progress[at] for at in mine), from_marks])
            present_ms = pace.present_ms(known_ms, self.now_s, CLOCK_MS)
            for at in mine:
                behind_ms = self.progress[at].watermark_ms
                if present_ms is not None and (behind_ms is None or present_ms > behind_ms):
                    self.ticks.append(present_ms)
                    self.take(at, Tick(present_ms))


def _about(event: Received | ChatMessage, subject: str) -> str | tuple[str, str]:
    if isinstance(event, Received):
        assert subject == "order_id"
        return event.order_id
    return event.shop_id, event.buyer_id


@st.composite
def histories(draw: st.DrawFn) -> list[Happened | None]:
    """Events of a history, out of order by some hours, with rounds of ticks (None) in between.

    In each partition one order or conversation has wrong dates.
    """
    steps: list[Happened | None] = []
    for number in range(draw(st.integers(1, 30))):
        partition = draw(st.integers(0, PARTITIONS - 1))
        kind = draw(st.sampled_from(["right", "right", "right", "wrong", "tick"]))
        if kind == "right":
            steps.append(
                (
                    partition,
                    draw(st.integers(0, 3)),
                    BEGIN_MS + number * 3_600_000 + draw(st.integers(0, 10_000_000)),
                )
            )
        elif kind == "wrong":
            steps.append(
                (
                    partition,
                    -1,
                    draw(
                        st.sampled_from(
                            [CLOCK_MS - 1, CLOCK_MS, CLOCK_MS + 10**12, BEGIN_MS + 10**10]
                        )
                    ),
                )
            )
        else:
            steps.append(None)
    return steps


@settings(deadline=None)
@given(histories(), st.integers(1, 2))
def test_ticks_stay_within_the_time_of_right_dates(
    history: list[Happened | None], workers: int
) -> None:
    """No tick is later than the dates and pace of the others.

    One order or conversation a partition may have any dates, and often.
    """
    flow, newest_right_ms = Ticking(workers), 0
    for step in [*history, None, None]:
        if step is None:
            before = len(flow.ticks)
            flow.tick()
            latest_ms = newest_right_ms + int(flow.now_s * 1000)
            assert all(at_ms <= latest_ms for at_ms in flow.ticks[before:])
        else:
            flow.take(step[0], event(*step))
            if step[1] != -1:
                newest_right_ms = max(newest_right_ms, step[2])


@settings(deadline=None)
@given(histories(), st.integers(1, 2))
def test_ticks_keep_up_with_dates_that_two_confirm(
    history: list[Happened | None], workers: int
) -> None:
    """If two of a partition reach an instant, all idle partitions do so, too.

    They reach it after one round of ticks.
    """
    flow, latest = Ticking(workers), [dict[int, int]() for _ in range(PARTITIONS)]
    for step in history:
        if step is not None:
            flow.take(step[0], event(*step))
            at = latest[step[0]]
            at[step[1]] = max(step[2], at.get(step[1], 0))
    flow.tick()
    seconds = [sorted(at.values())[-2] for at in latest if len(at) > 1]
    if seconds:
        confirmed_ms = min(max(seconds), CLOCK_MS)
        assert all((progress.watermark_ms or 0) >= confirmed_ms for progress in flow.progress)
    else:
        assert flow.ticks == []


@settings(deadline=None)
@given(histories())
def test_progress_does_not_depend_on_where_chunks_are_cut(history: list[Happened | None]) -> None:
    """One chunk or one event at a time give the same progress.

    So a replay writes the same marks.
    """
    mine = [event(0, step[1], step[2]) for step in history if step is not None]
    flow = Ticking(1)
    for one in mine:
        flow.take(0, one)
    at_once = Intake(
        list(enumerate(mine)), START, CYCLES, 1000, lambda one: _about(one, "order_id")
    )
    assert at_once.progress == (flow.progress[0] if mine else Progress(-1))
