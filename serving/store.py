"""A reader's own stores: rocksdict databases, written in atomic batches, read by snapshots.

Each is a cache of the log. A store that doesn't fit (another cluster, topic, format or rules, a
damaged file) is set aside, and the log fills a new one.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import msgspec
import structlog
from rocksdict import DBCompressionType, Options, Rdict, RdictIter, WriteBatch

from schemas import limits, times
from schemas.columns import RULES
from schemas.errors import NetsoldError
from serving import keys
from serving.heads import Heads
from serving.progress import NOT_FOLLOWING, ReaderProgress
from streams import topics
from streams.rocks import block_cache, cached_in, close, drop, is_damage, unlogged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = structlog.get_logger()

FORMAT: Final = 6
"""Version of the keys and values; a store of another version, or of other `RULES`, is filled
anew."""

MOST_UNUSED_MS: Final = topics.DELETIONS_MS // 2
"""Half the time that a changelog keeps a deletion: a store that was unused for longer may still
have rows that were deleted."""

_ENVIRONMENT_FAULTS: Final = (
    "lock",
    "no space left",
    "permission denied",
    "too many open files",
    "read-only file system",
)
"""Words of an error on opening that leave the files themselves undamaged."""


class StoreUnusable(NetsoldError):
    """The store can't be opened, for a reason that a new one would have as well."""


class LogIdentity(msgspec.Struct, frozen=True):
    """Which log a store is a cache of.

    `topics` are the ids of the followed topics by name; an id changes with the log. `partitions` is
    how many each topic has.
    """

    cluster: str
    app: str
    topics: dict[str, str]
    partitions: int


class Identity(LogIdentity, frozen=True):
    """Which tables a store contains, the terms and the rules that they were made by.

    Another identity means other tables.
    """

    cycle_ms: int
    anchor_ms: int
    terms: str
    rules: int = RULES
    format: int = FORMAT


Made = TypeVar("Made")
Progress = TypeVar("Progress")
"""How far a store is."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The bounds of a store's memory and files."""

    cache_bytes: int
    write_buffer_bytes: int
    write_buffers: int
    open_files: int


class StoreSnapshot(Generic[Progress]):
    """A store and its progress at one moment; later writes don't change what it reads.

    Keep it for one answer, as it keeps files open. One thread at a time.
    """

    # It is an iterator, as iterators of a rocksdict snapshot show later writes. And `items()` ends
    # without an error at a damaged block, where an iterator's `status` raises.
    def __init__(self, iterator: RdictIter, progress: Progress, version: str) -> None:
        self._iterator = iterator
        self.progress = progress
        self.version = version
        """The application whose rows these are, by the store's identity."""

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        iterator = self._iterator
        iterator.seek(key)
        if not iterator.valid():
            iterator.status()
            return None
        value: bytes | None = iterator.value() if iterator.key() == key else None
        return value

    def walk(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """The keys with a prefix and their values, in order, from behind the key `after` if given.

        Don't call `get` or `walk` again before the walk has ended.
        """
        iterator = self._iterator
        iterator.seek(prefix if after is None else after + b"\x00")
        while iterator.valid():
            key = iterator.key()
            if not key.startswith(prefix):
                return
            yield key, iterator.value()
            iterator.next()
        iterator.status()

    def between(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The keys `[first, end)` and their values, in order; as `walk`."""
        iterator = self._iterator
        iterator.seek(first)
        while iterator.valid():
            key = iterator.key()
            if key >= end:
                return
            yield key, iterator.value()
            iterator.next()
        iterator.status()

    def walk_back(self, prefix: bytes, until: bytes) -> Iterator[tuple[bytes, bytes]]:
        """As `walk`, from the key `until` (included, if there is one) back to the first."""
        iterator = self._iterator
        iterator.seek_for_prev(until)
        while iterator.valid():
            key = iterator.key()
            if not key.startswith(prefix):
                return
            yield key, iterator.value()
            iterator.prev()
        iterator.status()


Snapshot: TypeAlias = StoreSnapshot[ReaderProgress]


class CacheStore(Generic[Progress]):
    """An open store and its `progress`.

    `write` and `snapshot` may be called from different threads.
    """

    def __init__(
        self,
        directory: Path,
        identity: LogIdentity,
        empty: Progress,
        sizes: Sizes,
        most_unused_ms: int | None,
    ) -> None:
        """Open the store in `directory`, or create an empty one where none fits.

        `empty` is the progress of an empty store. One that was not written for `most_unused_ms`
        doesn't fit. Raises StoreUnusable.
        """
        self._directory = directory
        self.identity = identity
        self.progress = self._empty = empty
        self._sizes = sizes
        self._most_unused_ms = most_unused_ms
        self._lock = Lock()
        self._unlogged = False
        """Whether there are batches that neither the write-ahead log nor a file has."""

        self._db = self._open()

    def _open(self) -> Rdict:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnusable(
                f"the reader can't keep a store in {self._directory}: {error.strerror}"
            ) from error
        number = self._latest()
        if number is None:
            return self._create(1)
        try:
            db = Rdict(str(self._path(number)), _options(self._sizes))
            found, written = db.get([keys.IDENTITY, keys.WRITTEN]) or [None, None]
        except Exception as error:  # rocksdict has no exception types of its own
            # RocksDB's words about damage contain "lock", too: "block checksum mismatch"
            if not is_damage(error) and any(
                word in str(error).lower() for word in _ENVIRONMENT_FAULTS
            ):
                raise StoreUnusable(
                    f"the reader's store {self._path(number)} can't be opened: {error}"
                ) from error
            self._log_set_aside(number, f"it can't be opened: {error}")
            return self._create(number + 1)
        why = None
        if found != msgspec.json.encode(self.identity, order="sorted"):
            why = f"it belongs to {(found or b'nobody').decode()}"
        elif (
            self._most_unused_ms is not None
            and (unused_ms := now_ms() - int(written or 0)) > self._most_unused_ms
        ):
            hours = unused_ms // times.HOUR_MS
            why = f"it was last written {hours} hours ago, and may have missed deletions since"
        if why is None:
            return db
        drop(db)
        self._log_set_aside(number, why)
        return self._create(number + 1)

    def _create(self, number: int) -> Rdict:
        """A new store; of the former ones only the last is kept, for inspection.

        Raises StoreUnusable, as on a full disk.
        """
        try:
            db = Rdict(str(self._path(number)), _options(self._sizes))
        except Exception as error:  # as in _open
            raise StoreUnusable(
                f"the reader's store {self._path(number)} can't be created: {error}"
            ) from error
        db[keys.IDENTITY] = msgspec.json.encode(self.identity, order="sorted")
        db[keys.WRITTEN] = b"%d" % now_ms()
        for old in range(1, number - 1):
            shutil.rmtree(self._path(old), ignore_errors=True)
        return db

    def _latest(self) -> int | None:
        return max(
            (int(path.name.removeprefix("store-")) for path in self._directory.glob("store-*")),
            default=None,
        )

    def _path(self, number: int) -> Path:
        return self._directory / f"store-{number}"

    def _log_set_aside(self, number: int, why: str) -> None:
        logger.warning(
            "store set aside, filling a new one from the log",
            path=str(self._path(number)),
            why=why,
        )

    def set_aside(self, why: str) -> None:
        """Replace the store by an empty one; the log says why."""
        number = self._latest() or 0
        self._log_set_aside(number, why)
        with self._lock:
            drop(self._db)
            self._db = self._create(number + 1)
            self._unlogged = False
            self.progress = self._empty

    def get_many(self, wanted: list[bytes]) -> list[bytes | None]:
        """The values of some keys; None where a key is unknown."""
        keys_: list[str | int | float | bytes | bool] = [*wanted]  # rocksdict's lists are invariant
        return self._db.get(keys_) or []

    def write(self, batch: WriteBatch, progress: Progress, *, logged: bool = True) -> None:
        """Write a batch atomically, and set the progress that the store has with it.

        One that isn't logged may be lost by a kill, with all later ones: the store is then as after
        an earlier batch, with the positions of that one. So what was answered is always logged.
        Raises StoreUnusable where the disk refuses.
        """
        with self._lock:
            if not batch.is_empty():
                batch.put(keys.WRITTEN, b"%d" % now_ms())
                try:
                    if logged and self._unlogged:  # else a kill would lose what comes before it
                        self._db.flush()
                        self._unlogged = False
                    self._db.write(batch, None if logged else unlogged())
                    self._unlogged |= not logged
                except Exception as error:  # as in _open
                    if not is_damage(error) and str(error).startswith("IO error"):
                        raise StoreUnusable(
                            f"the reader's store {self._db.path()} can't be written: {error}"
                        ) from error
                    raise
            self.progress = progress

    def snapshot(self) -> StoreSnapshot[Progress]:
        """The store as it is now."""
        with self._lock:
            return StoreSnapshot(self._db.iter(), self.progress, self.identity.app)

    def close(self) -> None:
        """Release the files, as soon as no Snapshot is left."""
        close(self._db)


def with_readable(store: CacheStore[Any], make: Callable[[], Made]) -> Made:
    """What `make` makes from a store; one in which it finds damage is set aside and filled anew."""
    try:
        return make()
    except Exception as error:
        if not is_damage(error):
            raise
        store.set_aside(f"it is damaged: {error}")
    return make()


class Store(CacheStore[ReaderProgress]):
    """The store of the tables."""

    def __init__(self, directory: Path, identity: LogIdentity) -> None:
        super().__init__(directory, identity, NOT_FOLLOWING, _TABLE_SIZES, MOST_UNUSED_MS)
        self.heads = Heads()


_TABLE_SIZES: Final = Sizes(
    cache_bytes=limits.READER_CACHE_BYTES,
    write_buffer_bytes=limits.READER_WRITE_BUFFER_BYTES,
    write_buffers=limits.READER_WRITE_BUFFERS,
    open_files=limits.READER_OPEN_FILES,
)


def now_ms() -> int:
    """The machine's clock in epoch milliseconds.

    For lag and the store's age alone, never for what counts.
    """
    return time.time_ns() // 1_000_000


def _options(sizes: Sizes) -> Options:
    """RocksDB's options: the same memory for tables of any size."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - rocksdict takes no name here
    options.set_block_based_table_factory(cached_in(block_cache(sizes.cache_bytes)))
    options.set_write_buffer_size(sizes.write_buffer_bytes)
    options.set_max_write_buffer_number(sizes.write_buffers)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    options.set_max_open_files(sizes.open_files)
    options.set_keep_log_file_num(2)
    options.add_compact_on_deletion_collector_factory(
        10_000, 2_500, 0.25
    )  # best sellers leave deletions at the start of every walk
    return options
