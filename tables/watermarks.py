"""How far a stage is, and what event time that means (C2).

Watermarks come from the events alone, never from a machine's clock.
"""

from collections.abc import Collection
from operator import itemgetter
from typing import Final

import msgspec

Furthest = tuple[str, int]
"""Whose event is the latest of a partition's, and when it happened."""

_INSTANT: Final = itemgetter(1)


class Progress(msgspec.Struct, frozen=True):
    """What one partition of a stage has taken in.

    `offset` is the last record taken, -1 before the first. `watermark_ms` is, for the order stage,
    the latest event time among the partition's accepted events and ticks; for the stages after it,
    the least of its sources' watermarks. `refused_in_a_row` counts the refused records since the
    last accepted one. `sources` has, for the stages after the first, per source partition such as
    `orders-0` the [offset, watermark_ms] of its latest mark.

    `confirmed_ms` is how far event time is beyond one wrong date: the latest instant that events of
    two orders, or conversations, have come to in the partition, or that a tick says; for the stages
    after the first, the latest of its sources. `furthest` is whose event is the latest, and when:
    it needs another's to be confirmed.
    """

    offset: int = -1
    watermark_ms: int | None = None
    refused_in_a_row: int = 0
    sources: dict[str, tuple[int, int | None]] = msgspec.field(default_factory=dict)
    confirmed_ms: int | None = None
    furthest: Furthest | None = None

    def resumed(self) -> "Progress":
        """The same, with the count of refusals begun anew: a paused partition goes on."""
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
    confirmed_ms: int, furthest: Furthest | None, about: str | tuple[str, str], at_ms: int
) -> tuple[int, Furthest]:
    """How far event time is confirmed, and who is furthest, once an order or conversation has an event at `at_ms`, after `confirmed_ms`.

    Two of them have come to what is confirmed, so one wrong date, or all dates of one order, confirm nothing (C2).
    """
    whose = about if isinstance(about, str) else "/".join(about)
    if furthest is None or furthest[1] <= confirmed_ms:
        return confirmed_ms, (whose, at_ms)
    if whose == furthest[0]:
        return confirmed_ms, (whose, max(at_ms, furthest[1]))
    return min(at_ms, furthest[1]), max(furthest, (whose, at_ms), key=_INSTANT)


def latest(one: int | None, other: int | None) -> int | None:
    """The later of two watermarks; None if neither is known."""
    return max((mark for mark in (one, other) if mark is not None), default=None)
