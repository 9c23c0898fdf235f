"""What a process says while it runs.

One line an event on stderr, key=value at a terminal and JSON elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

import structlog


class _Stderr:
    """What goes to stderr, as far as it can be written.

    Work doesn't end because its log lies on a full disk.
    """

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
"""Libraries speak from warning on; in the form of `logging.config.dictConfig`."""


def configure() -> None:
    """Set up our own lines; call once, where a process starts."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(STDERR),  # type: ignore[arg-type]  # has what is used of a file,
    )
