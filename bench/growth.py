"""What an event costs the order stage as its store grows, in CPU microseconds of one thread.

`python -m bench.growth [ORDERS …]`.

Each line is a store that has held so many orders before, in a random order of their ids. The events
of 20,000 new orders are then read, folded and written, chunk by chunk, as a worker does it, without
Kafka. Look-ups are those of orders that the last chunk did not write. `others` is the CPU of
RocksDB's threads meanwhile, and `filling` what they took for each order of before.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import psutil

from bench.stages import traffic
from schemas.envelope import read
from streams.stores import Identity, PartitionStore, StateView
from tables import orders
from tables.catalogue import ORDERS
from tables.order_stage import OrderStage
from tables.terms import Terms
from tests.flow import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.flow import Record

COUNTS: Final = (100_000, 1_000_000, 10_000_000)
CHUNKS: Final = (200, 4_000)
EVENTS: Final = 40_000
BATCH: Final = 10_000
DAY_MS: Final = 86_400_000
UNDER_WAY: Final = ("num-running-compactions", "compaction-pending", "mem-table-flush-pending")
"""RocksDB's properties that tell whether its threads work."""


class _TimedView(StateView):
    """A view whose look-ups are timed; `took_s` is the sum."""

    took_s = 0.0

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        """As the view's own."""
        began_s = time.thread_time()
        found = super().get_many(keys)
        _TimedView.took_s += time.thread_time() - began_s
        return found

    def __missing__(self, key: bytes) -> bytes | None:
        began_s = time.thread_time()
        found = super().__missing__(key)
        _TimedView.took_s += time.thread_time() - began_s
        return found


def state_of(records: Sequence[Record]) -> bytes:
    """The state of an order after its first three events."""
    order = orders.EMPTY
    for record in [one for one in records if one.key == records[0].key][:3]:
        received = read(record)
        order = orders.absorb(order, received)  # type: ignore[arg-type]  # all of the bench can be read
    return orders.encode(order)


def others_s() -> float:
    """CPU seconds of the process's other threads, which are RocksDB's."""
    return sum(psutil.Process().cpu_times()[:2]) - time.thread_time()


def fill(store: PartitionStore, count: int, state: bytes) -> float:
    """Write so many orders, with ids that are spread; microseconds an order of RocksDB's threads.

    Returns once those have nothing more to do.
    """
    rng, began_s = Random(count), others_s()
    for begin in range(0, count, BATCH):
        items = [
            (b"old-%016x" % rng.getrandbits(64), state) for _ in range(min(BATCH, count - begin))
        ]
        store.write(items, begin)
    number = store._db.property_int_value  # noqa: SLF001 - a store has no such public way
    while any(number(f"rocksdb.{name}") for name in UNDER_WAY):
        time.sleep(0.1)
    return (others_s() - began_s) / count * 1e6


def measure(store: PartitionStore, records: Sequence[Record], chunk: int) -> dict[str, float]:
    """CPU microseconds an event of reading, looking up, folding and writing."""
    stage = OrderStage(Terms(), 1000)
    took = dict.fromkeys(("read", "look-ups", "fold", "write", "others"), 0.0)
    recent: dict[bytes, bytes | None] = {}
    progress, _TimedView.took_s = None, 0.0
    threads_s = others_s()
    for begin in range(0, len(records), chunk):
        began_s = time.thread_time()
        readings = reading(stage, records[begin : begin + chunk])
        read_s = time.thread_time()
        view = _TimedView(store, recent)
        outcome = stage.fold("orders-0", readings, {ORDERS.name: view}, progress)
        folded_s = time.thread_time()
        progress, recent = outcome.progress, outcome.writes[ORDERS.name]
        store.write(recent.items(), begin)
        took["read"] += read_s - began_s
        took["fold"] += folded_s - read_s
        took["write"] += time.thread_time() - folded_s
    took["look-ups"] = _TimedView.took_s
    took["fold"] -= _TimedView.took_s
    took["others"] = others_s() - threads_s
    return {step: seconds / len(records) * 1e6 for step, seconds in took.items()}


def main() -> None:
    """Measure and print."""
    counts = [int(given) for given in sys.argv[1:]] or COUNTS
    records = traffic(bare=False)[:EVENTS]
    state = state_of(records)
    columns = "read", "look-ups", "fold", "write", "sum", "others", "filling", "MiB"
    print(f"{'orders':>12} {'chunk':>6}", *(f"{name:>8}" for name in columns))
    for count in counts:
        for chunk in CHUNKS:
            with tempfile.TemporaryDirectory() as name:
                store = PartitionStore(
                    Path(name) / "orders", Identity("bench", "bench", "orders", 0, 1)
                )
                filling = fill(store, count, state)
                took = measure(store, records, chunk)
                took["sum"] = sum(took[step] for step in ("read", "look-ups", "fold", "write"))
                took["filling"] = filling
                took["MiB"] = psutil.Process().memory_info().rss / 2**20
                values = (f"{took[name]:8.1f}" for name in columns)
                print(f"{count:12,} {chunk:6,}", *values, flush=True)
                store.close()


if __name__ == "__main__":
    main()
