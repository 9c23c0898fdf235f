"""A warning that a thousand events a second may cause, logged once in a while with their number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from prometheus_client import Counter

logger = structlog.get_logger()

EVERY_S: Final = 30.0
"""The least time between two lines of one sentence."""


class RareWarning:
    """A sentence that is logged at once, and then at most once in EVERY_S, with its count `times`.

    For one thread, that of the event loop. A counter of the metrics, if given, counts every time.
    """

    def __init__(self, sentence: str, counter: Counter | None = None) -> None:
        self._sentence = sentence
        self._counter = counter
        self._times = 0
        self._quiet: asyncio.TimerHandle | None = None

    def log(self) -> None:
        """Count the event; log it now, or with the next ones when EVERY_S has passed."""
        if self._counter is not None:
            self._counter.inc()
        self._times += 1
        if self._quiet is None or self._quiet.when() < asyncio.get_running_loop().time():
            self._write()

    def _write(self) -> None:
        logger.warning(self._sentence, times=self._times)
        self._times = 0
        self._quiet = asyncio.get_running_loop().call_later(EVERY_S, self._end_quiet)

    def _end_quiet(self) -> None:
        self._quiet = None
        if self._times:
            self._write()
