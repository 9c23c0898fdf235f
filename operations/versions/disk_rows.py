"""Rows that a comparison keeps on disk, so that its memory does not grow with the tables."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from heapq import merge
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from operations.local.data_dir import usable
from operations.replaying.row_store import RowStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.settings import Settings


class DiskRows(MutableMapping[bytes, bytes]):
    """The rows of one partition of a table, in a store that those of others are in, too."""

    def __init__(self, store: RowStore, table: str, partition: int) -> None:
        self._store, self._table = store, table
        self._view = store.view(table)
        self._prefix = b"%d/" % partition

    def __getitem__(self, key: bytes) -> bytes:
        """Raises KeyError."""
        found = self._view[self._prefix + key]
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: bytes, row: bytes) -> None:
        self._store.write({self._table: {self._prefix + key: row}})

    def __delitem__(self, key: bytes) -> None:
        self._store.write({self._table: {self._prefix + key: None}})

    def __iter__(self) -> Iterator[bytes]:
        return (key for key, _ in self.in_order())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def in_order(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and rows, in order of key. Don't write meanwhile."""
        return self._store.rows(self._table, self._prefix)


def in_order(parts: Iterable[Mapping[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and rows of some partitions together, in order of key. Don't write meanwhile."""
    return merge(
        *(part.in_order() if isinstance(part, DiskRows) else sorted(part.items()) for part in parts)
    )


@contextmanager
def row_stores(settings: Settings, count: int) -> Iterator[list[RowStore]]:
    """Empty stores in the data directory, for one comparison. Raises DataDirUnusable."""
    with ExitStack() as stack:
        with usable(settings.data_dir):
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            directory = stack.enter_context(
                TemporaryDirectory(prefix="comparison-", dir=settings.data_dir)
            )
        stores = [RowStore(Path(directory) / str(number)) for number in range(count)]
        for store in stores:
            stack.callback(store.close)
        yield stores
