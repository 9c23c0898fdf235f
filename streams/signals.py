"""Signals that end asynchronous work in order, before a worker or a command has its own loop."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """The result of work. A signal that has a handler cancels it, and raises KeyboardInterrupt.

    A handler that raises within the event loop would leave a half-made transport behind, which
    prints an error when it is collected.
    """
    is_main = threading.current_thread() is threading.main_thread()  # only that one gets signals
    handlers = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if is_main and callable(handler := signal.getsignal(number))
    }
    signalled = False

    async def watched() -> T:
        task = asyncio.ensure_future(work)

        def cancel() -> None:
            nonlocal signalled
            signalled = True
            task.cancel()

        for number in handlers:
            asyncio.get_running_loop().add_signal_handler(number, cancel)
        return await task

    try:
        return asyncio.run(watched())
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if signalled:
            raise KeyboardInterrupt
