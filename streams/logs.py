"""Logging of a process: one line an event on stderr, key=value at a terminal and JSON elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

import structlog


class _Stderr:
    """Stderr, without errors of writing: a full disk under a log must not end the work."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


STDERR = _Stderr()

LIBRARIES: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "stream": "ext://streams.logs.STDERR",
        }
    },
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}
"""Libraries log warnings and errors; in the form of `logging.config.dictConfig`."""


def configure() -> None:
    """Set up structlog for this process; call it once, at the start."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(STDERR),  # type: ignore[arg-type]  # has the used methods of a file,
    )
