"""The catalogue's tables as Faust's tables: their windows, and Faust's view of the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams.app import build_app
from streams.faust_tables import CycleWindow, RocksStore
from streams.settings import Kafka, Settings
from streams.stores import Identity, PartitionStore
from tables.catalogue import ORDERS, TABLES
from tables.cycles import Calendar

if TYPE_CHECKING:
    from pathlib import Path


def test_cycles_as_a_window_of_faust() -> None:
    """Windows are half-open, by the anchor, in seconds; none is ever stale (C1, C3)."""
    window = CycleWindow(Calendar(30 * 86_400_000, 0))
    assert window.expires is None
    assert window.ranges(0.0) == [(0.0, 2_592_000.0)]
    assert window.current(2_591_999.999) == (0.0, 2_592_000.0)
    assert window.current(2_592_000.0) == (2_592_000.0, 5_184_000.0)
    assert window.current(-0.001) == (-2_592_000.0, 0.0)
    assert window.earliest(5.0) == window.current(5.0)
    assert window.delta(2_592_000.0, 1.0) == (0.0, 2_592_000.0)
    assert not window.stale(0.0, 1e12)


async def test_faust_sees_the_open_partitions_and_cannot_write(tmp_path: Path) -> None:
    """Faust's table finds a key in any open partition.

    Windowed keys are found, too. Writes are refused.
    """
    identity = Identity("cluster-1", "app", "sales/id-1", 0, 4)
    partition = PartitionStore(tmp_path / "sales" / "0", identity)
    partition.write([(b"o-1", b"one"), (b"p-3@2592000000", b"cycle")], 1)
    kafka = Kafka(bootstrap_servers="127.0.0.1:1")
    settings = Settings(_env_file=None, data_dir=tmp_path, kafka=kafka)
    app = build_app(settings, "w", "cluster", {})
    assert set(app.tables) == {table.name for table in TABLES}
    store = app.tables[ORDERS.name].data
    assert isinstance(store, RocksStore)
    store.partitions = {0: partition}
    assert store["o-1"] == b"one"
    assert store["p-3", (2_592_000.0, 5_184_000.0)] == b"cycle"
    assert "o-2" not in store
    with pytest.raises(NotImplementedError, match="never runs ahead of Kafka"):
        store._set(b"o-1", b"two")
    partition.close()
