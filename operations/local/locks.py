"""Locks between processes of this machine: a locked file, unlocked by the end of its process."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(path: Path, in_use: Exception | None = None) -> Iterator[None]:
    """Lock a file, made if there is none, within the block.

    Where another process has locked it, this raises `in_use`; without that it waits. Raises
    OSError where the file cannot be opened.
    """
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if in_use is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise (in_use or error) from None
        yield
