"""Items of a blocking iterator, read ahead by a thread.

Neither the event loop nor a signal handler waits for a slow pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from threading import Event, Thread
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST_AHEAD: Final = 512
"""Items read ahead at most."""

BATCH: Final = 256
"""This many items are returned at once; fewer are returned after `wait_s`.

Waking the event loop for every item costs more than the item."""


class Feed(Generic[T]):
    """The items of an iterator, in batches. Create it in the event loop that reads it.

    The thread ends with the process, because a blocking read of a pipe can't be cancelled.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._read_ahead: deque[T] = deque()
        self._room = Event()
        self._loop = asyncio.get_running_loop()
        self._batch = asyncio.Event()
        self._over = False
        self._error: BaseException | None = None
        Thread(target=self._read, name="feed", daemon=True).start()

    async def next(self, wait_s: float) -> list[T] | None:
        """The items read since the last call, after at most `wait_s`; None at the end.

        Raises what the iterator raised.
        """
        if len(self._read_ahead) < BATCH and not self._over:
            self._batch.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._batch.wait(), wait_s)
        over = self._over  # read before the items: what was read before the end is among them
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
                if len(ahead) == BATCH:
                    self._wake()
                while len(ahead) >= MOST_AHEAD:
                    self._room.clear()
                    if len(ahead) >= MOST_AHEAD:
                        self._room.wait()
        except BaseException as error:  # noqa: BLE001 - raised where the items are read
            self._error = error
        self._over = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing reads any more
            self._loop.call_soon_threadsafe(self._batch.set)
