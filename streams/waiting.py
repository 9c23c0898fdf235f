"""What a worker waits for while it has nothing open: never silence for minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SPOKEN_SECONDS = 10.0
"""How often a worker that waits says what for."""


class Waiting:
    """What a worker waits for before it can work.

    `line` gets a sentence when that takes long, and again every `SPOKEN_SECONDS`.
    """

    def __init__(self, line: Callable[[str], object], now: Callable[[], float]) -> None:
        self._line = line
        self._now = now
        self._what: Callable[[], str] | None = None
        self._since = self._spoke_at = 0.0

    def begin(self, what: Callable[[], str]) -> None:
        """From now on this is waited for; the time since the worker could last work goes on."""
        if self._what is None:
            self._since = self._spoke_at = self._now()
        self._what = what

    def end(self) -> None:
        """Nothing is waited for."""
        self._what = None

    def turn(self) -> None:
        """Say it, if it is time; to be called once a second or so."""
        now = self._now()
        if self._what is not None and now - self._spoke_at >= SPOKEN_SECONDS:
            self._spoke_at = now
            self._line(
                f"waiting for {self._what()}: for {now - self._since:.0f} s nothing could be worked on"
            )
