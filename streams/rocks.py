"""RocksDB for workers and readers: its caches, and what its errors mean."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from rocksdict import BlockBasedIndexType, BlockBasedOptions, Cache, Rdict, WriteOptions

from schemas import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger()


def block_cache(size: int) -> Cache:
    """A cache of `size` bytes, not divided into 64 parts.

    RocksDB's default is: each part then caches only blocks smaller than itself.
    """
    return Cache.new_hyper_clock_cache(size, limits.STORE_BLOCK_BYTES)


def cached_in(cache: Cache) -> BlockBasedOptions:
    """Data, indexes and filters through one cache, so that memory stays bounded.

    Indexes and filters are partitioned: the whole filter of a file with a million orders has more
    than a megabyte, and a cache without room for it reads all of it again for every lookup.
    """
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_bloom_filter(10, block_based=False)
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_index_type(BlockBasedIndexType.two_level_index_search())
    blocks.set_partition_filters(True)
    return blocks


def unlogged() -> WriteOptions:
    """Options of a write that only flushes bring to disk, in the order of the writes."""
    options = WriteOptions()
    options.disable_wal = True  # type: ignore[assignment,method-assign]  # rocksdict's stub takes it for a method
    return options


def is_damage(error: BaseException) -> bool:
    """Whether RocksDB has found corrupt bytes or a missing file; rocksdict has no error types."""
    return "Corruption" in str(error) or "No such file or directory" in str(error)


def rows_from(db: Rdict, first: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys from `first` on and their values, in order; raises what RocksDB finds damaged."""
    # rocksdict's `items()` ends at a damaged block as if there were no more rows
    iterator = db.iter()
    iterator.seek(first)
    while iterator.valid():
        yield iterator.key(), iterator.value()
        iterator.next()
    iterator.status()


def drop(db: Rdict) -> None:
    """Release the files of a store that is deleted or set aside; never raises.

    Its caller has logged why.
    """
    # RocksDB writes rows in memory as it closes, and fails again where its files are damaged: it
    # has released them all the same, and nobody needs the rows
    with suppress(Exception):
        db.close()


def close(db: Rdict) -> None:
    """Release a store's files.

    On a full disk, and where files are damaged, rows in memory are dropped: the log has them.
    """
    try:
        db.close()
    except Exception as error:  # noqa: BLE001 - rocksdict has no exception types of its own
        log.warning(
            "store not written to its end, what it lacks is read again from the log", why=str(error)
        )
