"""Where an export is: a directory of this machine, or of a file system that pyarrow knows.

Every file is written aside and then moved to its name, so a file that has its name is whole.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from operations.exporting.libraries import arrow
from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from operations.exporting.manifest import ExportFile

T = TypeVar("T")

_ASIDE: Final = ".new"
_LOCK: Final = "_lock"


class NoSuchPlace(NetsoldError):
    """The place of an export cannot be opened."""

    exit_code = 2


class ExportRuns(NetsoldError):
    """Another export writes to the same directory."""


class ExportDamaged(NetsoldError):
    """A file of an export is not what netsold wrote."""

    exit_code = 3


class Place:
    """The directory at `root` of a file system of pyarrow; paths are relative to it, with `/`."""

    def __init__(self, file_system: Any, root: str) -> None:  # noqa: ANN401 - pyarrow has no types
        self.file_system, self.root = file_system, root.rstrip("/")
        self.is_local = isinstance(file_system, arrow("pyarrow.fs").LocalFileSystem)

    def full(self, path: str) -> str:
        """A path in the file system."""
        return f"{self.root}/{path}" if path else self.root

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file, durably on a local disk."""
        full = self.full(path)
        aside = full + _ASIDE
        self.file_system.create_dir(full.rpartition("/")[0], recursive=True)
        with self.file_system.open_output_stream(aside) as stream:
            stream.write(data)
        self._sync(aside)
        self.file_system.move(aside, full)
        self._sync(full.rpartition("/")[0])

    def move(self, path: str, target: str) -> None:
        """Give a file another name."""
        to = self.full(target)
        self.file_system.create_dir(to.rpartition("/")[0], recursive=True)
        self.file_system.move(self.full(path), to)
        self._sync(to.rpartition("/")[0])

    def _sync(self, full: str) -> None:
        if self.is_local:
            handle = os.open(full, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None if there is none."""
        try:
            with self.file_system.open_input_stream(self.full(path)) as stream:
                found: bytes = stream.read()
                return found
        except FileNotFoundError:
            return None

    def read_json(self, path: str, kind: type[T]) -> T | None:
        """A file of JSON, None if there is none. Raises ExportDamaged."""
        found = self.read(path)
        try:
            return None if found is None else msgspec.json.decode(found, type=kind)
        except (msgspec.DecodeError, ValueError) as error:
            raise ExportDamaged(
                f"{self.full(path)} is damaged, or no file of `netsold export` ({error}):"
                " export to another directory"
            ) from error

    def files(self, below: str = "") -> dict[str, int]:
        """The sizes of all whole files below a directory, by path; none if it does not exist."""
        selector = arrow("pyarrow.fs").FileSelector(
            self.full(below), recursive=True, allow_not_found=True
        )
        return {
            one.path[len(self.root) + 1 :]: one.size
            for one in self.file_system.get_file_info(selector)
            if one.is_file and not one.path.endswith(_ASIDE)
        }

    def require(self, files: Iterable[ExportFile]) -> None:
        """Raises ExportDamaged where a file of an export is not there with its size."""
        found = self.files()
        lost = [one.path for one in files if found.get(one.path) != one.bytes]
        if lost:
            raise ExportDamaged(
                f"{len(lost)} files of the export in {self.root} are missing or have another size,"
                f" such as {lost[0]}: `netsold export verify` names them; export to another"
                " directory"
            )

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        try:
            self.file_system.delete_file(self.full(path))
        except FileNotFoundError:
            return

    def remove_below(self, path: str) -> None:
        """Remove a directory with all that is in it, if it is there."""
        if path in self.directories():
            self.file_system.delete_dir(self.full(path))

    def directories(self) -> set[str]:
        """The names of the directories in it."""
        selector = arrow("pyarrow.fs").FileSelector(self.root, allow_not_found=True)
        return {
            one.base_name for one in self.file_system.get_file_info(selector) if not one.is_file
        }

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other exports of this machine out. Raises ExportRuns.

        On other file systems there is no lock.
        """
        if not self.is_local:
            yield
            return
        Path(self.root).mkdir(parents=True, exist_ok=True)
        with Path(self.full(_LOCK)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ExportRuns(
                    f"another export writes to {self.root}: wait until it has ended"
                ) from error
            yield


def place_of(text: str) -> Place:
    """The place that a path, or a URI such as `s3://bucket/path`, names. Raises NoSuchPlace."""
    where = text if "://" in text else str(Path(text).absolute())
    pa = arrow()
    try:
        file_system, root = arrow("pyarrow.fs").FileSystem.from_uri(where)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise NoSuchPlace(f"{text} can't be opened: {str(error).splitlines()[0]}") from error
    return Place(file_system, root)
