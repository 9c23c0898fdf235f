"""The handling of Ctrl-C: exit code 130 without a traceback, also while a module is imported.

This module imports little, so that it is ready before anything that takes time is imported.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

TYPE_CHECKING = False  # type checkers know the name; importing `typing` takes time
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

INTERRUPTED = 130
_IMPORTING = "<frozen importlib"


def leave_at_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal's handler
    """End this process at once: for before any work starts and after all of it is done."""
    os._exit(INTERRUPTED)


def leave(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, or end at once while a module is being imported.

    A callback of the import system would print the exception and continue.
    """
    within = frame
    while within is not None:
        if within.f_code.co_filename.startswith(_IMPORTING):
            leave_at_once(number, frame)
        within = within.f_back
    raise KeyboardInterrupt


@contextmanager
def handled() -> Iterator[None]:
    """Handle Ctrl-C by `leave` within the block, and by `leave_at_once` after it."""
    handle_by(leave)
    try:
        yield
    finally:
        handle_by(leave_at_once)


def handle_by(handler: Callable[[int, FrameType | None], None]) -> None:
    """Install a handler of Ctrl-C, unless the parent process had it ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)
