"""How fast offsets advance: records per second of each partition that a reader observes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from schemas import limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.log import At

OVER_MS: Final = 10_000
"""The time that a rate is over, at least, once there are readings of so long."""

SHORTEST_MS: Final = 1_000
"""A rate over less time says nothing."""

STALE_AFTER_MS: Final = 15_000
"""After so long without a new reading no rate is known."""


class Rates:
    """Readings of next offsets by partition, each at an instant in epoch milliseconds.

    Where they come from a topic's end or a reader's position, ticks, marks and control records
    count.
    """

    def __init__(self) -> None:
        self._readings: deque[tuple[int, Mapping[At, int]]] = deque(maxlen=limits.OBSERVATIONS)

    def add(self, at_ms: int, offsets: Mapping[At, int]) -> None:
        """Add a reading, later than those before it."""
        readings = self._readings
        if readings and at_ms <= readings[-1][0]:
            readings.clear()  # the clock was set back
        readings.append((at_ms, offsets))
        while len(readings) > 2 and readings[1][0] <= at_ms - OVER_MS:  # noqa: PLR2004 - two make a rate
            readings.popleft()

    def per_second(self, now_ms: int) -> dict[At, float]:
        """By partition, the offsets per second over the last readings.

        A partition that two readings do not have, or whose offsets went back, is left out.
        """
        if not self._readings or now_ms - self._readings[-1][0] > STALE_AFTER_MS:
            return {}
        (first_ms, first), (last_ms, last) = self._readings[0], self._readings[-1]
        if last_ms - first_ms < SHORTEST_MS:
            return {}
        return {
            at: round(1000 * (offset - first[at]) / (last_ms - first_ms), 1)
            for at, offset in last.items()
            if first.get(at, offset + 1) <= offset
        }
