"""What a worker waits for while none of its lanes is open, logged so that it is never silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT_SECONDS = 10.0
"""How often a worker that waits logs what for."""


class WaitingReport:
    """Logs what a worker waits for before it can work.

    `warn` gets a sentence when that takes long, and again every `REPORT_SECONDS`. `now` is a clock
    in seconds.
    """

    def __init__(self, warn: Callable[[str], object], now: Callable[[], float]) -> None:
        self._warn = warn
        self._now = now
        self._what: Callable[[], str] | None = None
        self._since = self._reported_at = 0.0

    def begin(self, what: Callable[[], str]) -> None:
        """The worker now waits for this; the time since it could last work keeps counting."""
        if self._what is None:
            self._since = self._reported_at = self._now()
        self._what = what

    def end(self) -> None:
        """The worker waits for nothing."""
        self._what = None

    def turn(self) -> None:
        """Log if it is time to; call it about once a second."""
        now = self._now()
        if self._what is not None and now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            waited_s = now - self._since
            self._warn(
                f"waiting for {self._what()}: for {waited_s:.0f} s nothing could be worked on"
            )
