"""Parts and events on disk, sorted there: an import's memory doesn't grow with its files.

A kept spool outlasts its process, as of its last `keep`: an import that was killed continues with
it. A temporary one leaves nothing behind, however its process ends.
"""

from __future__ import annotations

import sqlite3
import tempfile
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

RefusalRow = tuple[int, str, str]
"""The row's place, the reason, and its detail."""

_TEMPORARY: Final = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
_KEPT: Final = "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;"
"""A commit outlasts a power cut, too; rows that are only added need next to no journal."""

_SCHEMA: Final = """
PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = FILE; PRAGMA threads = 0;
CREATE TABLE IF NOT EXISTS part (
    event INTEGER, id TEXT, place INTEGER, element INTEGER, part BLOB);
CREATE TABLE IF NOT EXISTS sale (key TEXT, at INTEGER, kind INTEGER, place INTEGER, what BLOB);
CREATE TABLE IF NOT EXISTS event (at INTEGER, order_id TEXT, place INTEGER, record BLOB);
CREATE TABLE IF NOT EXISTS refusal (place INTEGER, reason TEXT, detail TEXT);
CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY, progress BLOB);
"""


class SpoolFull(NetsoldError):
    """The directory of temporary files has no room for what an import sorts."""


class Spool:
    """Rows on disk: in a file that is kept, or in a temporary one that has no name.

    One thread reads and adds; another may `keep` what that one has added before it reads the last
    table, or close it, as after a signal.
    """

    def __init__(self, kept: Path | None = None) -> None:
        """Open the kept file, or make it. Raises SpoolFull."""
        self._is_kept = kept is not None
        self._directory = Path(tempfile.gettempdir()) if kept is None else kept.parent
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[Any, ...]]] = {
            name: [] for name in ("part", "sale", "event", "refusal")
        }
        self._db = sqlite3.connect(kept or "", isolation_level=None, check_same_thread=False)
        pragmas = _TEMPORARY if kept is None else _KEPT
        self._locked(
            lambda: self._db.executescript(
                f"PRAGMA cache_size = -{_CACHE_KIB};{pragmas}{_SCHEMA}BEGIN;"
            )
        )

    def close(self) -> None:
        """Release the files; what is under way ends with SpoolFull."""
        self._db.interrupt()
        with self._lock:
            self._db.close()

    def keep(self, progress: bytes) -> None:
        """Let everything up to here outlast this process, and how far it is."""
        if not self._is_kept:
            return
        for table in self._waiting:
            self._flush(table)
        self._locked(lambda: self._commit(progress))

    def _commit(self, progress: bytes) -> None:
        self._db.execute("REPLACE INTO progress VALUES (1, ?)", (progress,))
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    def progress(self) -> bytes | None:
        """The progress that was kept with what is here; None of a new spool."""
        found = self._locked(lambda: self._db.execute("SELECT progress FROM progress").fetchone())
        return None if found is None else bytes(found[0])

    def add_part(self, row: PartRow) -> None:
        """Add a part."""
        self._add("part", row)

    def add_sale(self, row: SaleRow) -> None:
        """Add a sale, or a return that looks for one."""
        self._add("sale", row)

    def add_event(self, row: EventRow) -> None:
        """Add a record."""
        self._add("event", row)

    def add_refusal(self, row: RefusalRow) -> None:
        """Add a row, or an event, of which nothing is made."""
        self._add("refusal", row)

    def refusals(self) -> Iterator[RefusalRow]:
        """All refusals in their order."""
        return self._sorted("refusal", "rowid")

    def parts(self, after: tuple[int, str]) -> Iterator[PartRow]:
        """All parts of the events after (event, id), those of one together, by their rows."""
        where = "WHERE (event, id) > (?, ?)"
        return self._sorted("part", "event, id, place, element", where, after)

    def sales(self, after: str | None) -> Iterator[SaleRow]:
        """All sales and returns of the keys after one, by key and instant."""
        where = "WHERE ?1 IS NULL OR key > ?1"
        return self._sorted("sale", "key, at, kind, place", where, (after,))

    def events(self, first: int) -> Iterator[EventRow]:
        """All records by instant, from a number on, from 0."""
        return self._sorted("event", f"at, place, rowid LIMIT -1 OFFSET {first}")

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

    def _sorted(
        self, table: str, columns: str, where: str = "", values: tuple[Any, ...] = ()
    ) -> Iterator[Any]:
        self._flush(table)
        return self._rows(f"SELECT * FROM {table} {where} ORDER BY {columns}", values)  # noqa: S608 - our own names

    def _rows(self, query: str, values: tuple[Any, ...]) -> Iterator[Any]:
        cursor = self._locked(lambda: self._db.execute(query, values))
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
            f"{self._directory}: can't sort the rows there ({error}): make room there and in"
            " TMPDIR, or set NETSOLD_DATA_DIR and TMPDIR to directories with more"
        )
