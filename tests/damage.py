"""Damage to the files of a store, as by a failing disk: RocksDB opens them, and fails later."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from schemas import limits
from streams.stores import StoreDamaged, StoreUnopened

SMALL_BYTES = 20_000
"""A smaller file has few blocks, which are read when the store is opened."""


def flip_bits(store: Path) -> list[Path]:
    """Flip bits of the large table files of a closed store; returns the files.

    One bit of each block in their middle half: the rows that an opening needs stay readable.
    """
    flipped = [path for path in store.glob("*.sst") if path.stat().st_size > SMALL_BYTES]
    for path in flipped:
        data = bytearray(path.read_bytes())
        for at in range(len(data) // 4, len(data) * 3 // 4, limits.STORE_BLOCK_BYTES):
            data[at] ^= 1
        path.write_bytes(data)
    return flipped


class Stuck:
    """In place of a damaged store whose files can't be deleted."""

    path = Path("stuck")

    def wipe(self, why: str) -> None:
        """As `PartitionStore.wipe`."""
        raise StoreUnopened(self.path, why)


async def raise_stuck(*_: object) -> None:
    """In place of a request during which such a store is met."""
    raise StoreDamaged(cast("Any", Stuck()), "Corruption")
