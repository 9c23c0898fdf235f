"""Reads again and again how far the versions are that this reader does not answer from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from schemas.errors import NetsoldError
from streams.backlog import backlog
from streams.broker_access import BROKER_AWAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from serving.version_state import VersionState
    from streams.backlog import Backlog
    from streams.settings import Settings

logger = structlog.get_logger()

READ_S: Final = 10.0
"""From one reading to the next: each one is of a few requests to Kafka."""

WITHIN_S: Final = 20.0
"""How long the reading of one version may take."""


class BesideWatch:
    """Keeps `behind` of a process's versions."""

    def __init__(
        self, state: VersionState, read: Callable[[Settings], Awaitable[Backlog]] = backlog
    ) -> None:
        self._state = state
        self._read = read

    async def run(self) -> None:
        """Read until cancelled; what can't be read is not known, and is tried again."""
        while True:
            others = self._state.others()
            for app in self._state.behind.keys() - others.keys():
                del self._state.behind[app]
            for app, settings in others.items():
                try:
                    async with asyncio.timeout(WITHIN_S):
                        self._state.behind[app] = (await self._read(settings)).records
                except (*BROKER_AWAY, NetsoldError) as error:
                    self._state.behind.pop(app, None)
                    logger.debug("a version beside can't be read", version=app, error=repr(error))
            await asyncio.sleep(READ_S)
