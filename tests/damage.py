"""Damage to the files of a store, as by a failing disk: RocksDB opens them, and fails later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SMALL_BYTES = 20_000
"""A smaller file has few blocks, which are read when the store is opened."""


def flip_bits(store: Path) -> list[Path]:
    """Flip one bit in the middle of each large table file of a closed store; returns the files."""
    flipped = [path for path in store.glob("*.sst") if path.stat().st_size > SMALL_BYTES]
    for path in flipped:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    return flipped
