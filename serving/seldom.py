"""One line for what happens a thousand times a second.

At once, and then how many there were since.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from prometheus_client import Counter

log = structlog.get_logger()

EVERY_S: Final = 30.0
"""Between two lines of one sentence, at least."""


class Seldom:
    """A sentence that is logged at once, and then at most once in EVERY_S, with the number of `times`.

    For one thread, that of the event loop. A counter of the metrics, if there is one, has every time.
    """

    def __init__(self, sentence: str, counter: Counter | None = None) -> None:
        self._sentence = sentence
        self._counter = counter
        self._times = 0
        self._quiet: asyncio.TimerHandle | None = None

    def say(self) -> None:
        """Say it, now or with the others of the same half minute."""
        if self._counter is not None:
            self._counter.inc()
        self._times += 1
        if self._quiet is None or self._quiet.when() < asyncio.get_running_loop().time():
            self._log()

    def _log(self) -> None:
        log.warning(self._sentence, times=self._times)
        self._times = 0
        self._quiet = asyncio.get_running_loop().call_later(EVERY_S, self._speak_again)

    def _speak_again(self) -> None:
        self._quiet = None
        if self._times:
            self._log()
