"""The tokens that a reader accepts, from its settings and from a file that may change."""

from __future__ import annotations

import time
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

import structlog

from schemas import http_limits
from schemas.tokens import TokensUnusable, digest_of, tokens_in
from serving import metrics

if TYPE_CHECKING:
    from os import stat_result
    from pathlib import Path

    from schemas.tokens import TokenLine

logger = structlog.get_logger()

REREAD_EVERY_S: Final = 1.0
"""The least time between two looks at whether the file has changed."""


class Tokens:
    """The tokens of the settings, and those of a file as it was when it could last be read.

    A file that changes is read again within REREAD_EVERY_S of a request: so tokens are replaced
    without a restart. One that can't be read changes nothing; `fault` has the reason.

    Raises TokensUnusable where the file can't be read at the start.
    """

    def __init__(self, configured: tuple[TokenLine, ...], file: Path | None) -> None:
        self._configured = configured
        self._file = file
        self._in_file: tuple[TokenLine, ...] = ()
        self._seen: tuple[int, ...] | None = None
        self._due_s = time.monotonic() + REREAD_EVERY_S
        self._version = 0
        self.fault: str | None = None
        if file is not None:
            self._seen = _version(file)
            self._in_file = _read(file)
        metrics.TOKENS_USABLE.set(1)

    def find(self, token: str) -> TokenLine | None:
        """The line of a token, None if there is none; all lines are compared in constant time."""
        self._follow_file()
        digest = digest_of(token)
        found = None
        for line in (*self._configured, *self._in_file):
            if compare_digest(line.digest, digest):
                found = line
        return found

    @property
    def version(self) -> int:
        """How often the file was read again, until now."""
        self._follow_file()
        return self._version

    def _follow_file(self) -> None:
        now_s = time.monotonic()
        if self._file is None or now_s < self._due_s:
            return
        self._due_s = now_s + REREAD_EVERY_S
        try:
            seen = _version(self._file)
            if seen == self._seen:
                return
            self._seen = seen
            self._in_file = _read(self._file)
        except TokensUnusable as error:
            self._fail(str(error))
        else:
            self._version += 1
            self.fault = None
            metrics.TOKENS_USABLE.set(1)
            logger.info("tokens were read again", tokens=len(self._in_file))

    def _fail(self, fault: str) -> None:
        if fault != self.fault:
            logger.error("tokens can't be read again: the former ones stay", why=fault)
        self.fault = fault
        metrics.TOKENS_USABLE.set(0)


def _version(file: Path) -> tuple[int, ...]:
    """What differs when a file is written or replaced. Raises TokensUnusable."""
    try:
        found: stat_result = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from error
    return found.st_mtime_ns, found.st_ino, found.st_size


def _read(file: Path) -> tuple[TokenLine, ...]:
    try:
        with file.open(encoding="utf-8") as lines:
            return tokens_in(lines.read(http_limits.TOKENS_CHARS + 1))
    except (OSError, UnicodeError) as error:
        raise _unreadable(file, error) from error
    except TokensUnusable as error:
        raise TokensUnusable(f"the tokens of {file} can't be used: {error}") from error


def _unreadable(file: Path, error: OSError | UnicodeError) -> TokensUnusable:
    why = error.strerror if isinstance(error, OSError) else "it isn't UTF-8"
    return TokensUnusable(f"{file}, the file of tokens, can't be read: {why}")
