"""The local store of a table partition: written all or nothing, wiped if it doesn't fit."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
import structlog

from streams import stores
from streams.marks import MARK_KEY
from streams.stores import Identity, PartitionStore, StoreDamaged, StoreUnopened
from tests.damage import flip_bits

OURS = Identity("cluster-1", "app", "orders/id-1", 0, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The directory of the store."""
    return tmp_path / "orders" / "0"


def test_what_is_written_is_read_after_opening_again(path: Path) -> None:
    """Items, mark and changelog position are read.

    Unknown keys are None; None deletes.
    """
    store = PartitionStore(path, OURS)
    assert store.position is None
    assert store.mark is None
    store.write([(b"o-1", b"one"), (b"o-2", b"two"), (MARK_KEY, b"m")], 7)
    store.write([(b"o-2", None)], 8)
    store.close()
    again = PartitionStore(path, OURS)
    assert [again.get(key) for key in (b"o-1", b"o-2", b"o-3")] == [b"one", None, None]
    assert again.position == 8
    assert again.mark == b"m"
    assert list(again.items()) == [(b"o-1", b"one")]
    again.close()


KILLED = """
import os, pathlib, sys
from tests.unit.test_stores import OURS
from streams.stores import PartitionStore
store = PartitionStore(pathlib.Path(sys.argv[1]), OURS)
for position in range(int(sys.argv[2])):
    store.write([(b"o-%d" % position, os.urandom(300_000)), (b"o", b"%d" % position)], position)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("writes", [0, 1, 200])
def test_a_killed_process_leaves_what_its_files_have(path: Path, writes: int) -> None:
    """Its rows are those of its position, whatever was lost.

    It isn't wiped.
    """
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(writes)],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == -9
    with structlog.testing.capture_logs() as lines:
        store = PartitionStore(path, OURS)
    assert lines == []
    position = -1 if store.position is None else store.position
    assert store.get(b"o") == (None if position < 0 else b"%d" % position)
    assert [n for n in range(writes) if store.get(b"o-%d" % n)] == list(range(position + 1))
    assert (position >= 0) == (writes == 200), "60 MB don't fit into memory"
    store.close()


@pytest.mark.parametrize(
    "other",
    [
        Identity("cluster-2", "app", "orders/id-1", 0, 4),
        Identity("cluster-1", "other", "orders/id-1", 0, 4),
        Identity("cluster-1", "app", "orders/id-2", 0, 4),
        Identity("cluster-1", "app", "orders/id-1", 1, 4),
        Identity("cluster-1", "app", "orders/id-1", 0, 6),
        Identity("cluster-1", "app", "orders/id-1", 0, 4, rules=2),
    ],
)
def test_a_store_of_another_log_is_wiped(path: Path, other: Identity) -> None:
    """None of its rows may be used.

    Another log has another cluster, application, changelog, partition or rules.
    """
    store = PartitionStore(path, other)
    store.write([(b"o-1", b"one")], 7)
    store.close()
    ours = PartitionStore(path, OURS)
    assert ours.position is None
    assert ours.get(b"o-1") is None
    ours.close()


def test_a_store_that_another_build_made_is_used(path: Path) -> None:
    """The build in its identity is information, and older stores have none."""
    for build in ("", "0.1.0+abc", "0.2.0"):
        store = PartitionStore(path, msgspec.structs.replace(OURS, build=build))
        assert store.position == (None if build == "" else 7)
        store.write([(b"o-1", b"one")], 7)
        store.close()


@pytest.mark.parametrize(
    ("damage", "lost"), [("CURRENT", False), ("MANIFEST", False), ("MANIFEST", True)]
)
def test_a_store_that_cannot_be_opened_is_wiped(path: Path, damage: str, *, lost: bool) -> None:
    """Truncated or missing files lead to an empty store.

    The worker can start.
    """
    store = PartitionStore(path, OURS)
    store.write([(b"o-1", b"one")], 7)
    store.close()
    for file in path.glob(f"{damage}*"):
        file.write_bytes(b"\x00garbage")
        if lost:
            file.unlink()
    again = PartitionStore(path, OURS)
    assert again.position is None
    again.close()


def test_a_store_that_is_in_use_is_not_wiped(path: Path) -> None:
    """A second owner of the directory is refused; the first one's data stay."""
    store = PartitionStore(path, OURS)
    store.write([(b"o-1", b"one")], 7)
    with pytest.raises(StoreUnopened, match=r"(?i)lock"):
        PartitionStore(path, OURS)
    assert store.get(b"o-1") == b"one"
    store.close()


def test_a_store_without_a_file_handle_is_not_wiped(path: Path) -> None:
    """The error names the limit; with enough handles the data are there."""
    store = PartitionStore(path, OURS)
    store.write([(b"o-1", b"one")], 7)
    store.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())), hard))
    try:
        with pytest.raises(
            StoreUnopened,
            match=r"can't be opened \(IO error: .*Too many open files\): mend that and restart",
        ):
            PartitionStore(path, OURS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    again = PartitionStore(path, OURS)
    assert again.get(b"o-1") == b"one"
    again.close()


@pytest.mark.parametrize(
    "error",
    [
        "IO error: While open a file: CURRENT: Permission denied",
        "IO error: While pread: Input/output error",
    ],
)
def test_only_damage_is_wiped(path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    """Every other error of RocksDB is raised, and nothing is deleted."""
    store = PartitionStore(path, OURS)
    store.write([(b"o-1", b"one")], 7)
    store.close()

    def refuse(*_: object, **__: object) -> None:
        raise Exception(error)  # noqa: TRY002 - as rocksdict does

    with monkeypatch.context() as patch:
        patch.setattr(stores, "Rdict", refuse)
        with pytest.raises(StoreUnopened, match=error):
            PartitionStore(path, OURS)
    again = PartitionStore(path, OURS)
    assert again.get(b"o-1") == b"one"
    again.close()


def test_a_store_is_wiped_where_opening_works_and_reading_does_not(path: Path) -> None:
    """A damaged block is found only when it is read.

    The files are closed before they are wiped.
    """
    store = PartitionStore(path, OURS)
    store.write([(b"o-1", b"one"), (MARK_KEY, b"m")], 7)
    store._db.flush()
    store.close()
    for table in path.glob("*.sst"):
        data = bytearray(table.read_bytes())
        data[5] ^= 0xFF
        table.write_bytes(data)
    again = PartitionStore(path, OURS)
    assert again.position is None
    again.close()


def test_wipe_empties_it(path: Path) -> None:
    """After a wipe the changelog is read from its beginning."""
    store = PartitionStore(path, OURS)
    store.write([(b"o-1", b"one")], 7)
    store.wipe("a test says so")
    assert store.position is None
    store.write([(b"o-1", b"new")], 1)
    assert store.get(b"o-1") == b"new"
    store.close()


def _fill(store: PartitionStore) -> None:
    for number in range(3):
        rng = Random(number)
        rows = [(b"o-%05d" % rng.randrange(20_000), rng.randbytes(200)) for _ in range(2000)]
        store.write([*rows, (MARK_KEY, b"m")], number)
        store._db.flush()


def _compact(store: PartitionStore) -> None:
    store._db.compact_range(None, None)
    store.write([(b"o-1", b"one")], 7)


FOUND_BY: dict[str, Callable[[PartitionStore], object]] = {
    "a lookup": lambda store: [store.get(b"o-%05d" % number) for number in range(20_000)],
    "lookups": lambda store: store.get_all([b"o-%05d" % number for number in range(20_000)]),
    "a walk": lambda store: list(store.items()),
    "a compaction": _compact,
}


@pytest.mark.parametrize("found_by", FOUND_BY)
def test_a_flipped_bit_is_found_and_the_store_can_be_wiped(path: Path, found_by: str) -> None:
    """Wherever it is found, and with rows in memory that can't be written any more.

    The files of a store that is wiped are closed, whatever RocksDB says about them.
    """
    store = PartitionStore(path, OURS)
    _fill(store)
    store.close()
    assert flip_bits(path)
    store = PartitionStore(path, OURS)
    store.write([(b"o-0", b"in memory")], 3)
    with pytest.raises(StoreDamaged, match="Corruption") as raised:
        FOUND_BY[found_by](store)
    with structlog.testing.capture_logs() as lines:
        raised.value.wipe_store()
    assert [line["event"] for line in lines] == ["store wiped, its changelog restores it"]
    assert store.position is None
    store.write([(b"o-1", b"new")], 1)
    store.close()
    again = PartitionStore(path, OURS)
    assert list(again.items()) == [(b"o-1", b"new")]
    again.close()


def test_damage_ends_no_clean_stop(path: Path) -> None:
    """Rows in memory can't be written: the next start reads them again, or finds the damage."""
    store = PartitionStore(path, OURS)
    _fill(store)
    store.close()
    assert flip_bits(path)
    store = PartitionStore(path, OURS)
    with pytest.raises(StoreDamaged):
        _compact(store)
    with structlog.testing.capture_logs() as lines:
        store.close()
    assert [line["event"] for line in lines] == [
        "store not written to its end, what it lacks is read again from the log"
    ]
    again = PartitionStore(path, OURS)
    assert again.position == 2
    with pytest.raises(StoreDamaged):
        list(again.items())
    again.wipe("a test says so")
    again.close()
