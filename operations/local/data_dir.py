"""The data directory: private to its user, with files that a power cut can't leave half written."""

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
"""Errors of writing that only free space ends."""

_OF_LIBRARIES: Final = {os.strerror(number): number for number in FULL_DISK} | {
    "max_temp_directory_size": errno.ENOSPC  # DuckDB's bound, a share of the free space
}
"""The texts of the same errors, for libraries whose errors have no number."""


def full_disk(error: Exception) -> int | None:
    """The number of an error of writing that only free space ends; None for any other error."""
    if isinstance(error, OSError):
        return error.errno if error.errno in FULL_DISK else None
    found = str(error)
    return next((number for text, number in _OF_LIBRARIES.items() if text in found), None)


class DataDirUnusable(NetsoldError):
    """A file or folder below the data directory can't be created, read or written."""


def keep_private() -> None:
    """Create all further files and folders of this process and its children for their user alone.

    Folders get mode 0700, files 0600; what exists keeps its mode. For commands that write only
    below the data directory.
    """
    os.umask(0o077)


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Raise DataDirUnusable, in one sentence, if the block can't create, read or write `path`."""
    try:
        yield
    except OSError as error:
        raise DataDirUnusable(
            f"{path} can't be used ({error.strerror or error}):"
            " make room or give this user the right to it,"
            " or set NETSOLD_DATA_DIR to another directory"
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically: after a power cut it is either the former one or all of this one.

    Raises OSError.
    """
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)  # a file's name is on disk once its directory is
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_whole(path: Path, kind: type[T], report: Callable[[str], None]) -> T | None:
    """A JSON file as a value of this type; None if there is none or it can't be decoded.

    A file that can't be decoded is set aside, and `report` gets the reason. Raises
    DataDirUnusable.
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
            report(
                f"{path} can't be read ({error});"
                f" it is set aside as {aside.name}, and work continues without it"
            )
            return None
