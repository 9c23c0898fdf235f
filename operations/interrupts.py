"""What Ctrl-C does: it leaves with exit code 130 and without a traceback, also in the midst of an import.

Light, so that it can be set up before anything that takes time is imported.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

TYPE_CHECKING = False  # as `typing` has it, which takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

INTERRUPTED = 130
_IMPORTING = "<frozen importlib"


def leave_at_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal's handler
    """End this process here and now: nothing is begun yet, or all is done."""
    os._exit(INTERRUPTED)


def leave(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; but end at once where a module is being imported.

    There it could be raised in a callback of the import system, which would print it and go on.
    """
    within = frame
    while within is not None:
        if within.f_code.co_filename.startswith(_IMPORTING):
            leave_at_once(number, frame)
        within = within.f_back
    raise KeyboardInterrupt


@contextmanager
def handled() -> Iterator[None]:
    """Handle Ctrl-C by `leave`, and at once after the block: for the rest of this process."""
    handle_by(leave)
    try:
        yield
    finally:
        handle_by(leave_at_once)


def handle_by(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let this function handle Ctrl-C, unless whoever started us wants it ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)
