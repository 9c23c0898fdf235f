"""Opening files as bytes: plain or compressed, recognised by their first bytes, not their names.

`-` is standard input. The content is not checked.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final, Protocol, cast

from operations.exporting.libraries import arrow
from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

STDIN: Final = "-"

_MAGIC_BYTES: Final = 6
_GZIP: Final = b"\x1f\x8b"
_BZIP2: Final = b"BZh"
_XZ: Final = b"\xfd7zXZ\x00"
_XZ_MEMORY_BYTES: Final = 128 * 2**20  # twice what `xz -9` needs; a file may ask for gigabytes
_GREEDY: Final = "{name}: needs more than 128 MiB to be unpacked: do it before"
"""Of xz by the bound above, of zstd by its own default."""
_READ_BYTES: Final = 65_536

_ZIP: Final = b"PK\x03\x04"
_ZIP_ENCRYPTED: Final = 1
_ZSTD: Final = b"(\xb5/\xfd"

_OTHERS: Final = {
    b"PAR1": (
        "is Parquet: write it as JSON first: duckdb -c"
        " \"COPY (FROM '{path}') TO '/dev/stdout' (FORMAT json)\" | netsold … -"
    ),
    b"\x04\x22M\x18": "is compressed by lz4, which isn't read here: lz4 -dc {path} | netsold … -",
    b"Obj\x01": "is Avro: write it as JSON first: avro-tools tojson {path} | netsold … -",
}
"""By first bytes: the formats that can't be read, and the remedy."""


class EventFileUnreadable(NetsoldError):
    """A file of events is missing, of another format, or incomplete; the message names it."""


def name_of(path: str) -> str:
    """The file's name in messages."""
    return "standard input" if path == STDIN else path


def require(path: str) -> None:
    """Raise EventFileUnreadable for a file that is not there, or a folder."""
    place = Path(path)
    if path != STDIN and place.is_dir():
        raise EventFileUnreadable(
            f"{path}: is a folder: name the files in it, as {path.rstrip('/')}/*.jsonl"
        )
    if path != STDIN and not place.exists():
        raise EventFileUnreadable(f"{path}: {os.strerror(errno.ENOENT)}")


def is_a_pipe(path: str) -> bool:
    """Whether it can be read only once."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:  # opening it explains the error
        return path == STDIN
    return path == STDIN or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


@contextmanager
def opened(path: str) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """A file's uncompressed bytes, and a function: how many bytes of the file itself were read.

    Raises EventFileUnreadable if it can't be opened or is of another format, and for every error of
    reading it inside the block.
    """
    name = name_of(path)
    if path == STDIN and sys.stdin is None:  # as the shell's `<&-` leaves it
        raise EventFileUnreadable(f"{name}: is closed")
    require(path)
    try:
        raw: BinaryIO = _standard_input() if path == STDIN else Path(path).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise EventFileUnreadable(f"{name}: {error.strerror}") from error
    try:
        stream = _uncompressed(raw, name)
        yield stream, (raw.tell if raw.seekable() else lambda: 0)
    except EOFError as error:
        raise EventFileUnreadable(
            f"{name}: is cut off: its compressed data have no end; copy it anew"
        ) from error
    except (zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, _Damaged) as error:
        raise EventFileUnreadable(
            f"{name}: its compressed data are damaged; copy it anew"
        ) from error
    except OSError as error:
        raise EventFileUnreadable(f"{name}: can't be read to its end: {error.strerror}") from error
    finally:
        raw.close()


def _standard_input() -> BinaryIO:
    """Standard input without `sys.stdin`.

    At its end the interpreter acquires the lock of `sys.stdin`, which a reading thread may own.
    """
    if sys.stdin is None:  # descriptor 0 is another file
        raise OSError(errno.EBADF, "is closed")
    return open(0, "rb", closefd=False)


def size_bytes(path: str) -> int | None:
    """The file's size on disk in bytes; None if that isn't known."""
    try:
        return None if path == STDIN else Path(path).stat().st_size
    except OSError:
        return None


class _Damaged(Exception):
    """Compressed data that can't be decompressed."""


class _TooGreedy(EventFileUnreadable):
    """Compressed data that need more memory than allowed."""


def _uncompressed(raw: BinaryIO, name: str) -> IO[bytes]:
    """The stream of a file's content. Raises EventFileUnreadable for another format."""
    head = b""
    while len(head) < _MAGIC_BYTES and (more := raw.read(1)):
        head += more
    for magic, fault in _OTHERS.items():
        if head.startswith(magic):
            path = "FILE" if name == name_of(STDIN) else name
            raise EventFileUnreadable(f"{name}: {fault.format(path=path)}")
    if head.startswith(_ZIP):
        return _only_member(raw, name)
    whole = io.BufferedReader(_Rejoined(head, raw), _READ_BYTES)
    if head.startswith(_ZSTD):
        return io.BufferedReader(_Zstd(whole, name), _READ_BYTES)
    if head.startswith(_GZIP):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=whole))
    if head.startswith(_BZIP2):
        return io.BufferedReader(_Unpacked(whole, bz2.BZ2Decompressor, name), _READ_BYTES)
    if head.startswith(_XZ):
        return io.BufferedReader(
            _Unpacked(whole, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES), name),
            _READ_BYTES,
        )
    return whole


def _only_member(raw: BinaryIO, name: str) -> IO[bytes]:
    """The content of the one file in a zip archive. Raises EventFileUnreadable."""
    if not raw.seekable():
        raise EventFileUnreadable(
            f"{name}: is a zip archive, which is read from a file and not from a pipe: name it"
        )
    archive = zipfile.ZipFile(raw)
    members = [one for one in archive.infolist() if not one.is_dir()]
    if len(members) != 1:
        raise EventFileUnreadable(
            f"{name}: is a zip archive of {len(members)} files, as .xlsx is,"
            " and one is wanted:"
            " unpack it, and name the files"
        )
    if members[0].flag_bits & _ZIP_ENCRYPTED:
        raise EventFileUnreadable(f"{name}: is a zip archive with a password: unpack it before")
    try:
        return archive.open(members[0])
    except NotImplementedError as error:
        raise EventFileUnreadable(
            f"{name}: is a zip archive of a kind that isn't read here ({error}): unpack it before"
        ) from error


class _Zstd(io.RawIOBase):
    """The content of zstd's frames. Raises ExtraMissing, EOFError, _Damaged or _TooGreedy."""

    def __init__(self, packed: IO[bytes], name: str) -> None:
        self._name = name
        self._stream = arrow().CompressedInputStream(packed, "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        room = memoryview(target)
        try:
            found = self._stream.read(len(room))
        except OSError as error:
            if error.errno is not None:  # of the file itself
                raise
            if "too much memory" in str(error):
                raise _TooGreedy(_GREEDY.format(name=self._name)) from error
            raise EOFError if "Truncated" in str(error) else _Damaged from error
        room[: len(found)] = found
        return len(found)


class _Rejoined(io.RawIOBase):
    """The bytes already read of a stream, then the rest of the stream.

    A read returns what is available. Closing leaves the stream open.
    """

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, cast("io.BufferedReader", rest)

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        room = memoryview(target)
        found = self._head[: len(room)] or self._rest.read1(len(room))
        self._head = self._head[len(room) :]
        room[: len(found)] = found
        return len(found)


class _Decompressor(Protocol):
    """The interface that bz2's and lzma's decompressors share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Unpacked(io.RawIOBase):
    """The content of a stream of concatenated compressed parts.

    Raises EOFError, _Damaged, or _TooGreedy.
    """

    def __init__(self, packed: IO[bytes], new: Callable[[], _Decompressor], name: str) -> None:
        self._packed, self._new, self._name = packed, new, name
        self._part = new()

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        room = memoryview(target)
        while True:
            if self._part.eof and not self._next_part():
                return 0
            data = self._packed.read(_READ_BYTES) if self._part.needs_input else b""
            if self._part.needs_input and not data:
                raise EOFError
            found = self._decompressed(data, len(room))
            if found:
                room[: len(found)] = found
                return len(found)

    def _next_part(self) -> bool:
        """Start the next part, skipping zeros between parts; False if there is none."""
        data = self._part.unused_data.lstrip(b"\0")
        while not data and (more := self._packed.read(_READ_BYTES)):
            data = more.lstrip(b"\0")
        self._packed = io.BufferedReader(
            _Rejoined(data, cast("BinaryIO", self._packed)), _READ_BYTES
        )
        self._part = self._new()
        return bool(data)

    def _decompressed(self, data: bytes, most_bytes: int) -> bytes:
        try:
            return self._part.decompress(data, most_bytes)
        except (OSError, lzma.LZMAError) as error:
            if "Memory usage limit" in str(error):
                raise _TooGreedy(_GREEDY.format(name=self._name)) from error
            raise _Damaged from error
