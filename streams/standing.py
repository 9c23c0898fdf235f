"""Which lanes stand still.

How long each was open, with the event loop at work, and didn't get on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from faust.types import TP


class Standing:
    """The time since each partition's lane moved on.

    Across openings: else a chunk that can't be committed would be tried for ever.

    Not counted is time in which nobody could have moved it: while it isn't open (given up with
    others, waiting for the group, being opened), and while the event loop was kept by something
    else, such as a long fold. `now` is a clock in seconds.
    """

    def __init__(self, stall_s: float, now: Callable[[], float]) -> None:
        self._stall_s = stall_s
        self._every_s = min(5.0, stall_s / 4)
        self._now = now
        self._moved_at: dict[TP, float] = {}
        self._left_at: dict[TP, float] = {}
        """Since when lanes aren't open."""

        self._turn_at: float | None = None

    def moved(self, *partitions: TP) -> None:
        """These have moved on."""
        now = self._now()
        self._moved_at |= dict.fromkeys(partitions, now)

    def left(self, partitions: Iterable[TP]) -> None:
        """These aren't open any more."""
        for tp in partitions:
            self._left_at.setdefault(tp, self._now())

    def opened(self, partitions: Iterable[TP], began: float) -> None:
        """These are ours, after an opening that began at that time.

        What isn't ours any more is forgotten.
        """
        now = self._now()
        closed = {tp: now - self._left_at.get(tp, began) for tp in partitions}
        self._moved_at = {
            tp: min(now, self._moved_at.get(tp, began) + gone) for tp, gone in closed.items()
        }
        self._left_at = {}
        if self._turn_at is not None:
            self._turn_at = now  # what was before isn't counted already

    async def turns(self) -> None:
        """Wait for the next turn."""
        await asyncio.sleep(self._every_s)

    def turn(self, lags: dict[TP, int | None]) -> list[TP]:
        """Which partitions stand still, by how far each is behind (None: not known yet).

        To be called at every turn.
        """
        now, before = self._now(), self._turn_at
        passed = 0.0 if before is None else now - before
        uncounted = self._absent(now)
        self._turn_at = now
        still = []
        for tp, behind in lags.items():
            if behind == 0:
                self._moved_at[tp] = now
                continue
            self._moved_at[tp] = min(
                now, self._moved_at[tp] + (passed if behind is None else uncounted)
            )
            if self.is_still(tp):
                still.append(tp)
        return still

    def is_still(self, tp: TP) -> bool:
        """Whether one that is open hasn't moved for too long."""
        now = self._now()
        return (
            tp not in self._left_at and now - self._moved_at[tp] - self._absent(now) > self._stall_s
        )

    def _absent(self, now: float) -> float:
        """For how long the event loop was kept from the next turn."""
        return 0.0 if self._turn_at is None else max(0.0, now - self._turn_at - self._every_s)
