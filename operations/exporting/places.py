"""Where an export is: a directory of this machine, or of a file system that pyarrow knows.

Every file is written aside and then moved to its name, so a file that has its name is whole. An
object store moves by a copy, which is atomic for each object, and a removal.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from operations.exporting.libraries import arrow
from operations.local.locks import locked
from schemas import limits
from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from operations.exporting.manifest import ExportFile

T = TypeVar("T")

_ASIDE: Final = ".new"

LOCK: Final = "_lock"
"""An empty file, locked while an export writes here; it stays."""

_OBJECT_STORES: Final = {"s3", "gcs", "abfs"}
"""File systems of pyarrow that have no directories."""

_REMEDIES: Final = {
    "resolving region": "does the bucket exist? Name its region, as in `s3://bucket?region=…`",
    "NO_SUCH_BUCKET": "create the bucket",
    "NETWORK_CONNECTION": "is the endpoint right, by AWS_ENDPOINT_URL or `?endpoint_override=`?",
    "ACCESS_DENIED": "grant these credentials to list, read, write and delete below this path",
    "INVALID_ACCESS_KEY_ID": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "SIGNATURE_DOES_NOT_MATCH": "set AWS_SECRET_ACCESS_KEY to the secret of this key",
}
"""By what pyarrow's message contains."""


class HashedStream:
    """What a file is written through: it counts bytes and their SHA-256."""

    closed = False

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - pyarrow has no types
        self._stream, self._hash, self.bytes = stream, hashlib.sha256(), 0

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        """Write more bytes."""
        self._stream.write(data)
        self._hash.update(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """The file is whole only when it is closed."""


class NoSuchPlace(NetsoldError):
    """The place of an export cannot be opened."""

    exit_code = 2


class ExportRuns(NetsoldError):
    """Another export writes to the same directory."""


class PlaceFailed(NetsoldError):
    """A file system that is not of this machine refuses a request, or gives no answer."""


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

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors name the place: an OSError of this machine, else PlaceFailed."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if self.is_local:
                if error.errno is None:
                    raise
                raise OSError(error.errno, error.strerror, error.filename or self.root) from error
            raise PlaceFailed(f"{self.root}: {_with_remedy(error)}") from error

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file, durably on a local disk."""
        with self.writing(path) as stream:
            stream.write(data)

    @contextmanager
    def writing(self, path: str) -> Iterator[HashedStream]:
        """Write a file piece by piece; it has its name once all is written."""
        full = self.full(path)
        aside = full + _ASIDE
        with self._explained():
            self._make_directory_of(full)
            with self.file_system.open_output_stream(aside) as stream:
                yield HashedStream(stream)
            self._sync(aside)
            self.file_system.move(aside, full)
            self._sync(full.rpartition("/")[0])

    def move(self, path: str, target: str) -> None:
        """Give a file another name."""
        to = self.full(target)
        with self._explained():
            self._make_directory_of(to)
            self.file_system.move(self.full(path), to)
            self._sync(to.rpartition("/")[0])

    def _make_directory_of(self, full: str) -> None:
        if self.file_system.type_name not in _OBJECT_STORES:
            self.file_system.create_dir(full.rpartition("/")[0], recursive=True)

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
            with self._explained(), self.file_system.open_input_stream(self.full(path)) as stream:
                found: bytes = stream.read()
                return found
        except FileNotFoundError:
            return None

    def sha256(self, path: str) -> str | None:
        """The SHA-256 of a file in hexadecimal, read piece by piece; None if there is no file."""
        found = hashlib.sha256()
        try:
            with self._explained(), self.file_system.open_input_stream(self.full(path)) as stream:
                while piece := stream.read(limits.MIB):
                    found.update(piece)
        except FileNotFoundError:
            return None
        return found.hexdigest()

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
            for one in self._listed(selector)
            if one.is_file and not one.path.endswith(_ASIDE)
        }

    def _listed(self, selector: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
        with self._explained():
            found: list[Any] = self.file_system.get_file_info(selector)
            return found

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
        with suppress(FileNotFoundError), self._explained():
            self.file_system.delete_file(self.full(path))

    def remove_below(self, path: str) -> None:
        """Remove a directory with all that is in it, if it is there."""
        if path in self.directories():
            with self._explained():
                self.file_system.delete_dir(self.full(path))

    def directories(self) -> set[str]:
        """The names of the directories in it."""
        selector = arrow("pyarrow.fs").FileSelector(self.root, allow_not_found=True)
        return {one.base_name for one in self._listed(selector) if not one.is_file}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other exports of this machine out. Raises ExportRuns.

        On other file systems there is no lock.
        """
        if not self.is_local:
            yield
            return
        Path(self.root).mkdir(parents=True, exist_ok=True)
        runs = ExportRuns(f"another export writes to {self.root}: wait until it has ended")
        with locked(Path(self.full(LOCK)), runs):
            yield


def place_of(text: str) -> Place:
    """The place that a path, or a URI such as `s3://bucket/path`, names. Raises NoSuchPlace."""
    if not text:
        raise NoSuchPlace("the place is empty: name a directory, or a URI such as s3://bucket/path")
    where = text if "://" in text else str(Path(text).absolute())
    pa = arrow()
    try:
        file_system, root = arrow("pyarrow.fs").FileSystem.from_uri(where)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise NoSuchPlace(f"{text} can't be opened: {_with_remedy(error)}") from error
    found = Place(file_system, root)
    if found.is_local and Path(root).is_file():
        raise NoSuchPlace(f"{text} is a file: name a directory")
    return found


def _with_remedy(error: Exception) -> str:
    """An error's first line, with the remedy where one is known."""
    line = str(error).partition("\n")[0]
    return next((f"{line}: {remedy}" for text, remedy in _REMEDIES.items() if text in line), line)
