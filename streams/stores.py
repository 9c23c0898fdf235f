"""Local state: one rocksdict database per table and partition, and Faust's view of it as tables.

The store is a cache of the changelog: it never runs ahead of Kafka (writes come after the commit),
and whatever does not fit (other cluster, other application, corruption) is wiped and restored. So
it has no log of its own, like the stores of Kafka Streams: what a killed process had only in memory
is read again from the changelog, behind the position that the files have.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec
import structlog
from rocksdict import (
    AccessType,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from schemas import limits
from schemas.errors import NetsoldError
from streams.marks import MARK_KEY
from streams.rocks import block_cache, cached_in, close, is_damage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path


log = structlog.get_logger()

POSITION_KEY = b"\x00position"
IDENTITY_KEY = b"\x00identity"

_cache = block_cache(limits.WORKER_CACHE_BYTES)
_write_buffers = WriteBufferManager(limits.WORKER_WRITE_BUFFERS_BYTES, allow_stall=False)


def _options() -> Options:
    """RocksDB's options: memory is bounded by one block cache and one write-buffer budget for the whole process."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - rocksdict takes no name here
    options.set_block_based_table_factory(cached_in(_cache))
    options.set_write_buffer_manager(_write_buffers)
    options.set_write_buffer_size(16 * 1024 * 1024)
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(
        0.01
    )  # most orders that are asked for are new: not to be found is half as dear by this
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    options.set_max_open_files(128)
    options.set_keep_log_file_num(2)
    return options


def _unlogged() -> WriteOptions:
    options = WriteOptions()
    options.disable_wal = True  # type: ignore[assignment,method-assign]  # rocksdict's stub takes it for a method
    return options


class Identity(msgspec.Struct, frozen=True):
    """Whose state a store holds.

    Another identity means another log, and nothing of it may be used.
    """

    cluster: str
    app: str
    table: str
    partition: int
    partitions: int
    """How many the table has."""

    format: int = 1
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
    """A store's files can't be read, as RocksDB says.

    `store` must be wiped, and the changelog has what it held.
    """

    def __init__(self, store: PartitionStore, why: str) -> None:
        super().__init__(f"{store.path}: {why}")
        self.store = store


class StoreUnopened(NetsoldError):
    """A store can't be opened, and not because its files are damaged.

    It is left as it is, the sentence says what a person must mend.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"the store {path} can't be opened ({why}): mend that and restart (docs/runbook.md, Store not opened)"
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
            db.set_write_options(_unlogged())
            if fresh:
                db[IDENTITY_KEY] = msgspec.json.encode(self._identity)
                db.flush()
            found, *_ = db.get([IDENTITY_KEY, MARK_KEY, POSITION_KEY]) or [
                None
            ]  # what opening needs must be readable
        except Exception as error:
            if db is not None:
                db.close()
            if fresh or not is_damage(
                error
            ):  # another owner, no right to read it, no file handle left: its data may be whole
                raise StoreUnopened(self.path, str(error)) from error
            return self._wiped(f"cannot be opened: {error}")
        if not _is_of(found, self._identity):
            db.close()
            return self._wiped(f"belongs to {found!r}")
        return db

    def _wiped(self, why: str) -> Rdict:
        log.warning("store wiped, its changelog restores it", path=str(self.path), why=why)
        shutil.rmtree(self.path)
        return self._open()

    def wipe(self, why: str) -> None:
        """Empty the store, for one stated reason; its changelog restores it."""
        self._db.close()
        self._db = self._wiped(why)

    def get(self, key: bytes) -> bytes | None:
        """The value of one key, or None. Raises StoreDamaged."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            self._tell_damage(error)
            raise
        return value

    def get_all(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of some keys, each one's or None, for less than one by one.

        Raises StoreDamaged.
        """
        try:
            values: list[bytes | None] = self._db.get([*keys]) or []
        except Exception as error:
            self._tell_damage(error)
            raise
        return values

    def _tell_damage(self, error: Exception) -> None:
        if is_damage(error):
            raise StoreDamaged(self, str(error)) from error

    @property
    def mark(self) -> bytes | None:
        """The progress mark of the last change, as the changelog has it."""
        return self.get(MARK_KEY)

    @property
    def position(self) -> int | None:
        """The next changelog offset to read, or None in an empty store."""
        value = self.get(POSITION_KEY)
        return None if value is None else int(value)

    def write(self, items: Iterable[tuple[bytes, bytes | None]], position: int) -> None:
        """Put items (None deletes) and the changelog position, all or nothing.

        Raises StoreDamaged, also for what a compaction met.
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
            self._tell_damage(error)
            raise

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values but the reserved ones, in order of key."""
        yield from self._db.items(from_key=b"\x01")

    def close(self) -> None:
        """Release the files."""
        close(self._db)


class StateView(dict[bytes, bytes | None]):
    """A store's values as they are asked for, None where a key is unknown.

    `recent` has those that the last chunk wrote.
    """

    def __init__(self, store: PartitionStore, recent: Mapping[bytes, bytes | None]) -> None:
        super().__init__(recent)
        self._store = store

    def __missing__(self, key: bytes) -> bytes | None:
        return self._store.get(key)

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        """The values of some keys; those that aren't at hand are looked for together."""
        others = [key for key in keys if key not in self]
        self.update(zip(others, self._store.get_all(others), strict=True))
        return [self[key] for key in keys]
