"""An asyncio loop whose clock jumps to the next timer, so a run takes no time and repeats."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Deadlock(Exception):
    """Every task waits for another one: no timer and no event is left."""


class _Jumping(selectors.SelectSelector):
    """Advances the loop's clock by the time that it would have waited, and doesn't wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if found:
            return found
        if timeout is None:
            raise Deadlock
        self.now_s += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock begins at 0."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._jumping.now_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new loop. Raises Deadlock."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        _cancel_all(loop)
        loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:  # without tasks, `gather` would need a running loop
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
