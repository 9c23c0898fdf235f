"""Files of events, one JSON object a line (JSONL), plain or compressed; `-` is standard input. Reads bytes, judges nothing."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

STDIN: Final = "-"

_OPENERS: Final[dict[str, Callable[[Any], Any]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


class EventFileUnreadable(Exception):
    """A file of events isn't there, or breaks off; the message names it."""

    exit_code = 1


@contextmanager
def opened(path: str) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """A file's uncompressed bytes, and a function that tells how many bytes of the file itself are read by now.

    Raises EventFileUnreadable if it can't be opened, and for whatever goes wrong with it inside the block.
    """
    if path.endswith(".zst"):
        raise EventFileUnreadable(f"{path}: zstd isn't read here; pipe it in: zstd -dc {path} | netsold … -")
    try:
        raw = sys.stdin.buffer if path == STDIN else Path(path).open("rb")  # noqa: SIM115 - closed below, stdin is not
    except OSError as error:
        raise EventFileUnreadable(f"{path}: {error.strerror}") from error
    opener = _OPENERS.get(Path(path).suffix)
    try:
        yield (opener(raw) if opener else raw), (raw.tell if raw.seekable() else lambda: 0)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise EventFileUnreadable(f"{path}: can't be read to its end: {error}") from error
    finally:
        if path != STDIN:
            raw.close()


def size_bytes(path: str) -> int | None:
    """Bytes of the file as it lies on disk; None if that isn't known."""
    try:
        return None if path == STDIN else Path(path).stat().st_size
    except OSError:
        return None
