"""What an event costs the order stage as its store grows, in CPU microseconds of one thread.

`python -m bench.growth [ORDERS …]`.

Each line is a store that has held so many orders before, in a random order of their ids. The events
of 20,000 new orders are then read, folded and written, chunk by chunk, as a worker does it, without
Kafka. Look-ups are those of orders that the last chunk did not write. `others` is the CPU of the
process's other threads meanwhile, which are RocksDB's.
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
from tables.cycles import Calendar
from tables.order_stage import OrderStage
from tests.flow import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.flow import Record

COUNTS: Final = (100_000, 1_000_000, 10_000_000)
CHUNKS: Final = (200, 4_000)
EVENTS: Final = 40_000
BATCH: Final = 10_000
DAY_MS: Final = 86_400_000


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


def fill(store: PartitionStore, count: int, state: bytes) -> None:
    """Write so many orders, with ids that are spread."""
    rng = Random(count)
    for begin in range(0, count, BATCH):
        items = [
            (b"old-%016x" % rng.getrandbits(64), state) for _ in range(min(BATCH, count - begin))
        ]
        store.write(items, begin)


def measure(store: PartitionStore, records: Sequence[Record], chunk: int) -> dict[str, float]:
    """CPU microseconds an event of reading, looking up, folding and writing."""
    stage, process = OrderStage(Calendar(30 * DAY_MS), 1000), psutil.Process()
    took = dict.fromkeys(("read", "look-ups", "fold", "write", "others"), 0.0)
    recent: dict[bytes, bytes | None] = {}
    progress, _TimedView.took_s = None, 0.0
    whole_s, own_s = sum(process.cpu_times()[:2]), time.thread_time()
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
    whole_s, own_s = sum(process.cpu_times()[:2]) - whole_s, time.thread_time() - own_s
    took["others"] = max(0.0, whole_s - own_s)
    return {step: seconds / len(records) * 1e6 for step, seconds in took.items()}


def main() -> None:
    """Measure and print."""
    counts = [int(given) for given in sys.argv[1:]] or COUNTS
    records = traffic(bare=False)[:EVENTS]
    state = state_of(records)
    print(f"{'orders before':>14} {'chunk':>6} {'read':>6} {'look-ups':>8} {'fold':>6} {'write':>6}"
          f" {'sum':>6} {'others':>6} {'MiB':>6}")  # fmt: skip
    for count in counts:
        for chunk in CHUNKS:
            with tempfile.TemporaryDirectory() as name:
                store = PartitionStore(
                    Path(name) / "orders", Identity("bench", "bench", "orders", 0, 1)
                )
                fill(store, count, state)
                took = measure(store, records, chunk)
                own = sum(seconds for step, seconds in took.items() if step != "others")
                memory = psutil.Process().memory_info().rss / 2**20
                print(
                    f"{count:14,} {chunk:6,} {took['read']:6.1f} {took['look-ups']:8.1f}"
                    f" {took['fold']:6.1f} {took['write']:6.1f} {own:6.1f} {took['others']:6.1f}"
                    f" {memory:6,.0f}",
                    flush=True,
                )
                store.close()


if __name__ == "__main__":
    main()
