"""Time ticks: while a partition of events is idle, event time goes on at the pace of the clock (C2).

A tick is a record in the source partition itself, so a replay sees the same ticks at the same places. It says the
newest event time known anywhere plus the time since it last rose, but never says more than the clock: live traffic gets
the present, an import of old events stays in their time, and an event from the future drags no other partition along.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.envelope import tick

if TYPE_CHECKING:
    from collections.abc import Callable

    from faust.types import TP

    from streams.pipeline import Pipeline

log = structlog.get_logger()


def newest_ms(pipeline: Pipeline) -> int | None:
    """The newest event time that this worker knows of, over all source partitions (downstream lanes hear of all)."""
    known = [lane.progress.watermark_ms for lane in pipeline.lanes.values()]
    known += [at[1] for lane in pipeline.lanes.values() for at in lane.progress.sources.values()]
    return max((at for at in known if at is not None), default=None)


async def tick_when_idle(pipeline: Pipeline, lag: Callable[[TP], int | None]) -> None:
    """Write a tick into every idle partition of events that this worker has, every `idle_tick_ms`; runs for ever (never if 0)."""
    settings = pipeline.settings
    every_s = settings.idle_tick_ms / 1000
    if not every_s:
        return
    newest, rose_at = None, time.monotonic()
    async with AIOKafkaProducer(**settings.client_options()) as producer:
        while True:
            await asyncio.sleep(every_s)
            now = time.monotonic()
            known = newest_ms(pipeline)
            if known is None:
                continue
            if newest is None or known > newest + int((now - rose_at) * 1000):
                newest, rose_at = known, now  # our own ticks come back a little late and must not slow the clock
            present = min(newest + int((now - rose_at) * 1000), time.time_ns() // 1_000_000)
            for tp, lane in list(pipeline.lanes.items()):
                at = lane.progress.watermark_ms
                if lane.stage.sends and lag(tp) == 0 and (at is None or present - at >= settings.idle_tick_ms):
                    value, headers = tick(present)
                    try:
                        await producer.send_and_wait(tp.topic, value, partition=tp.partition, headers=headers)
                    except KafkaError as error:
                        log.warning("no tick written", lane=lane.name, error=repr(error))
