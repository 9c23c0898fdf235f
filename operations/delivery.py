"""Writing events to the log on behalf of a command.

What is confirmed of them, and why it ended where it ended early.
"""

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
    """What the brokers have confirmed.

    `written` events by topic, and by partition the last offset, as `min_position` takes it.

    So many of the events sent, from the first one on, are confirmed `in_order`; `unconfirmed` ones
    may be in the log or not. `ended` is what ended it before everything was written, None if
    nothing did.
    """

    written: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    in_order: int = 0
    unconfirmed: int = 0
    ended: Ended | None = None


async def deliver(
    settings: Settings, write: Callable[[Writer], Awaitable[bool]], waiting: Waiting
) -> Delivered:
    """Let `write` send events until it is done or `waiting.stop` is set (then it returns False), and wait until they are confirmed.

    Raises TopicsUnfit, KafkaUnreachable and what `write` raises; of an early end it tells by its result.
    """
    writers: list[Writer] = []

    async def work() -> bool:
        await topics.require(settings)
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
