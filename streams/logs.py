"""Logging of a process: one line an event on stderr, key=value at a terminal and JSON elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor


class _Stderr:
    """Stderr, without errors of writing: a full disk under a log must not end the work."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


STDERR = _Stderr()

_EVERY: Final[list[Processor]] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
"""What each line has besides its event."""


def _rendered() -> Processor:
    return (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )


def of_libraries() -> dict[str, Any]:
    """Warnings and errors of libraries, in the same form; for `logging.config.dictConfig`."""
    line = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [*_EVERY, structlog.stdlib.add_logger_name],
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _rendered(),
        ],
    }
    handler = {
        "class": "logging.StreamHandler",
        "formatter": "line",
        "stream": "ext://streams.logs.STDERR",
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": line},
        "handlers": {"stderr": handler},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


def configure() -> None:
    """Set up structlog for this process; call it once, at the start."""
    structlog.configure(
        processors=[*_EVERY, structlog.processors.format_exc_info, _rendered()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(STDERR),  # type: ignore[arg-type]  # has the used methods of a file,
    )
