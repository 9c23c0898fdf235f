"""Which lanes are stalled: open, behind, and without progress while the event loop was running."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiokafka import TopicPartition


class StallWatch:
    """The time since each partition's lane last made progress.

    It counts across openings: otherwise a chunk that can't be committed would be tried for ever.
    Time in which no lane could make progress isn't counted: while the lane isn't open (closed with
    the others, waiting for the group, being opened), while a throttle waits, and while something
    else occupied the event loop, such as a long fold. `now` is a clock in seconds.
    """

    def __init__(self, stall_s: float, now: Callable[[], float]) -> None:
        self._stall_s = stall_s
        self._every_s = min(5.0, stall_s / 4)
        self._now = now
        self._progress_at: dict[TopicPartition, float] = {}
        self._closed_at: dict[TopicPartition, float] = {}
        """When lanes that aren't open were closed."""

        self._turn_at: float | None = None

    def progressed(self, *partitions: TopicPartition) -> None:
        """These have made progress."""
        now = self._now()
        self._progress_at |= dict.fromkeys(partitions, now)

    def waited(self, seconds: float) -> None:
        """For so long no lane could make progress, by our own will."""
        now = self._now()
        self._progress_at = {one: min(now, at + seconds) for one, at in self._progress_at.items()}

    def closed(self, partitions: Iterable[TopicPartition]) -> None:
        """These aren't open any more."""
        for partition in partitions:
            self._closed_at.setdefault(partition, self._now())

    def opened(self, partitions: Iterable[TopicPartition], since_s: float) -> None:
        """These are assigned, after an opening that began at `since_s`; others are forgotten."""
        now = self._now()
        closed_s = {one: now - self._closed_at.get(one, since_s) for one in partitions}
        self._progress_at = {
            one: min(now, self._progress_at.get(one, since_s) + closed_s[one]) for one in closed_s
        }
        self._closed_at = {}
        if self._turn_at is not None:
            self._turn_at = now  # the time before is in `closed_s`: don't subtract it twice

    async def next_turn(self) -> None:
        """Wait until `turn` is due."""
        await asyncio.sleep(self._every_s)

    def turn(self, lags: dict[TopicPartition, int | None]) -> list[TopicPartition]:
        """The stalled partitions, by the lag of each (None: not known yet); call it every turn."""
        now, before = self._now(), self._turn_at
        passed_s = 0.0 if before is None else now - before
        overdue_s = self._overdue_s(now)
        self._turn_at = now
        stalled = []
        for partition, lag in lags.items():
            if lag == 0:
                self._progress_at[partition] = now
                continue
            uncounted_s = passed_s if lag is None else overdue_s
            self._progress_at[partition] = min(now, self._progress_at[partition] + uncounted_s)
            if self.is_stalled(partition):
                stalled.append(partition)
        return stalled

    def is_stalled(self, partition: TopicPartition) -> bool:
        """Whether an open lane has made no progress for too long."""
        now = self._now()
        idle_s = now - self._progress_at[partition] - self._overdue_s(now)
        return partition not in self._closed_at and idle_s > self._stall_s

    def _overdue_s(self, now: float) -> float:
        """How long something else has kept the event loop from the next turn."""
        return 0.0 if self._turn_at is None else max(0.0, now - self._turn_at - self._every_s)
