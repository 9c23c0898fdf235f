"""How far a stage is, and what event time that means (C2). Watermarks come from the events alone, never from a machine's clock."""

from collections.abc import Collection
from typing import Final

import msgspec


class Progress(msgspec.Struct, frozen=True):
    """What one partition of a stage has taken in.

    `offset` is the last record taken, -1 before the first. `watermark_ms` is, for the order stage, the latest event time among the
    partition's accepted events and ticks; for the stages after it, the least of its sources' watermarks. `refused_in_a_row` counts
    the refused records since the last accepted one. `sources` has, for the stages after the first, per source partition such as
    `orders-0` the [offset, watermark_ms] of its latest mark.
    """

    offset: int = -1
    watermark_ms: int | None = None
    refused_in_a_row: int = 0
    sources: dict[str, tuple[int, int | None]] = msgspec.field(default_factory=dict)

    def resumed(self) -> "Progress":
        """The same, with the count of refusals begun anew: a paused partition goes on."""
        return msgspec.structs.replace(self, refused_in_a_row=0)


START: Final = Progress()


def least(watermarks: Collection[int | None]) -> int | None:
    """The earliest of some watermarks; None if there are none, or one is unknown."""
    return None if not watermarks or None in watermarks else min(mark for mark in watermarks if mark is not None)


def complete_through(progresses: Collection[Progress], source_partitions: int) -> int | None:
    """The event time, in epoch milliseconds, up to which a stage's partitions hold all that will come in time; None if unknown.

    It is unknown until every one of the `source_partitions` has been heard of: directly by the order stage, one progress for each,
    or by marks, in every progress of a later stage. What comes later for an earlier time restates (S13).
    """
    heard_directly = len(progresses) >= source_partitions
    if not all(len(progress.sources) >= source_partitions if progress.sources else heard_directly for progress in progresses):
        return None
    return least([progress.watermark_ms for progress in progresses])
