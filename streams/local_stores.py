"""The stores of the data directory, opened read-only: also while their process runs."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import msgspec
from rocksdict import AccessType, Options, Rdict

from schemas import limits
from streams.marks import MARK_KEY, Mark, decode_mark
from streams.rocks import is_damage, rows_from
from streams.stores import IDENTITY_KEY, POSITION_KEY, Identity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from streams.settings import Settings

_READER: Final = "reader"
"""The reader's directory; its versions other than the base have directories of their own in it."""

_CONFIG: Final = "rocksdict-config.json"

_TRIES: Final = 2
"""A running process may delete a file between the listing of a store's files and their opening."""


@dataclass(frozen=True, slots=True)
class WorkerStore:
    """A worker's store of one table's partition, as its files are; `position` is None if unknown.

    `failed` says why it cannot be read; `damaged`: its worker wipes it and restores it.
    """

    path: Path
    table: str
    partition: int
    size_bytes: int
    identity: Identity | None = None
    mark: Mark | None = None
    position: int | None = None
    failed: str | None = None
    damaged: bool = False


def worker_stores(
    settings: Settings, of: Collection[tuple[str, int]] | None = None
) -> Iterator[WorkerStore]:
    """The stores of all workers of this application in the data directory, one by one.

    `of` are the tables' partitions of which stores are read; None: of all.
    """
    for current in sorted((settings.data_dir / settings.app).glob("worker-*/*/*/CURRENT")):
        path = current.parent
        if not path.name.isdecimal():
            continue  # set aside by its user
        table, partition = path.parent.name, int(path.name)
        if of is None or (table, partition) in of:
            yield _read(path, table, partition)


def reader_stores(settings: Settings) -> Iterator[tuple[Path, int, str | None]]:
    """Path, bytes and fault (None if it can be read) of each store of the directory's reader.

    They are those of its tables and of its event index. Of each the newest is the one in use: an
    earlier one was set aside, and is kept for inspection alone.
    """
    reader = settings.data_dir / _READER
    for directory in (reader, reader / "events"):
        path = _newest(directory)
        if path is None:
            continue
        try:
            _values(path, [IDENTITY_KEY])
            why = None
        except Exception as error:  # noqa: BLE001 - rocksdict has no exception types of its own
            why = str(error)
        yield path, size_of(path), why


def reader_store(settings: Settings) -> Path | None:
    """The newest store of this application in the directory's reader, if there is one."""
    reader, is_base = settings.data_dir / _READER, settings.app == settings.family
    return _newest(reader if is_base else reader / "versions" / settings.app)


def worker_position(db: Rdict) -> int:
    """The next changelog offset that a worker's store lacks; 0 if it has none."""
    return int(db.get(POSITION_KEY) or 0)


def reader_app(db: Rdict) -> str:
    """The application whose tables a reader's store has; empty if it has no identity."""
    found = db.get(IDENTITY_KEY)
    return "" if found is None else msgspec.json.decode(found, type=_ReaderIdentity).app


def reader_position(db: Rdict, topic: str, partition: int) -> int | None:
    """The next offset of a followed partition that a reader's store lacks."""
    found = db.get(b"\x01%b-%d" % (topic.encode(), partition))
    return None if found is None else int(found)


class _ReaderIdentity(msgspec.Struct):
    app: str


def _newest(directory: Path) -> Path | None:
    numbers = [
        int(number)
        for current in directory.glob("store-*/CURRENT")
        if (number := current.parent.name.removeprefix("store-")).isdecimal()
    ]
    return directory / f"store-{max(numbers)}" if numbers else None


def size_of(directory: Path) -> int:
    """Bytes of a directory's files; those that vanish meanwhile count nothing."""
    size = 0
    for path in directory.rglob("*"):
        try:
            size += path.stat().st_size
        except OSError:
            continue
    return size


def _read(path: Path, table: str, partition: int) -> WorkerStore:
    size = size_of(path)
    try:
        identity, mark, position = _values(path, [IDENTITY_KEY, MARK_KEY, POSITION_KEY])
        return WorkerStore(
            path,
            table,
            partition,
            size,
            None if identity is None else msgspec.json.decode(identity, type=Identity),
            None if mark is None else decode_mark(mark),
            None if position is None else int(position),
        )
    except Exception as error:  # noqa: BLE001 - rocksdict has no exception types of its own
        damaged = is_damage(error) or isinstance(error, msgspec.DecodeError | ValueError)
        return WorkerStore(path, table, partition, size, failed=str(error), damaged=damaged)


def _values(path: Path, keys: list[bytes]) -> list[bytes | None]:
    """The values of some keys of a store's files."""
    with opened(path) as db:
        values: list[bytes | None] = [db.get(key) for key in keys]
        return values


@contextmanager
def opened(path: Path) -> Iterator[Rdict]:
    """A store's files, read-only, as they are now: rows that are only in memory are missing."""
    with ExitStack() as stack:
        db = _opened(path, stack)
        stack.callback(db.close)
        yield db


def _opened(path: Path, stack: ExitStack) -> Rdict:
    """The opened files, with a directory that the stack removes."""
    for last in range(1 - _TRIES, 1):
        beside = stack.enter_context(TemporaryDirectory(prefix="netsold-"))
        try:
            _link_files(path, Path(beside))
            return Rdict(beside, _options(), access_type=AccessType.read_only())
        except Exception:
            if not last:
                raise
    raise AssertionError("the last try returns or raises")


def stored_rows(db: Rdict, prefix: bytes = b"\x01") -> Iterator[tuple[bytes, bytes]]:
    """A worker's rows in order of key, or with a prefix those of a space of a reader's.

    Raises what RocksDB finds damaged.
    """
    for key, row in rows_from(db, prefix):
        if prefix != b"\x01" and not key.startswith(prefix):
            return
        yield key, row


def _options() -> Options:
    """RocksDB's options for a short reading: not every file of a large store is opened."""
    options = Options(raw_mode=True)
    options.set_max_open_files(limits.WORKER_OPEN_FILES)
    options.set_skip_stats_update_on_db_open(True)
    return options


def _link_files(path: Path, beside: Path) -> None:
    """Links to a store's files: rocksdict writes its own file where it opens, even read-only."""
    for file in path.iterdir():
        if file.name == _CONFIG:
            shutil.copyfile(file, beside / file.name)
        elif not file.name.startswith("LO"):  # LOCK and LOG are of the process that writes
            (beside / file.name).symlink_to(file.absolute())
