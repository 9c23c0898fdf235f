"""Parts and events on disk, sorted there: an import's memory doesn't grow with its files."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from schemas.errors import NetsoldError

T = TypeVar("T")

_CACHE_KIB: Final = 64 * 1024
_AT_ONCE: Final = 5000

PartRow = tuple[int, str, int, int, bytes | None]
"""Event's number in the mapping, its id, the row's place, its element, the part; None: refused."""

SaleRow = tuple[str, int, int, int, bytes]
"""Key, instant (epoch ms), 0 for a sale and 1 for a return, the row's place, and what it is."""

EventRow = tuple[int, str, int, bytes]
"""Instant (epoch ms), the order's id, the row's place, the record."""

_SCHEMA: Final = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
PRAGMA temp_store = FILE; PRAGMA threads = 0;
CREATE TABLE part (event INTEGER, id TEXT, place INTEGER, element INTEGER, part BLOB);
CREATE TABLE sale (key TEXT, at INTEGER, kind INTEGER, place INTEGER, what BLOB);
CREATE TABLE event (at INTEGER, order_id TEXT, place INTEGER, record BLOB);
"""


class SpoolFull(NetsoldError):
    """The directory of temporary files has no room for what an import sorts."""


class Spool:
    """A database in a directory; it is of no use after its process.

    One thread uses it; another may close it meanwhile, as after a signal.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            directory / "spool", isolation_level=None, check_same_thread=False
        )
        self._db.executescript(f"PRAGMA cache_size = -{_CACHE_KIB};{_SCHEMA}")
        self._db.execute("BEGIN")
        self._waiting: dict[str, list[tuple[Any, ...]]] = {"part": [], "sale": [], "event": []}

    def close(self) -> None:
        """Release the files; what is under way ends with SpoolFull."""
        self._db.interrupt()
        with self._lock:
            self._db.close()

    def add_part(self, row: PartRow) -> None:
        """Add a part."""
        self._add("part", row)

    def add_sale(self, row: SaleRow) -> None:
        """Add a sale, or a return that looks for one."""
        self._add("sale", row)

    def add_event(self, row: EventRow) -> None:
        """Add a record."""
        self._add("event", row)

    def parts(self) -> Iterator[PartRow]:
        """All parts, those of one event together, in the order of their rows."""
        return self._sorted("part", "event, id, place, element")

    def sales(self) -> Iterator[SaleRow]:
        """All sales and returns by key and instant."""
        return self._sorted("sale", "key, at, kind, place")

    def events(self) -> Iterator[EventRow]:
        """All records by instant."""
        return self._sorted("event", "at, place, rowid")

    def events_by_order(self) -> Iterator[EventRow]:
        """All records, those of one order together."""
        return self._sorted("event", "order_id, at, place, rowid")

    def forget_parts(self) -> None:
        """Parts are joined: their room is free for what follows."""
        self._flush("part")
        self._locked(lambda: self._db.execute("DELETE FROM part"))

    def _add(self, table: str, row: tuple[Any, ...]) -> None:
        waiting = self._waiting[table]
        waiting.append(row)
        if len(waiting) >= _AT_ONCE:
            self._flush(table)

    def _flush(self, table: str) -> None:
        waiting = self._waiting[table]
        if waiting:
            marks = ", ".join("?" * len(waiting[0]))
            insert = f"INSERT INTO {table} VALUES ({marks})"  # noqa: S608 - our own names
            self._locked(lambda: self._db.executemany(insert, waiting))
            waiting.clear()

    def _sorted(self, table: str, columns: str) -> Iterator[Any]:
        self._flush(table)
        return self._rows(f"SELECT * FROM {table} ORDER BY {columns}")  # noqa: S608 - our own names

    def _rows(self, query: str) -> Iterator[Any]:
        cursor = self._locked(lambda: self._db.execute(query))
        while some := self._locked(lambda: cursor.fetchmany(_AT_ONCE)):
            yield from some

    def _locked(self, work: Callable[[], T]) -> T:
        """What the database does, unless it is closed. Raises SpoolFull."""
        try:
            with self._lock:
                return work()
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            raise self._full(error) from error

    def _full(self, error: sqlite3.Error) -> SpoolFull:
        return SpoolFull(
            f"{self._directory}: can't sort the rows there ({error}): make room, or set TMPDIR"
            " to a directory with more"
        )
