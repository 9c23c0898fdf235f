"""One suite over the store in memory, on which the driver runs workers, and over the store on disk.

Both have the properties that commits and recovery rely on.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import pytest

from streams.marks import MARK_KEY
from streams.stores import Identity, PartitionStore, StateView
from tests.driver import MemoryStore, MemoryStores

if TYPE_CHECKING:
    from collections.abc import Iterator

Store = MemoryStore | PartitionStore

OURS = Identity("cluster-1", "app", "orders/id-1", 0, 4)
KEYS = [b"o-1", b"o-2", b"o-3", "订单".encode(), b"\xff\x00"]


class Disk(Protocol):
    """What the suite needs: a store that is opened again and again, and a kill."""

    def open(self, identity: Identity = OURS) -> Store: ...
    def kill_after(self, writes: int) -> None: ...


class InMemory:
    def __init__(self, seed: int = 1) -> None:
        self._stores = MemoryStores(random.Random(seed))

    def open(self, identity: Identity = OURS) -> Store:
        self._stores.dead = False
        return self._stores.open(Path("orders/0"), identity)

    def kill_after(self, writes: int) -> None:
        write_numbers(self.open(), writes)
        self._stores.kill()


class OnDisk:
    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, identity: Identity = OURS) -> Store:
        return PartitionStore(self._path, identity)

    def kill_after(self, writes: int) -> None:
        """In another process, which ends itself by SIGKILL."""
        program = (
            "import os, pathlib, sys\n"
            "from tests.contracts.test_store_contract import OnDisk, write_numbers\n"
            "write_numbers(OnDisk(pathlib.Path(sys.argv[1])).open(), int(sys.argv[2]))\n"
            "os.kill(os.getpid(), 9)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(self._path), str(writes)],
            cwd=Path(__file__).parents[2],
            check=False,
        )
        assert done.returncode == -9


def write_numbers(store: Store, count: int) -> None:
    """One batch for each number below `count`, with the number as position."""
    for number in range(count):
        rows = [(b"o-%d" % number, os.urandom(20_000)), (b"newest", b"%d" % number)]
        store.write([*rows, (MARK_KEY, b"mark %d" % number)], number)


@pytest.fixture(params=["memory", "disk"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    """The store in memory, then the one on disk."""
    return InMemory() if request.param == "memory" else OnDisk(tmp_path / "orders" / "0")


def test_a_new_store_is_empty(disk: Disk) -> None:
    """It has no position, so that the changelog is read from its beginning, and no mark."""
    store = disk.open()
    assert (store.position, store.mark) == (None, None)
    assert store.get(b"o-1") is None
    assert store.get_all([]) == []
    store.close()


def test_what_is_written_is_read_at_once_and_after_opening_again(disk: Disk) -> None:
    """Rows, mark and position; an empty value is a value."""
    store = disk.open()
    store.write([(b"o-1", b"one"), (b"o-2", b""), (MARK_KEY, b"m")], 7)
    for _ in range(2):
        assert store.get_all([b"o-2", b"o-3", b"o-1", b"o-1"]) == [b"", None, b"one", b"one"]
        assert (store.get(b"o-1"), store.mark, store.position) == (b"one", b"m", 7)
        store.close()
        store = disk.open()
    store.close()


def test_a_row_without_value_is_deleted(disk: Disk) -> None:
    """It stays deleted after opening again; a row that was never there may be deleted, too."""
    store = disk.open()
    store.write([(b"o-1", b"one"), (b"o-2", b"two")], 7)
    store.write([(b"o-1", None), (b"o-9", None)], 8)
    for _ in range(2):
        assert store.get_all([b"o-1", b"o-2", b"o-9"]) == [None, b"two", None]
        store.close()
        store = disk.open()
    store.close()


def test_the_last_value_of_a_key_in_a_batch_is_valid(disk: Disk) -> None:
    """Written and then deleted it is not there; deleted and then written it is."""
    store = disk.open()
    store.write([(b"o-1", b"1"), (b"o-1", None), (b"o-2", None), (b"o-2", b"2")], 1)
    assert store.get_all([b"o-1", b"o-2"]) == [None, b"2"]
    store.close()


def test_a_batch_that_fails_writes_nothing(disk: Disk) -> None:
    """Neither the rows before the fault nor the position."""

    def items() -> Iterator[tuple[bytes, bytes | None]]:
        yield b"o-1", b"new"
        yield b"o-2", None
        raise LookupError

    store = disk.open()
    store.write([(b"o-1", b"one"), (b"o-2", b"two")], 7)
    with pytest.raises(LookupError):
        store.write(items(), 8)
    assert store.get_all([b"o-1", b"o-2"]) == [b"one", b"two"]
    assert store.position == 7
    store.close()


@pytest.mark.parametrize("seed", range(3))
def test_many_batches_give_what_a_dictionary_has(disk: Disk, seed: int) -> None:
    """Whatever is written and deleted, and whenever the store is opened again."""
    chance, expected = random.Random(seed), dict[bytes, bytes]()
    store = disk.open()
    for position in range(60):
        rows = {key: chance.randbytes(9) for key in chance.sample(KEYS, chance.randrange(4))}
        gone = chance.sample(KEYS, chance.randrange(2))
        store.write([*rows.items(), *((key, None) for key in gone)], position)
        expected |= rows
        for key in gone:
            expected.pop(key, None)
        if chance.random() < 0.1:
            store.close()
            store = disk.open()
        assert store.get_all(KEYS) == [expected.get(key) for key in KEYS]
        assert store.position == position
    store.close()


@pytest.mark.parametrize("writes", [0, 1, 40])
def test_a_kill_leaves_the_rows_of_one_position(disk: Disk, writes: int) -> None:
    """Whatever was lost: rows and mark are those of the position, and no later ones."""
    disk.kill_after(writes)
    store = disk.open()
    newest = -1 if store.position is None else store.position
    assert store.get(b"newest") == (None if newest < 0 else b"%d" % newest)
    assert store.mark == (None if newest < 0 else b"mark %d" % newest)
    assert [n for n in range(writes) if store.get(b"o-%d" % n)] == list(range(newest + 1))
    store.close()


def test_rows_of_another_identity_are_never_used(disk: Disk) -> None:
    """The store is empty for the other one, and then for the first one, too.

    Another build is no other identity.
    """
    store = disk.open()
    store.write([(b"o-1", b"one")], 7)
    store.close()
    for identity in (msgspec.structs.replace(OURS, cluster="cluster-2"), OURS):
        store = disk.open(identity)
        assert (store.position, store.get(b"o-1")) == (None, None)
        store.write([(b"o-1", b"new")], 1)
        store.close()
    store = disk.open(msgspec.structs.replace(OURS, build="0.2.0"))
    assert (store.position, store.get(b"o-1")) == (1, b"new")
    store.close()


def test_a_view_has_the_rows_of_its_store_and_of_the_last_chunk(disk: Disk) -> None:
    """The last chunk's rows are not read from the store; unknown keys are None."""
    store = disk.open()
    store.write([(b"o-1", b"one"), (b"o-2", b"two")], 7)
    view = StateView(store, {b"o-2": b"newer", b"o-4": None})  # type: ignore[arg-type]
    assert view[b"o-1"] == b"one"
    assert view.get_many([b"o-4", b"o-2", b"o-1", b"o-3"]) == [None, b"newer", b"one", None]
    store.close()
