"""Time ticks: while a partition of events is idle, event time advances at the clock's pace (C2).

A tick is a record in the source partition itself, so a replay reads the same ticks at the same
offsets. It carries the newest confirmed event time of any partition, plus the time since that last
rose, but never more than the clock: live traffic gets the present, and an import of old events
stays in their time. An event time is confirmed when two orders or conversations of one partition
reach it, or a tick does (`tables/intake.py`). So one wrong date, ahead of the clock or of the
import, moves no other partition. While no partition has a confirmed time, as in an application that
has just begun, `first_ms` decides.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.envelope import tick
from schemas.times import HOUR_MS
from tables.watermarks import SourceProgress, latest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiokafka import TopicPartition

    from streams.pipeline import Pipeline
    from tables.watermarks import Progress

log = structlog.get_logger()

NEAR_MS: Final = HOUR_MS
"""A single event within this distance of the clock counts as live traffic."""


def newest_ms(progresses: Iterable[Progress]) -> int | None:
    """The newest confirmed event time of all source partitions; None if none has one.

    The progress of a downstream lane includes all its source partitions.
    """
    newest = None
    for progress in progresses:
        newest = latest(newest, progress.confirmed_ms)
    return newest


def first_ms(progresses: Mapping[str, Progress], clock_ms: int) -> int | None:
    """Event time while nothing is confirmed.

    It is the second newest watermark of the source partitions, or the only one if that is near the
    clock; else None. `progresses` are by lane, such as `orders-3`. So a first message of live
    traffic becomes overdue, and the first date of a history moves nothing until there is a second.
    """
    known: dict[str, int] = {}
    for name, progress in progresses.items():
        for source, (_, watermark_ms) in (
            progress.sources or {name: SourceProgress(progress.offset, progress.watermark_ms)}
        ).items():
            if watermark_ms is not None:
                known[source] = max(watermark_ms, known.get(source, watermark_ms))
    watermarks_ms = sorted(known.values())
    if len(watermarks_ms) > 1:
        return watermarks_ms[-2]
    is_live = bool(watermarks_ms) and abs(clock_ms - watermarks_ms[0]) <= NEAR_MS
    return watermarks_ms[0] if is_live else None


class Pace:
    """Event time while no events arrive: the newest known one, plus the time since it rose."""

    def __init__(self) -> None:
        self._newest_ms: int | None = None
        self._rose_s = 0.0

    def present_ms(self, known_ms: int | None, now_s: float, clock_ms: int) -> int | None:
        """The present event time, None if no event time is known.

        `now_s` is of a monotonic clock, `clock_ms` epoch milliseconds of the machine's clock.
        """
        if known_ms is None:
            return None
        # our own ticks are read a little later, with an earlier time: they must not slow the pace
        if self._newest_ms is None or known_ms > self._paced_ms(self._newest_ms, now_s):
            self._newest_ms, self._rose_s = known_ms, now_s
        return min(self._paced_ms(self._newest_ms, now_s), clock_ms)

    def _paced_ms(self, newest_ms: int, now_s: float) -> int:
        return newest_ms + int((now_s - self._rose_s) * 1000)


async def tick_when_idle(
    pipeline: Pipeline,
    lag: Callable[[TopicPartition], int | None],
    is_complete: Callable[[], Awaitable[bool]],
) -> None:
    """Write a tick into every idle partition of events that this worker has, every `idle_tick_ms`.

    None while the log is not complete: where it is a copy, records may be missing that came before
    the tick. Runs for ever (never if 0).
    """
    settings = pipeline.settings
    every_s = settings.idle_tick_ms / 1000
    if not every_s:
        return
    pace = Pace()
    async with AIOKafkaProducer(**settings.client_options()) as producer:
        while True:
            await asyncio.sleep(every_s)
            progresses = {lane.name: lane.progress for lane in pipeline.lanes.values()}
            clock_ms = time.time_ns() // 1_000_000
            known_ms = newest_ms(progresses.values())
            if known_ms is None:
                known_ms = first_ms(progresses, clock_ms)
            present_ms = pace.present_ms(known_ms, time.monotonic(), clock_ms)
            if present_ms is None:
                continue
            idle = [
                tp
                for tp, lane in pipeline.lanes.items()
                if lane.spec.sends
                and lag(tp) == 0
                and (
                    (at := lane.progress.watermark_ms) is None
                    or present_ms - at >= settings.idle_tick_ms
                )
            ]
            if not idle or not await is_complete():
                continue
            value, headers = tick(present_ms)
            for topic, partition in idle:
                try:
                    await producer.send_and_wait(topic, value, partition=partition, headers=headers)
                except KafkaError as error:
                    log.warning("no tick written", lane=f"{topic}-{partition}", error=repr(error))
