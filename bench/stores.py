"""The cost of writing and reading a worker's store of orders, in CPU microseconds an order.

`python -m bench.stores [ORDERS]`.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from streams.stores import Identity, PartitionStore

ORDERS = 2_500_000
CHUNK = 5_000
READS = 20_000
STATE_BYTES = 160


def cost(work: Callable[[], object], times: int) -> float:
    """CPU microseconds of this thread for each of `times` repetitions."""
    started_s = time.thread_time()
    work()
    return (time.thread_time() - started_s) / times * 1e6


def read(store: PartitionStore, keys: list[bytes]) -> None:
    """Read the keys one after the other."""
    for key in keys:
        store.get(key)


def main() -> None:
    """Measure and print."""
    count, rng = int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS, Random(1)
    with tempfile.TemporaryDirectory() as name:
        store = PartitionStore(Path(name) / "orders", Identity("bench", "bench", "orders", 0, 1))
        written = 0.0
        for first in range(0, count, CHUNK):
            chunk = [
                (b"o-%d" % number, rng.randbytes(STATE_BYTES))
                for number in range(first, min(first + CHUNK, count))
            ]
            written += cost(partial(store.write, chunk, first), count)
        known = [b"o-%d" % rng.randrange(count) for _ in range(READS)]
        unknown = [b"o-%d" % (count + number) for number in range(READS)]
        print(f"{count:,} orders: {written:.1f} us to write one")
        for what, keys in (("one that is there", known), ("a new one", unknown)):
            print(f"  {cost(partial(read, store, keys), READS):.1f} us to read {what}")
        store.close()


if __name__ == "__main__":
    main()
