"""A reader's own store.

One rocksdict database, written in batches that are all or nothing, read at one moment at a time.

It is a cache of the log. Whatever doesn't fit (another cluster, topic or format, a damaged file) is
laid aside, and the log fills a new one.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from rocksdict import DBCompressionType, Options, Rdict, RdictIter, WriteBatch

from schemas import limits
from schemas.errors import NetsoldError
from serving import keys
from serving.standing import Standing
from streams import topics
from streams.rocks import block_cache, cached_in, close

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger()

FORMAT: Final = 3
"""Version of what stands under which key; another one is filled anew."""

MOST_AWAY_MS: Final = topics.DELETIONS_MS // 2
"""A changelog tells a row's deletion for so long, twice over: a store that was away longer may
keep rows that are gone."""

_NOT_OURS: Final = (
    "lock",
    "no space left",
    "permission denied",
    "too many open files",
    "read-only file system",
)
"""What an error of opening says when the files themselves may well be sound."""


NOWHERE: Final = Standing({}, complete=False, live=False)


class StoreUnusable(NetsoldError):
    """The store can't be opened for a reason that a new one would have as well."""

    exit_code = 1


class Identity(msgspec.Struct, frozen=True):
    """Whose tables a store holds, and by which settings they were made.

    Another identity means other tables.

    The followed topics stand by name and id, which changes with the log; `partitions` is how many
    each has.
    """

    cluster: str
    app: str
    topics: dict[str, str]
    partitions: int
    cycle_ms: int
    anchor_ms: int
    service: str
    format: int = FORMAT


class Moment:
    """The store, and how far it is, at one moment.

    Values and walks agree with each other, whatever is written meanwhile.

    Keep it for one answer: it holds on to files. One thread at a time.
    """

    # A rocksdict snapshot won't do: its iterators show what was written after it. And `items()`
    # ends in silence at a damaged block, where an iterator's `status` raises.
    def __init__(self, iterator: RdictIter, standing: Standing) -> None:
        self._iterator = iterator
        self.standing = standing

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
        """Keys and values from a prefix on while they have it, in order.

        From behind the key `after` if that is given.

        Don't call `get`, or walk elsewhere, before the walk is over.
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


class Store:
    """The open store, and how far it is (`standing`).

    `write` and `moment` may be called from different threads.
    """

    def __init__(self, directory: Path, identity: Identity) -> None:
        """Open the store in `directory`, or begin an empty one where none fits.

        Raises StoreUnusable.
        """
        self._directory = directory
        self.identity = identity
        self.standing = NOWHERE
        self._lock = Lock()
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
            return self._begin(1)
        try:
            db = Rdict(str(self._path(number)), _options())
            found = db.get(keys.IDENTITY)
        except Exception as error:  # rocksdict has no exception types of its own
            if any(word in str(error).lower() for word in _NOT_OURS):
                raise StoreUnusable(
                    f"the reader's store {self._path(number)} can't be opened: {error}"
                ) from error
            self._tell(number, f"it can't be opened: {error}")
            return self._begin(number + 1)
        why = None
        if found != msgspec.json.encode(self.identity, order="sorted"):
            why = f"it belongs to {(found or b'nobody').decode()}"
        elif (away_ms := now_ms() - int(db.get(keys.WRITTEN) or 0)) > MOST_AWAY_MS:
            why = f"it was last written {away_ms // 3_600_000} hours ago, and may have missed deletions since"
        if why is None:
            return db
        db.close()
        self._tell(number, why)
        return self._begin(number + 1)

    def _begin(self, number: int) -> Rdict:
        """A new store; of those before it only the last is kept, to be looked at."""
        db = Rdict(str(self._path(number)), _options())
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

    def _tell(self, number: int, why: str) -> None:
        log.warning(
            "store laid aside, filling a new one from the log",
            path=str(self._path(number)),
            why=why,
        )

    def lay_aside(self, why: str) -> None:
        """Go on with an empty store, for one stated reason."""
        number = self._latest() or 0
        self._tell(number, why)
        with self._lock:
            self._db.close()
            self._db = self._begin(number + 1)
            self.standing = NOWHERE

    def get_many(self, wanted: list[bytes]) -> list[bytes | None]:
        """The values of some keys; None where a key is unknown."""
        asked: list[str | int | float | bytes | bool] = list(
            wanted
        )  # rocksdict's lists are invariant
        return self._db.get(asked) or []

    def write(self, batch: WriteBatch, standing: Standing) -> None:
        """Write a batch, all or nothing, and say how far the store is with it.

        Raises StoreUnusable where the disk refuses.
        """
        with self._lock:
            if not batch.is_empty():
                batch.put(keys.WRITTEN, b"%d" % now_ms())
                try:
                    self._db.write(batch)
                except Exception as error:  # as in _open
                    if str(error).startswith("IO error"):
                        raise StoreUnusable(
                            f"the reader's store {self._db.path()} can't be written: {error}"
                        ) from error
                    raise
            self.standing = standing

    def moment(self) -> Moment:
        """The store as it is now."""
        with self._lock:
            return Moment(self._db.iter(), self.standing)

    def close(self) -> None:
        """Release the files, as soon as no Moment is left."""
        close(self._db)


def now_ms() -> int:
    """The machine's clock in epoch milliseconds.

    For lag and the store's age alone, never for what counts.
    """
    return time.time_ns() // 1_000_000


def _options() -> Options:
    """RocksDB's options: about 64 MiB of cache and 4 x 8 MiB of write buffers, however large the tables."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - rocksdict takes no name here
    options.set_block_based_table_factory(cached_in(block_cache(limits.READER_CACHE_BYTES)))
    options.set_write_buffer_size(limits.READER_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(limits.READER_WRITE_BUFFERS)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    options.set_max_open_files(limits.READER_OPEN_FILES)
    options.set_keep_log_file_num(2)
    options.add_compact_on_deletion_collector_factory(
        10_000, 2_500, 0.25
    )  # best sellers leave deletions where all walks begin
    return options
