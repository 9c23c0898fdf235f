"""Writing events to the log: which of them the brokers confirmed, and what ended it early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from operations.waiting import GaveUp, Interrupted, Waiting
from streams import topics
from streams.log_writer import WriteFailed, Writer
from streams.settings import Settings

Ended = WriteFailed | GaveUp | Interrupted
"""What ends a delivery before everything is written."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the brokers confirmed.

    `written` counts events by topic; `positions` has the last offset by partition, as
    `min_position` takes it. `in_order` is how many events from the first one on are confirmed
    without a gap. The `unconfirmed` events may be in the log or not. `ended` is what ended the
    delivery early, None if everything was written.
    """

    written: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    in_order: int = 0
    unconfirmed: int = 0
    ended: Ended | None = None


async def deliver(
    settings: Settings, write: Callable[[Writer], Awaitable[bool]], waiting: Waiting
) -> Delivered:
    """Run `write`, which sends events, and wait until they are confirmed.

    `write` returns True when it is done, and False when it stops early because `waiting.stop` is
    set. An early end is part of the result. Raises TopicsUnfit, KafkaUnreachable and what `write`
    raises.
    """
    writers: list[Writer] = []

    async def work() -> bool:
        await topics.require_sources(settings)
        async with Writer(settings) as writer:
            writers.append(writer)
            return await write(writer)

    def pending() -> tuple[object, str] | None:
        if not writers:
            return None, "nothing is written yet"
        unconfirmed = writers[0].unconfirmed
        return (
            (sum(writers[0].written.values()), f"{unconfirmed:,} events unconfirmed")
            if unconfirmed
            else None
        )

    ended: Ended | None = None
    try:
        if not await waiting.bounded(work(), pending):
            ended = Interrupted("interrupted")
    except (WriteFailed, GaveUp, Interrupted) as error:
        ended = error
    if not writers:
        return Delivered(ended=ended)
    writer = writers[0]
    written: Counter[str] = Counter()
    for (topic, _), records in writer.written.items():
        written[topic] += records
    positions = {
        f"{topic}-{partition}": offset
        for (topic, partition), offset in sorted(writer.positions.items())
    }
    return Delivered(dict(written), positions, writer.in_order, writer.unconfirmed, ended)
