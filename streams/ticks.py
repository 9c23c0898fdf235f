"""Time ticks: while a partition of events is idle, event time goes on at the pace of the clock (C2).

A tick is a record in the source partition itself, so a replay sees the same ticks at the same places. It says the newest confirmed
event time known anywhere plus the time since it last rose, but never says more than the clock: live traffic gets the present, and an
import of old events stays in their time. Confirmed is what two orders or conversations of one partition have come to, or a tick
says (`tables/intake.py`), so one wrong date drags no other partition along, whether it lies ahead of the clock or of the import alone.
While nothing is confirmed in any partition, as in an application that has just begun, `first_ms` decides.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.envelope import tick
from tables.watermarks import SourceProgress, latest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from faust.types import TP

    from streams.pipeline import Pipeline
    from tables.watermarks import Progress

log = structlog.get_logger()

NEAR_MS: Final = 3_600_000
"""An only event so near the clock is taken for live traffic."""


def newest_ms(progresses: Iterable[Progress]) -> int | None:
    """The newest event time that is confirmed in any source partition that these know of (downstream lanes hear of all)."""
    newest = None
    for progress in progresses:
        newest = latest(newest, progress.confirmed_ms)
    return newest


def first_ms(progresses: Mapping[str, Progress], clock_ms: int) -> int | None:
    """Event time while nothing is confirmed.

    What two partitions have come to, or the only one's if it is near the clock; else None.

    `progresses` are those of the lanes by name, such as `orders-3`. So a first message of live
    traffic becomes overdue, and the first date of a history moves nothing until there is a second.
    """
    known: dict[str, int] = {}
    for name, progress in progresses.items():
        for source, (_, watermark_ms) in (
            progress.sources or {name: SourceProgress(progress.offset, progress.watermark_ms)}
        ).items():
            if watermark_ms is not None:
                known[source] = max(watermark_ms, known.get(source, watermark_ms))
    reached = sorted(known.values())
    if len(reached) > 1:
        return reached[-2]
    return reached[0] if reached and abs(clock_ms - reached[0]) <= NEAR_MS else None


class Pace:
    """Event time while nothing happens.

    The newest that is known, and from then on as fast as the clock.
    """

    def __init__(self) -> None:
        self._newest_ms: int | None = None
        self._rose_s = 0.0

    def present_ms(self, known_ms: int | None, now_s: float, clock_ms: int) -> int | None:
        """How far event time is, None if nothing is known.

        `now_s` is by a clock that is never set, `clock_ms` epoch milliseconds.
        """
        if known_ms is None:
            return None
        if self._newest_ms is None or known_ms > self._newest_ms + int(
            (now_s - self._rose_s) * 1000
        ):
            self._newest_ms, self._rose_s = (
                known_ms,
                now_s,
            )  # our own ticks come back a little late and must not slow the clock
        return min(self._newest_ms + int((now_s - self._rose_s) * 1000), clock_ms)


async def tick_when_idle(pipeline: Pipeline, lag: Callable[[TP], int | None]) -> None:
    """Write a tick into every idle partition of events that this worker has, every `idle_tick_ms`.

    Runs for ever (never if 0).
    """
    settings = pipeline.settings
    every_s = settings.idle_tick_ms / 1000
    if not every_s:
        return
    pace = Pace()
    async with AIOKafkaProducer(**settings.client_options()) as producer:
        while True:
            await asyncio.sleep(every_s)
            progresses, clock_ms = (
                {lane.name: lane.progress for lane in pipeline.lanes.values()},
                time.time_ns() // 1_000_000,
            )
            known_ms = newest_ms(progresses.values())
            if known_ms is None:
                known_ms = first_ms(progresses, clock_ms)
            present_ms = pace.present_ms(known_ms, time.monotonic(), clock_ms)
            if present_ms is None:
                continue
            for tp, lane in list(pipeline.lanes.items()):
                at = lane.progress.watermark_ms
                if (
                    lane.stage.sends
                    and lag(tp) == 0
                    and (at is None or present_ms - at >= settings.idle_tick_ms)
                ):
                    value, headers = tick(present_ms)
                    try:
                        await producer.send_and_wait(
                            tp.topic, value, partition=tp.partition, headers=headers
                        )
                    except KafkaError as error:
                        log.warning("no tick written", lane=lane.name, error=repr(error))
