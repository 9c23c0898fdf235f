"""The data directory: private to its user, with files that are whole even after a power cut."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

FULL_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a file that can't grow: room must be made."""


class DataDirUnusable(NetsoldError):
    """A file or folder below the data directory can't be made, read or written."""

    exit_code = 1


def keep_private() -> None:
    """From now on what this process and its children make is for their user alone.

    Folders 0700, files 0600.

    For commands that write nothing but below the data directory. What exists keeps its mode.
    """
    os.umask(0o077)


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Raise DataDirUnusable, in one sentence, where the block can't make, read or write `path`."""
    try:
        yield
    except OSError as error:
        raise DataDirUnusable(
            f"{path} can't be used ({error.strerror or error}): make room or give this user the right to it,"
            " or set NETSOLD_DATA_DIR to another directory"
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that after a crash, or a power cut, there is either the former one or all of this one. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)  # a name is on disk once its directory is
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_whole(path: Path, kind: type[T], say: Callable[[str], None]) -> T | None:
    """A JSON file as a value of this type.

    None if there is none, or if it can't be read: then it is set aside, and `say` gets why.

    Raises DataDirUnusable.
    """
    with usable(path):
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            aside = path.with_name(f"{path.name}.unreadable")
            with suppress(FileNotFoundError):  # another process has set it aside
                path.replace(aside)
            say(
                f"{path} can't be read ({error}); it is set aside as {aside.name}, and work goes on without it"
            )
            return None
