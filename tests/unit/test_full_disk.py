"""A full disk: what a process writes about itself, and what a store still has in memory, may be lost; work and its end go on."""

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
    """Neither our own lines nor those of libraries, which would come with a traceback."""
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


def test_a_store_that_cannot_be_written_to_its_end_is_closed_with_a_word() -> None:
    """It is a cache of the log, so what it lacks is read again.

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
