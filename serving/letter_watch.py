"""A reader's count of dead letters, every few seconds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from serving.hanging_watch import tried
from streams.parked import DeadLetters

if TYPE_CHECKING:
    from streams.parked import Parked
    from streams.settings import Settings

AGAIN_SECONDS: Final = 3.0
"""From one reading to the next."""

READING_SECONDS: Final = 20.0
"""How long one reading may take; the next reading resumes where it ended."""


class LetterWatch:
    """The dead letters as last counted: `parked` by topic and reason.

    `uncounted` says why they are not all counted, if they aren't. `oldest_open_ms` is when the
    oldest open one was parked, in epoch milliseconds; None if none is open.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.parked: list[Parked] = []
        self.uncounted: str | None = "the first reading is under way"
        self.oldest_open_ms: int | None = None

    def oldest_age_s(self, at_ms: int) -> float:
        """Seconds since the oldest open one was parked: 0 with none, NaN until all are counted."""
        if self.uncounted is not None:
            return float("nan")
        return 0.0 if self.oldest_open_ms is None else max(0, at_ms - self.oldest_open_ms) / 1000

    async def run(self) -> None:
        """Count until cancelled; a failure is in `uncounted`, and the reading is repeated."""
        letters = DeadLetters(self._settings)

        async def count() -> None:
            async with asyncio.timeout(READING_SECONDS):
                await letters.read_on()

        while True:
            self.uncounted = await tried(count)
            self.parked, self.oldest_open_ms = letters.counts(), letters.oldest_open_ms()
            await asyncio.sleep(AGAIN_SECONDS)
