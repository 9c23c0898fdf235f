"""With a full disk, work and its end continue.

A process may lose its own log lines, and a store the writes that it still has in memory.
"""

from __future__ import annotations

import errno
import io
import logging.config
import os
import resource
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import pytest
import structlog

from operations.exporting.libraries import bounded
from operations.exporting.places import place_of
from operations.exporting.views import unreadable
from operations.failures import explained
from operations.replaying.row_store import RowStore
from schemas import limits
from streams import logs, rocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process has room for more than a MiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.MIB, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill(store: RowStore) -> None:
    """Write more than a store keeps in memory."""
    for number in range(500):
        store.write({"orders": {b"%d-%d" % (number, at): os.urandom(4096) for at in range(100)}})


class _FullStore:
    def close(self) -> None:
        raise Exception("IO error: No space left on device")  # noqa: TRY002 - as rocksdict does


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither our lines nor those of libraries end the process.

    A library's failed line has no traceback either.
    """
    monkeypatch.setattr(sys, "stderr", _Full())
    before = structlog.get_config()
    try:
        logs.configure()
        structlog.get_logger().info("lanes open")
        handler = logging.StreamHandler(logs.STDERR)  # as `logs.of_libraries` makes it
        handler.emit(logging.LogRecord("aiokafka", logging.ERROR, "", 0, "no leader", None, None))
    finally:
        structlog.configure(**before)
    assert logs.of_libraries()["handlers"]["stderr"]["stream"] == "ext://streams.logs.STDERR"


def test_a_store_that_cannot_be_flushed_is_closed_with_a_warning() -> None:
    """It is a cache of the log, so missing writes are read again.

    The other stores and the process end in order.
    """
    with structlog.testing.capture_logs() as lines:
        rocks.close(_FullStore())  # type: ignore[arg-type]  # has what is used of a store
    assert [(line["event"], line["why"]) for line in lines] == [
        (
            "store not written to its end, what it lacks is read again from the log",
            "IO error: No space left on device",
        )
    ]


def test_a_store_of_a_command_without_room_is_one_sentence(tmp_path: Path) -> None:
    """The error has no number; rows in memory are flushed in the background."""
    store = RowStore(tmp_path / "rows")
    with small_files():
        with pytest.raises(Exception, match="File too large") as raised:
            fill(store)
        store.close()
    found = explained(raised.value)
    assert found is not None
    assert found[0].startswith("File too large: make room where its output goes and where NETSOLD_")


def test_an_export_without_room_names_its_place(tmp_path: Path) -> None:
    """The error of pyarrow has no place."""
    place = place_of(str(tmp_path / "export"))
    with small_files(), pytest.raises(OSError, match="too large") as raised:
        place.write("entries/one.parquet", bytes(2 * limits.MIB))
    found = explained(raised.value)
    assert found is not None
    assert found[0].startswith(f"{place.root}: File too large: make room where its output goes")


@pytest.mark.parametrize(
    "text",
    [
        "Could not write file: No space left on device",
        "failed to offload data block, limited by the 'max_temp_directory_size' setting",
    ],
)
def test_a_query_without_room_is_no_damage(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's temporary files are in the directory that is named."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/small")
    found = explained(unreadable(duckdb.IOException(text)))
    assert found is not None
    assert found[0].startswith("/small: No space left on device: make room where its output goes")


def test_the_bound_of_temporary_files_has_the_name_that_is_found() -> None:
    """DuckDB names it in its error."""
    connection = bounded()
    connection.execute("SET memory_limit = '20MB'; SET max_temp_directory_size = '1MB'")
    with pytest.raises(duckdb.Error) as raised:
        connection.execute("SELECT i, repeat('x', 90) FROM range(4000000) t(i) ORDER BY hash(i)")
    connection.close()
    assert isinstance(unreadable(raised.value), OSError)
