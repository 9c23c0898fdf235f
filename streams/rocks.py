"""How a worker's and a reader's RocksDB keep their files."""

import structlog
from rocksdict import BlockBasedIndexType, BlockBasedOptions, Cache, Rdict

from schemas import limits

log = structlog.get_logger()


def block_cache(size: int) -> Cache:
    """A cache of so many bytes, without RocksDB's usual division into 64 parts of which each holds a piece only if it isn't larger."""
    return Cache.new_hyper_clock_cache(size, limits.STORE_BLOCK_BYTES)


def cached_in(cache: Cache) -> BlockBasedOptions:
    """Data, indexes and filters through one cache, so that memory stays bounded.

    Indexes and filters are in pieces. As a whole the filter of a file with a million orders has
    over a megabyte, and a cache that can't keep it reads all of it again for every single look.
    """
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_bloom_filter(10, block_based=False)
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_index_type(BlockBasedIndexType.two_level_index_search())
    blocks.set_partition_filters(True)
    return blocks


def is_damage(error: BaseException) -> bool:
    """Whether RocksDB finds bytes that don't fit, or misses a file.

    Rocksdict has no exception types of its own.
    """
    return "Corruption" in str(error) or "No such file or directory" in str(error)


def close(db: Rdict) -> None:
    """Release a store's files.

    Where the disk is full, what is only in memory is given up: the log has it.
    """
    try:
        db.close()
    except Exception as error:  # noqa: BLE001 - rocksdict has no exception types of its own
        log.warning(
            "store not written to its end, what it lacks is read again from the log", why=str(error)
        )
