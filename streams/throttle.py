"""A bound on the records of events that one worker applies each second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Throttle:
    """Lets `records_s` records of events pass each second, at an even pace.

    `now` is a clock in seconds.
    """

    def __init__(self, records_s: float, now: Callable[[], float]) -> None:
        self._records_s = records_s
        self._now = now
        self._free_at_s = now()

    def most(self, lanes: int) -> int:
        """Most records of a chunk, so that a turn of this many lanes takes about a second."""
        return max(1, int(self._records_s / max(1, lanes)))

    async def wait(self, records: int) -> float:
        """Wait until these records may pass; the seconds waited."""
        began_s = self._now()
        start_s = max(began_s, self._free_at_s)
        self._free_at_s = start_s + records / self._records_s
        if start_s > began_s:
            await asyncio.sleep(start_s - began_s)
        return self._now() - began_s
