"""Rows of several tables in one database on disk, written together with how far they are.

It has no write-ahead log: after the end of its process it contains an earlier batch, whole, and the
progress that belongs to it.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from rocksdict import DBCompressionType, Options, Rdict, WriteBatch

from schemas import limits
from streams.rocks import block_cache, cached_in, close, rows_from, unlogged
from tables.catalogue import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tables.outcome import Stored

_PROGRESS: Final = b"\x00progress"
_CACHE_BYTES: Final = 64 * limits.MIB
_WRITE_BUFFER_BYTES: Final = 48 * limits.MIB
_PREFIXES: Final = {table.name: bytes([number]) for number, table in enumerate(TABLES, 1)}

_cache = block_cache(_CACHE_BYTES)


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - rocksdict takes no name here
    options.set_block_based_table_factory(cached_in(_cache))
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.01)  # most orders are new when they are searched
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    options.set_max_open_files(limits.WORKER_OPEN_FILES)
    options.set_keep_log_file_num(2)
    return options


def anew(path: Path) -> Path:
    """The same path, without what an interrupted task left there: it adds to sums from none."""
    shutil.rmtree(path, ignore_errors=True)
    return path


class RowStore:
    """The database at `path`, made if there is none."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = Rdict(str(path), _options())
        self._db.set_write_options(unlogged())

    @property
    def progress(self) -> bytes | None:
        """What the last `write` recorded; None before the first."""
        found: bytes | None = self._db.get(_PROGRESS)
        return found

    def view(self, table: str) -> Stored:
        """A table's rows as a stage reads them."""
        return _View(self._db, _PREFIXES[table])

    def write(
        self, writes: Mapping[str, Mapping[bytes, bytes | None]], progress: bytes | None = None
    ) -> None:
        """Write rows by table (None deletes one) and the progress, all or nothing."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for table, rows in writes.items():
            prefix = _PREFIXES[table]
            for key, value in rows.items():
                if value is None:
                    delete(prefix + key)
                else:
                    put(prefix + key, value)
        if progress is not None:
            put(_PROGRESS, progress)
        self._db.write(batch)

    def rows(self, table: str, within: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """A table's keys and values, in order of key. Don't write meanwhile.

        Only those of keys that begin with `within`, and without it.
        """
        prefix = _PREFIXES[table] + within
        length = len(prefix)
        for key, value in rows_from(self._db, prefix):
            if key[:length] != prefix:
                return
            yield key[length:], value

    def close(self) -> None:
        """Release the files."""
        close(self._db)


class _View:
    """Rows that are read from the database each time."""

    def __init__(self, db: Rdict, prefix: bytes) -> None:
        self._db = db
        self._prefix = prefix

    def __getitem__(self, key: bytes, /) -> bytes | None:
        found: bytes | None = self._db.get(self._prefix + key)
        return found

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        prefix = self._prefix
        found: list[bytes | None] = self._db.get([prefix + key for key in keys]) or []
        return found
