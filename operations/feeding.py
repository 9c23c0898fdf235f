"""Items of a blocking iterator, read by a thread of its own: neither the event loop nor a signal waits for a slow pipe."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from threading import Condition, Thread
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST: Final = 512
"""So many items are read ahead at most."""


class Feed(Generic[T]):
    """Hands over what an iterator gives as it comes. To be made in the event loop that reads it.

    The thread ends with the process: a read of a pipe can't be broken off.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._waiting: deque[T] = deque()
        self._room = Condition()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._over = False
        self._error: BaseException | None = None
        Thread(target=self._read, name="feed", daemon=True).start()

    async def next(self, wait_s: float) -> list[T] | None:
        """What has been read since the last call, after `wait_s` an empty list; None at the end. Raises what the iterator raised."""
        if not self._waiting and not self._over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait_s)
        with self._room:
            found = list(self._waiting)
            self._waiting.clear()
            self._news.clear()
            self._room.notify()
            if found or not self._over:
                return found
        if self._error is not None:
            raise self._error
        return None

    def _read(self) -> None:
        try:
            for item in self._items:
                with self._room:
                    while len(self._waiting) >= MOST:
                        self._room.wait()
                    self._waiting.append(item)
                    if len(self._waiting) == 1:
                        self._loop.call_soon_threadsafe(self._news.set)
        except BaseException as error:  # noqa: BLE001 - raised where the items are read
            self._error = error
        self._over = True
        with contextlib.suppress(RuntimeError):  # nobody reads any more
            self._loop.call_soon_threadsafe(self._news.set)
