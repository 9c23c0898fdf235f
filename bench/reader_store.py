"""The costs of a reader: applying changelog records, moving best sellers, requests, and memory.

`python -m bench.reader_store [PRODUCTS]`. It needs no Kafka: the records are made here, and
applied as fetched ones are.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from threading import Thread
from typing import TYPE_CHECKING

import psutil
import uvicorn

from serving.api import make_app
from serving.reader import Reader
from serving.store import Identity
from serving.subjects import PRODUCT
from serving.top_lists import TopWanted, top_products
from serving.turns import whole
from streams.log import At, FollowStep
from streams.marks import MARK_KEY, Mark, encode_mark
from streams.settings import Settings
from tables import catalogue, orders, sales
from tables.orders import Line, Order, Placed, Receipt
from tables.sales import CurrencySums, Tally
from tables.watermarks import SourceProgress
from tests.flow import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEP = 20_000
MOVES = 100_000
START_MS = 1_783_296_000_000


class Bench:
    """A reader of one partition, and records for it."""

    def __init__(self, directory: Path) -> None:
        settings = Settings(_env_file=None, partitions=1, data_dir=directory)
        self.reader = Reader(settings)
        self.topics = {name: topic for topic, name in self.reader.names.items()}
        self.at: dict[str, At] = {name: (topic, 0) for name, topic in self.topics.items()}
        self.ends = dict.fromkeys(self.at.values(), 0)
        identity = Identity(
            "bench",
            "bench",
            {},
            settings.partitions,
            settings.terms.calendar.length_ms,
            settings.terms.calendar.anchor_ms,
            settings.terms.text,
        )
        self.applier = self.reader.open_store(identity, self.ends)
        self.rng = Random(1)

    def apply(self, name: str, rows: Iterator[tuple[bytes, bytes]]) -> tuple[int, float]:
        """(records, seconds) of applying a table's rows in steps, without making the records."""
        at, count, seconds = self.at[name], 0, 0.0
        while True:
            records = [
                Record(at[0], 0, 0, 0, key, value, [])
                for _, (key, value) in zip(range(STEP - 1), rows, strict=False)
            ]
            if not records:
                return count, seconds
            count += len(records)
            offset = self.ends[at] + len(records)
            mark = Mark(
                offset,
                START_MS,
                sources={"orders-0": SourceProgress(offset, START_MS)},
                topic="orders",
                topic_id="id",
                partition=0,
            )
            records.append(Record(at[0], 0, 0, 0, MARK_KEY, encode_mark(mark), []))
            self.ends[at] = offset + 1
            started_s = time.perf_counter()
            step = FollowStep({at: records}, dict(self.ends), dict(self.ends), frozenset())
            whole(self.applier.apply(step))
            seconds += time.perf_counter() - started_s

    def products(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """The rows of `count` products."""
        for number in range(count):
            units = 1 + int(self.rng.paretovariate(1.0)) % 10_000
            yield (
                catalogue.cycle_key(b"p-%d" % number, START_MS),
                _row_of_sales(units, 990),
            )

    def moves(self, sold: int) -> Iterator[tuple[bytes, bytes]]:
        """The rows of the 20 best products, each with `sold` more units."""
        for number in range(20):
            units = 1_000_000 * (number + 1) + sold
            yield (
                catalogue.cycle_key(b"top-%d" % number, START_MS),
                _row_of_sales(units, 1),
            )

    def orders(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Received orders of two lines."""
        for number in range(count):
            lines = tuple(
                Line(str(line), f"p-{self.rng.randrange(10**6)}", 2, 990, 0) for line in range(2)
            )
            placed = Placed(
                START_MS, f"e-{number}", "/till", f"s-{number % 5000}", "b-1", "CNY", None, lines
            )
            order = Order(
                placed=(placed,),
                receipts=(Receipt(START_MS, f"r-{number}", "/post", None, None, "logistics"),),
            )
            yield b"o-%d" % number, orders.encode(order)


def _row_of_sales(units: int, price: int) -> bytes:
    """The row of a product that sold so many units."""
    return sales.encode(
        Tally(currencies={"CNY": CurrencySums(units_gross=units, amount_gross=units * price)})
    )


def timed(what: Callable[[], object], times: int) -> str:
    """Milliseconds of one call: the median and the maximum."""
    times_ms = []
    for _ in range(times):
        started_s = time.perf_counter()
        what()
        times_ms.append((time.perf_counter() - started_s) * 1000)
    return f"{sorted(times_ms)[times // 2]:.2f} ms, worst {max(times_ms):.2f} ms"


@contextmanager
def served(reader: Reader) -> Iterator[HTTPConnection]:
    """A connection to the reader's API, served by a thread of this process."""
    server = uvicorn.Server(
        uvicorn.Config(make_app(reader), log_level="error", access_log=False, lifespan="off")
    )
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield HTTPConnection(*listener.getsockname())
        finally:
            server.should_exit = True
            thread.join()


def main(products: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        for name, title, rows in (
            (catalogue.PRODUCT_CYCLES.name, "products, new", bench.products(products)),
            (catalogue.PRODUCT_CYCLES.name, "products, changed", bench.products(products // 2)),
            (catalogue.ORDERS.name, "orders", bench.orders(products // 2)),
        ):
            count, seconds = bench.apply(name, rows)
            print(f"apply {title}: {count:,} records, {count / seconds:,.0f} a second")
        answers = bench.reader.answers
        print(
            f"best 10 of {products:,} products: "
            + timed(lambda: top_products(answers(), TopWanted()), 200)
        )
        for sold in range(MOVES // 20):
            bench.apply(catalogue.PRODUCT_CYCLES.name, bench.moves(sold))
        print(
            f"best 10 after {MOVES:,} moves among 20 products: "
            + timed(lambda: top_products(answers(), TopWanted()), 200)
        )
        print(
            "one product, in Python: "
            + timed(
                lambda: answers().about(PRODUCT, f"p-{bench.rng.randrange(products)}", None), 2000
            )
        )
        with served(bench.reader) as connection:

            def request() -> None:
                connection.request("GET", f"/v1/products/p-{bench.rng.randrange(products)}")
                connection.getresponse().read()

            print(f"one product, over HTTP: {timed(request, 2000)}")
        rss_mb = psutil.Process().memory_info().rss / 2**20
        files_mb = (
            sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
            / 2**20
        )
        print(f"memory {rss_mb:,.0f} MiB, files {files_mb:,.0f} MiB")
        bench.reader.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
