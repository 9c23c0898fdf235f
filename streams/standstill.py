"""A warning, repeated at intervals, while an opening makes no progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterable

log = structlog.get_logger()

STILL_SECONDS: Final = 10.0
"""Seconds without progress in INIT or in a restore before the warning. INIT usually takes well
under a second, and has then committed or aborted all our transactions."""


class Standstill:
    """Logs a warning while the set of what is waited for stays the same.

    The warning is `message`, with the sorted set under the name `field`.
    """

    def __init__(self, message: str, field: str) -> None:
        self._message, self._field = message, field
        self._known: list[str] = []
        self._since = time.monotonic()

    def watch(self, waiting: Iterable[str]) -> None:
        """Take note of what is waited for now; log it if nothing changed for STILL_SECONDS."""
        now, known = time.monotonic(), sorted(waiting)
        if known != self._known:
            self._known, self._since = known, now
        elif now - self._since > STILL_SECONDS:
            self._since = now
            log.warning(self._message, **{self._field: known})
