from __future__ import annotations

import shutil
from random import Random
from typing import TYPE_CHECKING

import pytest

from operations.local.ports import free_port
from serving.reader import DIRECTORY
from streams.failpoints import Point
from tables.catalogue import TABLES
from tests.damage import flip_bits
from tests.faults.runner import BACK_S, Run, made

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.faults


def _largest(store: Path, pattern: str) -> Path:
    return max(store.glob(pattern), key=lambda path: path.stat().st_size)


def _lost(store: Path) -> None:
    shutil.rmtree(store)


def _emptied(store: Path) -> None:
    for path in store.iterdir():
        path.unlink()


def _no_current(store: Path) -> None:
    (store / "CURRENT").write_bytes(b"")


def _manifest_cut(store: Path) -> None:
    path = _largest(store, "MANIFEST-*")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _table_flipped(store: Path) -> None:
    for path in store.glob("*.sst"):
        _flip(path)


def _table_cut(store: Path) -> None:
    path = _largest(store, "*.sst")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _tables_deleted(store: Path) -> None:
    for path in store.glob("*.sst"):
        path.unlink()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 97):
        data[at] ^= 0xFF
    path.write_bytes(data)


DAMAGES: list[Callable[[Path], None]] = [
    _lost,
    _emptied,
    _no_current,
    _manifest_cut,
    _table_flipped,
    _table_cut,
    _tables_deleted,
]


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))]
)
async def test_damaged_stores_are_restored(settings: Settings, tmp_path: Path, seed: int) -> None:
    """The tables are the same after each kind of damage.

    Each store is damaged in another way, and the worker is killed while it restores.
    """
    rng = Random(f"stores {seed}")
    with Run(settings, tmp_path) as run:
        items = made(51, 6000)
        await run.write(items[:3000])
        run.workers.start("a")
        await run.caught_up(restart=False)
        run.workers.stop()
        # The stop has written the memory to table files; the kill loses all later writes.
        run.workers.start("a")
        await run.write(items[3000:5000])
        await run.caught_up(restart=False)
        run.workers.kill(run.workers.all["a"])
        stores = run.stores()
        assert len(stores) == len(TABLES) * settings.partitions
        rng.shuffle(stores)
        for damage, store in zip(DAMAGES, stores, strict=False):
            damage(store)
            print(damage.__name__, store.relative_to(tmp_path))  # noqa: T201 - shown by pytest where it fails
        await run.write(items[5000:])
        assert await run.ends(run.workers.start("a", FAILPOINT=f"{Point.IN_RECOVERY}:2")) == -9
        run.workers.start("a")
        await run.caught_up(restart=False)
        assert run.workers.all["a"].logged("store wiped, its changelog restores it")
        await run.verdict()


STOPS = 4
"""So many files of one level are merged: the merge reads all of their blocks."""


async def test_flipped_bits_in_files_that_open_end_neither_worker_nor_reader(
    settings: Settings, tmp_path: Path
) -> None:
    """A merge finds them in the background, after which RocksDB can't even close the store.

    No process ends: the worker's stores are wiped, the reader's store is set aside.
    """
    settings = settings.model_copy(update={"reader_port": free_port(0)})
    with Run(settings, tmp_path) as run:
        items, reader = made(54, 8000), run.workers.reader

        async def is_live() -> bool:
            assert reader.alive, reader.log.read_text(encoding="utf-8")
            return reader.logged('"event": "live"')

        for stop in range(STOPS):
            await run.write(items[stop * 1500 : (stop + 1) * 1500])
            run.workers.start("a")
            reader.log.unlink(missing_ok=True)
            run.workers.serve()
            await run.caught_up(restart=False)
            await run.until(is_live, BACK_S, restart=False)
            run.workers.stop()
            run.workers.stop_one(reader)
        stores = [store for store in run.stores() if store.parent.name == "orders"]
        read = settings.data_dir / DIRECTORY / "store-1"
        for store in (*stores, read):
            assert flip_bits(store), f"{store} has no large file"
        reader.log.unlink()
        worker = run.workers.start("a")
        run.workers.serve()
        await run.write(items[STOPS * 1500 :])
        await run.caught_up(restart=False)

        async def is_filled() -> bool:
            assert reader.alive, reader.log.read_text(encoding="utf-8")
            return reader.logged("store set aside") and read.with_name("store-2").exists()

        await run.until(is_filled, BACK_S, restart=False)
        await run.until(is_live, BACK_S, restart=False)
        wiped = {line["path"] for line in worker.lines() if "store wiped" in line["event"]}
        assert wiped == {str(store) for store in stores}
        run.workers.stop_one(reader)
        assert worker.alive
        await run.verdict()


@pytest.mark.long
async def test_stores_of_others_are_not_used(settings: Settings, tmp_path: Path) -> None:
    """A store of another partition, table or application is not used.

    Nor is an older copy of the right store.
    """
    with Run(settings, tmp_path) as run:
        items = made(52, 4000)
        await run.write(items[:1500])
        run.workers.start("a")
        await run.caught_up(restart=False)
        run.workers.stop()
        base = settings.data_dir / settings.app / "worker-a"
        older = tmp_path / "older"
        shutil.copytree(base / "orders", older)
        await run.write(items[1500:3000])
        run.workers.start("a")
        await run.caught_up(restart=False)
        run.workers.stop()
        for store, other in (
            ("orders/0", older / "0"),
            ("shop_totals/0", base / "shop_totals/1"),
            ("shop_cycles/1", base / "product_cycles/1"),
        ):
            shutil.rmtree(base / store)
            shutil.copytree(other, base / store)
        other_app = settings.model_copy(
            update={"app": f"{settings.app}.b", "topic_prefix": f"{settings.app}.b."}
        )
        with Run(other_app, tmp_path / "b") as another:
            (tmp_path / "b").mkdir()
            await another.write(made(53, 300))
            another.workers.start("a")
            await another.caught_up(restart=False)
            another.workers.stop()
        shutil.rmtree(base / "product_totals")
        shutil.copytree(
            settings.data_dir / other_app.app / "worker-a" / "product_totals",
            base / "product_totals",
        )
        await run.write(items[3000:])
        worker = run.workers.start("a")
        await run.caught_up(restart=False)
        wiped = [
            line["path"]
            for line in worker.lines()
            if line["event"] == "store wiped, its changelog restores it"
        ]
        assert sorted("/".join(path.split("/")[-2:]) for path in wiped) == [
            "product_totals/0",
            "product_totals/1",
            "shop_cycles/1",
            "shop_totals/0",
        ]
        await run.verdict()
