"""Items of a blocking iterator, read by a thread of its own.

Neither the event loop nor a signal waits for a slow pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from threading import Event, Thread
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST: Final = 512
"""So many items are read ahead at most."""

MANY: Final = 256
"""So many are handed over at once; fewer wait for the end of `wait_s`, since waking the loop for
each one costs more than the item."""


class Feed(Generic[T]):
    """Hands over what an iterator gives as it comes. To be made in the event loop that reads it.

    The thread ends with the process: a read of a pipe can't be broken off.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._read_ahead: deque[T] = deque()
        self._room = Event()
        self._loop = asyncio.get_running_loop()
        self._many = asyncio.Event()
        self._over = False
        self._error: BaseException | None = None
        Thread(target=self._read, name="feed", daemon=True).start()

    async def next(self, wait_s: float) -> list[T] | None:
        """What has been read since the last call, after at most `wait_s`; None at the end.

        Raises what the iterator raised.
        """
        if len(self._read_ahead) < MANY and not self._over:
            self._many.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._many.wait(), wait_s)
        over = self._over  # before the items: what was read before the end is among them
        found = [self._read_ahead.popleft() for _ in range(len(self._read_ahead))]
        self._room.set()
        if found or not over:
            return found
        if self._error is not None:
            raise self._error
        return None

    def _read(self) -> None:
        ahead = self._read_ahead
        try:
            for item in self._items:
                ahead.append(item)
                if len(ahead) == MANY:
                    self._wake()
                while len(ahead) >= MOST:
                    self._room.clear()
                    if len(ahead) >= MOST:
                        self._room.wait()
        except BaseException as error:  # noqa: BLE001 - raised where the items are read
            self._error = error
        self._over = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._many.set)
