"""Files of journal rows, by source partition and partition of the journal, block by block.

A block has the rows of one chunk of the source, compressed, and the source offsets that it covers.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

import cramjam
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from operations.replaying.work import Report

_HEADER: Final = Struct("<qqII")
"""First and last source offset, bytes uncompressed, bytes compressed."""

JournalRow = tuple[bytes, bytes]
"""Key and value."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]]).decode


class Block(NamedTuple):
    """The rows of a chunk of source offsets `start` < offset <= `end`."""

    start: int
    end: int
    rows: list[JournalRow]


def rows_path(directory: Path, source: str, journal: str, partition: int) -> Path:
    """The file of the rows of `source` (such as `order-3`) in a partition of a journal."""
    return directory / "rows" / f"{source}.{journal}-{partition}"


def rows_paths(directory: Path, journal: str) -> list[Path]:
    """The files of all rows of a journal."""
    return sorted((directory / "rows").glob(f"*.{journal}-*"))


class RowFiles:
    """Writes the files of one source partition; `lengths` are those to continue from, by name."""

    def __init__(self, paths: Mapping[str, Path], lengths: Mapping[str, int]) -> None:
        self._paths = paths
        self._files: dict[str, BinaryIO] = {}
        self.lengths = {name: lengths.get(name, 0) for name in paths}
        for name, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.truncate(self.lengths[name])

    def append(self, name: str, start: int, end: int, rows: Sequence[JournalRow]) -> None:
        """Append a block."""
        raw = _encode(rows)
        packed = bytes(cramjam.lz4.compress_block(raw, store_size=False))
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = self._paths[name].open("ab")
        file.write(_HEADER.pack(start, end, len(raw), len(packed)))
        file.write(packed)
        self.lengths[name] += _HEADER.size + len(packed)

    def flush(self) -> None:
        """Hand all blocks to the system, so that they outlive this process."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def blocks(path: Path, report: Report) -> Iterator[Block]:
    """The blocks of a file; `report` gets the bytes of each."""
    with path.open("rb") as file:
        while header := file.read(_HEADER.size):
            start, end, length, packed = _HEADER.unpack(header)
            raw = cramjam.lz4.decompress_block(file.read(packed), output_len=length)
            report(_HEADER.size + packed)
            yield Block(start, end, _decode(bytes(raw)))
