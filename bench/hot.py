"""What a reader's answers to hot addresses cost in CPU: `python -m bench.hot [PRODUCTS]`.

It needs no Kafka and no client: a pipeline in memory makes the tables, and requests are given to
the reader as bytes. Each product has sold in four cycles. A turn is 100 requests about ids at
random; the figures are the fastest tenth and the median of all turns, in µs of this thread's CPU
for an answer. On a shared machine the first one is the better of both. Sockets are not in it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from bench.history import history, plan_of
from serving.api import make_app
from serving.straight import Straight
from tests.reading import Changelogs, FedReader, settings_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.reader import Reader

START_MS = 1_796_000_000_000
TURN = 100
TURNS = 40
CONNECTION: dict[str, Any] = {
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "server": ("127.0.0.1", 1),
    "client": ("127.0.0.1", 2),
    "scheme": "http",
    "root_path": "",
}


def request(path: str, *fields: str) -> bytes:
    """The bytes of a GET."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: bench", *fields, "", ""]).encode()


def cpu(straight: Straight, requests: Sequence[bytes]) -> str:
    """The microseconds of an answer to one of these requests."""
    found = []
    for begin in range(0, len(requests), TURN):
        turn = requests[begin : begin + TURN]
        began_s = time.thread_time()
        for one in turn:
            messages = straight.messages(one, CONNECTION)
            if messages is None or messages[0]["status"] != 200:
                raise RuntimeError(f"{one!r} was answered by {messages}")
        found.append((time.thread_time() - began_s) / len(turn) * 1e6)
    found.sort()
    return f"{found[len(found) // 10]:.0f} µs, median {found[len(found) // 2]:.0f} µs"


def measure(reader: Reader, products: int, shops: int) -> None:
    """Print a line for each kind of request."""
    rng, straight = Random(1), Straight(make_app(reader))

    def of(path: str, count: int) -> list[bytes]:
        some = rng.sample(range(1, count + 1), min(count, TURN * TURNS))
        return [request(path % number) for number in some]

    for name, path, count in (
        ("product", "/v1/products/p-%d", products),
        ("shop", "/v1/shops/s-%d", shops),
        ("product's cycles", "/v1/products/p-%d/cycles", products),
        ("product's days", "/v1/products/p-%d/days", products),
        ("product's hours", "/v1/products/p-%d/hours", products),
    ):
        requests = of(path, count)
        print(f"a {name}, made anew: {cpu(straight, requests)}")
        print(f"a {name}, kept: {cpu(straight, requests)}")
    print(f"a badge, made anew: {cpu(straight, of('/v1/products/p-%d/badge', products))}")
    best = [request("/v1/top/products")] * TURN * TURNS
    print(f"the best ten products: {cpu(straight, best)}")


def main(products: int) -> None:
    """Fill a store, and measure."""
    shops = max(1, products // 10)
    with tempfile.TemporaryDirectory() as name:
        settings = settings_in(Path(name))
        logs = Changelogs(settings)
        logs.take(
            history(plan_of(products, shops, 2000, START_MS), settings.terms.calendar.length_ms)
        )
        logs.tick(START_MS)
        reader = FedReader(settings, logs)
        while reader.feed(most=10_000):
            pass
        measure(reader, products, shops)
        reader.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
