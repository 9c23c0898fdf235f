"""The copy of a log of events that a version counts: whose copy it is, and how far it is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.positions import position_of
from streams import groups, log
from streams.broker_access import BROKER_AWAY
from streams.copy_plan import CopyLayout, Vectors, read_committed
from streams.unapplied import FirstUnapplied
from tables.catalogue import CHATS_TOPIC, EVENT_TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.log import At
    from streams.settings import Settings

_REQUEST_S: Final = 3.0
_POLL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class CopyState:
    """How far a copy is: its vectors, and how many records of the log are left.

    `oldest_ms` is when the first of these was written (epoch milliseconds), None where none is
    left, or it can't be read yet.
    """

    vectors: Vectors
    left: int
    oldest_ms: int | None

    def waits_s(self, now_ms: int) -> float:
        """How long a record has been waiting for its copy, in seconds."""
        return 0.0 if self.oldest_ms is None else max(0, now_ms - self.oldest_ms) / 1000


def is_copied(settings: Settings) -> bool:
    """Whether the log that an application counts is a copy."""
    return settings.copied_by is not None


def copied_settings(settings: Settings) -> Settings:
    """The settings of the copier of an application's log: its group, and the topics it reads."""
    return settings.model_copy(
        update={
            "app": settings.copied_by,
            "orders_topic": settings.copied_orders_topic,
            "chats_topic": settings.copied_chats_topic,
            "partitions": settings.copied_partitions,
            "copied_by": None,
            "copied_orders_topic": None,
            "copied_chats_topic": None,
            "copied_partitions": None,
            "copied_without": (),
        }
    )


def copy_layout(settings: Settings) -> CopyLayout:
    """The topics and partitions of an application's copied log."""
    source = copied_settings(settings)
    return CopyLayout(
        {source.topic(name): settings.topic(name) for name in EVENT_TOPICS},
        source.topic(CHATS_TOPIC),
        source.partitions,
        settings.partitions,
        settings.partitioner,
        settings.family,
        frozenset(map(position_of, settings.copied_without)),
    )


async def committed_vectors(settings: Settings, beginnings: Mapping[At, int]) -> Vectors:
    """The vectors at the last boundary of a copy; `beginnings` are those of its log.

    Raises aiokafka's KafkaError.
    """
    try:
        found = await groups.committed(copied_settings(settings))
    except groups.GROUP_UNREADABLE:  # a new group that no coordinator has yet
        found = {}
    offsets = {(tp.topic, tp.partition): (one.offset, one.metadata) for tp, one in found.items()}
    return read_committed(copy_layout(settings), beginnings, offsets)


async def left_to_copy(settings: Settings, within_s: float, waiting: Callable[[int], None]) -> int:
    """How many records of what a log has now are not in its copy after `within_s` at most.

    `waiting` gets how many are left until then. Raises KafkaUnreachable and KafkaError.
    """
    source, layout = copied_settings(settings), copy_layout(settings)
    deadline, unapplied = time.monotonic() + within_s, FirstUnapplied(source, _REQUEST_S)
    ends = await log.ends(source, layout.topics)
    while True:
        state = await read_copy(settings, unapplied)
        left = [at for at, end in ends.items() if state.vectors.positions[at] < end]
        if not state.left or not left:
            return 0
        if time.monotonic() > deadline:
            return state.left
        waiting(state.left)
        await asyncio.sleep(_POLL_S)


async def is_complete(settings: Settings) -> bool:
    """Whether an application's log has all that producers have written by now, as far as is known.

    False where that can't be read.
    """
    if not is_copied(settings):
        return True
    try:
        return not (await read_copy(settings)).left
    except BROKER_AWAY:
        return False


async def read_copy(settings: Settings, unapplied: FirstUnapplied | None = None) -> CopyState:
    """How far the copy of an application's log is now; `unapplied` has what a call before found.

    Raises KafkaUnreachable and KafkaError.
    """
    source, layout = copied_settings(settings), copy_layout(settings)
    beginnings, ends = await log.bounds(source, layout.topics)
    vectors = await committed_vectors(settings, beginnings)
    applied = {at: position - 1 for at, position in vectors.positions.items()}
    unapplied = unapplied or FirstUnapplied(source, _REQUEST_S)
    first = await unapplied.read(applied, beginnings, ends)
    waiting = {at: record for at, record in first.items() if record is not None}
    times = [record.written_ms for record in waiting.values() if record.written_ms is not None]
    left = sum(ends[at] - vectors.positions[at] for at in waiting)
    return CopyState(vectors, left, min(times, default=None))


async def read_copy_if_any(settings: Settings) -> CopyState | None:
    """The same, None where the log is no copy."""
    return await read_copy(settings) if is_copied(settings) else None
