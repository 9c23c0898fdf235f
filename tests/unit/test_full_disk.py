"""With a full disk, work and its end continue.

A process may lose its own log lines, and a store the writes that it still has in memory.
"""

from __future__ import annotations

import errno
import io
import logging.config
import sys
from typing import TYPE_CHECKING

import structlog

from streams import logs, rocks

if TYPE_CHECKING:
    import pytest


class _Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


class _FullStore:
    def close(self) -> None:
        raise Exception("IO error: No space left on device")  # noqa: TRY002 - as rocksdict does


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither our lines nor those of libraries end the process.

    A library's failed line has no traceback either.
    """
    monkeypatch.setattr(sys, "stderr", _Full())
    before = structlog.get_config()
    try:
        logs.configure()
        structlog.get_logger().info("lanes open")
        handler = logging.StreamHandler(logs.STDERR)  # as `logs.LIBRARIES` makes it
        handler.emit(logging.LogRecord("aiokafka", logging.ERROR, "", 0, "no leader", None, None))
    finally:
        structlog.configure(**before)
    assert logs.LIBRARIES["handlers"]["stderr"]["stream"] == "ext://streams.logs.STDERR"


def test_a_store_that_cannot_be_flushed_is_closed_with_a_warning() -> None:
    """It is a cache of the log, so missing writes are read again.

    The other stores and the process end in order.
    """
    with structlog.testing.capture_logs() as lines:
        rocks.close(_FullStore())  # type: ignore[arg-type]  # has what is used of a store
    assert [(line["event"], line["why"]) for line in lines] == [
        (
            "store not written to its end, what it lacks is read again from the log",
            "IO error: No space left on device",
        )
    ]
