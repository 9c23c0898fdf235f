"""Local state: one rocksdict database per table and partition.

A store is a cache of its changelog. It never runs ahead of Kafka, since it is written after the
commit; a store that doesn't fit (other cluster, other application, corruption) is wiped and
restored. So it has no write-ahead log, like the stores of Kafka Streams: a killed process loses
what was only in memory, and the changelog is read again from the position in the files.
"""

from __future__ import annotations

import shutil
import traceback
from typing import TYPE_CHECKING

import msgspec
import structlog
from rocksdict import (
    AccessType,
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from schemas import limits
from schemas.columns import RULES
from schemas.errors import NetsoldError
from streams.marks import MARK_KEY
from streams.rocks import block_cache, cached_in, close, drop, is_damage, rows_from, unlogged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path


log = structlog.get_logger()

POSITION_KEY = b"\x00position"
IDENTITY_KEY = b"\x00identity"

_cache = block_cache(limits.WORKER_CACHE_BYTES)
_write_buffers = WriteBufferManager(limits.WORKER_WRITE_BUFFERS_BYTES, allow_stall=False)


def _options() -> Options:
    """RocksDB's options: all stores of the process share one block cache and one write buffer."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - rocksdict takes no name here
    options.set_block_based_table_factory(cached_in(_cache))
    options.set_write_buffer_manager(_write_buffers)
    options.set_write_buffer_size(limits.WORKER_WRITE_BUFFER_BYTES)
    options.set_memtable_whole_key_filtering(True)
    # most orders are new when they are looked up: a filter answers without a search
    options.set_memtable_prefix_bloom_ratio(0.01)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    options.set_max_open_files(limits.WORKER_OPEN_FILES)
    options.set_keep_log_file_num(2)
    return options


class Identity(msgspec.Struct, frozen=True):
    """Whose state a store has; a store of another identity belongs to another log, and is wiped."""

    cluster: str
    app: str
    table: str
    partition: int
    partitions: int
    """The number of partitions of the table."""

    rules: int = RULES
    build: str = ""
    """Which build made the files (`streams/build.py`): no condition for using them."""


def _is_of(found: bytes | None, identity: Identity) -> bool:
    """Whether the identity in a store's files is this one, be they made by another build."""
    try:
        other = msgspec.json.decode(found or b"", type=Identity)
    except msgspec.DecodeError:
        return False
    return msgspec.structs.replace(other, build=identity.build) == identity


class StoreDamaged(Exception):
    """RocksDB can't read a store's files: it must be wiped, its changelog restores it."""

    def __init__(self, store: PartitionStore, why: str) -> None:
        super().__init__(f"{store.path}: {why}")
        self._store = store

    def wipe_store(self) -> None:
        """Empty the store. Raises StoreUnopened."""
        for error in (self, self.__cause__):
            if error is not None:
                # a walk that the traceback keeps would keep the files open, and their lock
                traceback.clear_frames(error.__traceback__)
        self._store.wipe(str(self))


class StoreUnopened(NetsoldError):
    """A store can't be opened for another reason than damage.

    It is left as it is; the sentence says what a person must mend.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"the store {path} can't be opened ({why}): mend that and restart "
            "(docs/runbook.md, Store not opened)"
        )


class PartitionStore:
    """One partition of one table on local disk; keys and values are bytes."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self._identity = identity
        self._db = self._open()

    def _open(self) -> Rdict:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh, db = not self.path.exists(), None
        try:
            db = Rdict(str(self.path), _options(), access_type=AccessType.read_write())
            db.set_write_options(unlogged())
            if fresh:
                db[IDENTITY_KEY] = msgspec.json.encode(self._identity)
                db.flush()
            # opening needs all three, so all three must be readable
            found, *_ = db.get([IDENTITY_KEY, MARK_KEY, POSITION_KEY]) or [None]
        except Exception as error:
            if db is not None:
                drop(db)
            # with another owner, without the right to read, or without a file handle, the data may
            # be whole
            if fresh or not is_damage(error):
                raise StoreUnopened(self.path, str(error)) from error
            return self._wiped(f"cannot be opened: {error}")
        if not _is_of(found, self._identity):
            drop(db)
            return self._wiped(f"belongs to {found!r}")
        return db

    def _wiped(self, why: str) -> Rdict:
        log.warning("store wiped, its changelog restores it", path=str(self.path), why=why)
        try:
            shutil.rmtree(self.path)
        except OSError as error:
            raise StoreUnopened(self.path, str(error)) from error
        return self._open()

    def wipe(self, why: str) -> None:
        """Empty the store, for one stated reason; its changelog restores it.

        Raises StoreUnopened.
        """
        drop(self._db)
        self._db = self._wiped(why)

    def get(self, key: bytes) -> bytes | None:
        """The value of one key, or None. Raises StoreDamaged."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            self._raise_damage(error)
            raise
        return value

    def get_all(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each of some keys, or None, by one call. Raises StoreDamaged."""
        try:
            values: list[bytes | None] = self._db.get([*keys]) or []
        except Exception as error:
            self._raise_damage(error)
            raise
        return values

    def _raise_damage(self, error: Exception) -> None:
        if is_damage(error):
            raise StoreDamaged(self, str(error)) from error

    @property
    def mark(self) -> bytes | None:
        """The mark of the last change, as in the changelog."""
        return self.get(MARK_KEY)

    @property
    def position(self) -> int | None:
        """The next changelog offset to read, or None in an empty store."""
        value = self.get(POSITION_KEY)
        return None if value is None else int(value)

    @property
    def keys_about(self) -> int:
        """How many keys there are, as RocksDB estimates it; 0 once it is closed."""
        try:
            return int(self._db.property_int_value("rocksdb.estimate-num-keys") or 0)
        except DbClosedError:  # the metrics' turns don't wait for an opening or a stop
            return 0

    def write(self, items: Iterable[tuple[bytes, bytes | None]], position: int) -> None:
        """Write items (None deletes) and the changelog position, all or nothing.

        Raises StoreDamaged, also for damage that a compaction has found.
        """
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in items:
            if value is None:
                batch.delete(key)
            else:
                put(key, value)
        put(POSITION_KEY, b"%d" % position)
        try:
            self._db.write(batch)
        except Exception as error:
            self._raise_damage(error)
            raise

    def items(self, behind: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The keys and values behind a key, in order of key, without the reserved keys.

        Raises StoreDamaged.
        """
        try:
            yield from rows_from(self._db, behind + b"\x00" if behind else b"\x01")
        except Exception as error:
            self._raise_damage(error)
            raise

    def close(self) -> None:
        """Release the files."""
        close(self._db)


class StateView(dict[bytes, bytes | None]):
    """A store's values, read when they are needed; None for an unknown key.

    `recent` has the values that the last chunk wrote.
    """

    def __init__(self, store: PartitionStore, recent: Mapping[bytes, bytes | None]) -> None:
        super().__init__(recent)
        self._store = store

    def __missing__(self, key: bytes) -> bytes | None:
        return self._store.get(key)

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        """The values of some keys; those that aren't cached here are read by one call."""
        others = [key for key in keys if key not in self]
        self.update(zip(others, self._store.get_all(others), strict=True))
        return [self[key] for key in keys]
