"""What writing to a worker's store of orders costs, and a look into it, CPU microseconds an order.

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
LOOKS = 20_000
STATE_BYTES = 160


def cost(work: Callable[[], object], times: int) -> float:
    """CPU microseconds of this thread for each of so many times."""
    began = time.thread_time()
    work()
    return (time.thread_time() - began) / times * 1e6


def look(store: PartitionStore, keys: list[bytes]) -> None:
    """Look for one after the other."""
    for key in keys:
        store.get(key)


def main() -> None:
    """Print what was measured."""
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
        known = [b"o-%d" % rng.randrange(count) for _ in range(LOOKS)]
        unknown = [b"o-%d" % (count + number) for number in range(LOOKS)]
        print(f"{count:,} orders: {written:.1f} us to write one")
        for what, keys in (("one that is there", known), ("a new one", unknown)):
            print(f"  {cost(partial(look, store, keys), LOOKS):.1f} us to look for {what}")
        store.close()


if __name__ == "__main__":
    main()
