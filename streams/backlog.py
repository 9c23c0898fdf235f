"""How far an application is behind the topics that its stages read."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streams import groups, log
from streams.unapplied import FirstUnapplied
from tables.catalogue import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.log import At
    from streams.settings import Settings

_POLL_SECONDS: Final = 0.25

_REQUEST_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """By source partition: the offset after the applied records, and how many records are left.

    `left` counts none where control records alone are left.
    """

    following: Mapping[At, int]
    left: Mapping[At, int]

    @property
    def records(self) -> int:
        """All records that are left, of events and of our own stages."""
        return sum(self.left.values())

    @property
    def ends(self) -> dict[At, int]:
        """Where the records of each partition end."""
        return {at: offset + self.left[at] for at, offset in self.following.items()}

    def has_reached(self, ends: Mapping[At, int]) -> bool:
        """Whether all records before these offsets are applied."""
        return all(self.following[at] >= end or not self.left[at] for at, end in ends.items())


async def backlog(settings: Settings, unapplied: FirstUnapplied | None = None) -> Backlog:
    """What an application has applied, by its group's committed offsets, and what is left.

    `unapplied` has what an earlier call found. Its topics must exist. Raises KafkaUnreachable and
    aiokafka's KafkaError.
    """
    try:
        committed = await groups.committed(settings)
    except groups.GROUP_UNREADABLE:  # a new group that no coordinator has yet
        committed = {}
    offsets = {(tp.topic, tp.partition): one.offset for tp, one in committed.items()}
    beginnings, ends = await log.bounds(settings, _sources(settings))
    following = {at: max(offsets.get(at, 0), begin) for at, begin in beginnings.items()}
    applied = {at: offset - 1 for at, offset in following.items()}
    unapplied = unapplied or FirstUnapplied(settings, _REQUEST_S)
    first = await unapplied.read(applied, beginnings, ends)
    left = {at: 0 if first.get(at) is None else end - following[at] for at, end in ends.items()}
    return Backlog(following, left)


async def left_after(
    settings: Settings, within_s: float, waiting: Callable[[int], None] = lambda _left: None
) -> int:
    """How many records are left of what the log has now, after `within_s` at most.

    None are left once its tables hold all of that; `waiting` gets how many are until then. Raises
    as `backlog`.
    """
    deadline, unapplied = time.monotonic() + within_s, FirstUnapplied(settings, _REQUEST_S)
    events = {settings.topic(stage.source) for stage in STAGES if stage.sends}
    for topics in (events, {*_sources(settings)} - events):
        ends = await log.ends(settings, topics)
        while not (now := await backlog(settings, unapplied)).has_reached(ends):
            left = sum(now.left[at] for at in ends)
            if time.monotonic() > deadline:
                return left
            waiting(left)
            await asyncio.sleep(_POLL_SECONDS)
    return 0


def _sources(settings: Settings) -> list[str]:
    return [settings.topic(stage.source) for stage in STAGES]
