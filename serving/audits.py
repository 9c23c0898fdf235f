"""Reads again and again when the tables were last audited, for the metrics and the page."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from schemas.times import parse_ms
from serving import metrics
from streams.audits import last_audit
from streams.broker_access import BROKER_AWAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from schemas.audits import AuditRecord
    from streams.settings import Settings

logger = structlog.get_logger()

READ_SECONDS: Final = 30.0
"""From one reading to the next; audits are rare."""

WITHIN_SECONDS: Final = 20.0
"""How long one reading may take."""


class AuditWatch:
    """Keeps the last audit of an application (`found`), and its metrics."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[Settings], Awaitable[AuditRecord | None]] = last_audit,
    ) -> None:
        self.found: AuditRecord | None = None
        self._settings = settings
        self._read = read

    async def run(self) -> None:
        """Read until cancelled; after a failure the metrics stay, and the attempt is repeated."""
        while True:
            try:
                async with asyncio.timeout(WITHIN_SECONDS):
                    self.found = await self._read(self._settings)
                    show(self.found)
            except BROKER_AWAY as error:
                logger.debug("the last audit can't be read", error=repr(error))
            await asyncio.sleep(READ_SECONDS)


def show(found: AuditRecord | None) -> None:
    """Set the metrics; 0 where there was no audit, or none without a difference."""
    at = None if found is None else found.succeeded_at
    metrics.AUDIT_LAST_SUCCESS.set(0 if at is None else parse_ms(at) / 1000)
    metrics.AUDIT_MISMATCHES.set(0 if found is None else found.mismatches)
