"""A reader's search for hanging transactions, every few seconds, for its metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from streams.broker_access import BROKER_AWAY
from streams.hanging_age import hanging_since_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streams.settings import Settings

logger = structlog.get_logger()

EVERY_SECONDS: Final = 15.0
"""From one search to the next."""

AGAIN_SECONDS: Final = 3.0
"""From a search that failed to the next."""


class HangingWatch:
    """Since when a hanging transaction is in the topics that workers read, as far as it is known.

    `seek` searches by way of the brokers that answer.
    """

    def __init__(
        self,
        settings: Settings,
        seek: Callable[[Settings, Sequence[int]], Awaitable[int | None]] = hanging_since_ms,
    ) -> None:
        self._settings, self._seek = settings, seek
        self._since_ms: int | None = None
        self._is_known = False

    def age_s(self, at_ms: int) -> float:
        """Seconds since the oldest one was last written to.

        0 if none hangs, NaN while that is unknown.
        """
        if not self._is_known:
            return float("nan")
        return 0.0 if self._since_ms is None else max(0, at_ms - self._since_ms) / 1000

    async def run(self, alive: Callable[[], Sequence[int]]) -> None:
        """Search until cancelled; `alive` gives the brokers that answer."""
        while True:
            await self.search(alive())
            await asyncio.sleep(EVERY_SECONDS if self._is_known else AGAIN_SECONDS)

    async def search(self, brokers: Sequence[int]) -> None:
        """Search once; without brokers nothing is known."""

        async def search() -> None:
            self._since_ms = await self._seek(self._settings, brokers)

        self._is_known = bool(brokers) and await tried(search) is None


async def tried(what: Callable[[], Awaitable[None]]) -> str | None:
    """Why something failed, None if it didn't.

    A fault of ours doesn't end the reader: it is logged, and the state is unknown.
    """
    try:
        await what()
    except BROKER_AWAY as error:
        return str(error) or repr(error)
    except Exception as error:
        logger.exception("the watch failed: a fault of ours, report it")
        return f"{error!r}: a fault of ours, report it"
    return None
