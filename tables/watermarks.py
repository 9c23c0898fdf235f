"""The progress of a stage, and its event time (C2).

Watermarks come from the events alone, never from a machine's clock.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

import msgspec

from tables.cycle_ends import NONE_ENDED, CycleEnds


class SourceProgress(NamedTuple):
    """The progress of a source partition, by its latest mark."""

    offset: int
    watermark_ms: int | None


class Furthest(NamedTuple):
    """The latest event of a partition: its order or conversation, and its instant."""

    subject: str
    at_ms: int


class Progress(msgspec.Struct, frozen=True):
    """The progress of a stage in one partition.

    `offset` is the last record covered, -1 before the first. `watermark_ms` is, for the stages that
    read events, the latest event time among the partition's accepted events and ticks; for the
    stages after them, the least of their sources' watermarks. `refused_in_a_row` counts the refused
    records since the last accepted one. `sources` has, for the stages after the first, the latest
    mark of each source partition, such as `orders-0`.

    `confirmed_ms` is the event time that doesn't depend on one wrong date: the latest instant that
    events of two orders, or conversations, have reached in the partition, or that a tick names; for
    the stages after the first, the latest of their sources. `furthest` is the latest event, which
    another one must confirm.

    `speaker` is the application that the last handover names, which sends the alerts; None before
    the first one. `ends` is, for the stages after the first, which cycles have ended.
    """

    offset: int = -1
    watermark_ms: int | None = None
    refused_in_a_row: int = 0
    sources: dict[str, SourceProgress] = msgspec.field(default_factory=dict)
    confirmed_ms: int | None = None
    furthest: Furthest | None = None
    speaker: str | None = None
    ends: CycleEnds = NONE_ENDED

    def resumed(self) -> "Progress":
        """The same with no refusals counted: a paused partition resumes."""
        return msgspec.structs.replace(self, refused_in_a_row=0)


START: Final = Progress()


def least(watermarks: Collection[int | None]) -> int | None:
    """The earliest of some watermarks; None if there are none, or one is unknown."""
    return (
        None
        if not watermarks or None in watermarks
        else min(mark for mark in watermarks if mark is not None)
    )


def confirm(
    confirmed_ms: int, furthest_ms: int, furthest: str, about: str | tuple[str, str], at_ms: int
) -> tuple[int, int, str]:
    """The confirmed event time and the furthest event after one at `at_ms` > `confirmed_ms`.

    `furthest` is the order or conversation of the furthest event until now, `about` that of this
    one. Two of these must have reached an instant to confirm it, so one wrong date,
    or all dates of one order, confirm nothing (C2).
    """
    subject = about if isinstance(about, str) else "/".join(about)
    if subject == furthest:
        return confirmed_ms, max(at_ms, furthest_ms), furthest
    if at_ms <= furthest_ms:
        return at_ms, furthest_ms, furthest
    return max(confirmed_ms, furthest_ms), at_ms, subject


def latest(one: int | None, other: int | None) -> int | None:
    """The later of two watermarks; None if neither is known."""
    return max((mark for mark in (one, other) if mark is not None), default=None)
