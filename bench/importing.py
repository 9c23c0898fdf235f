"""How fast a table is imported by a mapping, beside reading and writing alone, and in what memory.

`python -m bench.importing [ROWS …]`.

For each number, a CSV of that many rows is made: orders of five rows each, shuffled within a span,
and a return for every twentieth row. It is read by Python's parser alone; its events are written
alone, unchecked; then `netsold import --dry-run` and `netsold import` run, each as a process of its
own, start-up included. Memory is the peak of the command's process.
"""

from __future__ import annotations

import asyncio
import csv
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from bench import engines
from bench.replay import command
from operations.writing.event_lines import Outgoing, event_of
from schemas.times import DAY_MS, format_short
from streams import topics
from streams.log_writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings

SIZES: Final = (200_000, 1_000_000)
MAPPING: Final = Path(__file__).parents[1] / "docs/samples/mappings/online-retail/mapping.toml"
HEAD: Final = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
START_MS: Final = 1_780_000_000_000
LINES_OF_ORDER: Final = 5
SPAN: Final = 1000


def rows(count: int) -> Iterator[str]:
    """Rows of a year, orders in turn within a span; one in twenty is a return."""
    rng = Random(7)
    last, again = 0, ""
    for number in range(count):
        order = number // (LINES_OF_ORDER * SPAN) * SPAN + number % SPAN
        at = format_short(START_MS + 365 * DAY_MS * number // count // 1000 * 1000)[:19]
        product, buyer = int(4000 * rng.random() ** 2), order % 5000
        price = f"{1 + product % 20}.{product % 100:02}"
        row = f"{at.replace('T', ' ')},{price},{buyer},United Kingdom\n"
        if number % 20 == 19:
            yield f"C{number},{last},A RETURN OF IT,-1,{again}"
        else:
            yield f"{order},{product},SOMETHING WITH A NAME,{1 + number % 6},{row}"
        last, again = product, row


async def write_alone(settings: Settings, events: int) -> float:
    """Seconds to write as many events, of one order's size, without any check."""
    line = (
        '{"type":"order_placed","id":"o-1-placed","source":"/online-retail","occurred_at":'
        '"2026-07-01T08:00:00Z","order_id":"o-1","shop_id":"s","buyer_id":"b","currency":"GBP",'
        '"lines":['
        + ",".join(
            f'{{"line_id":"{n}","product_id":"p-{n}","quantity":2,"unit_price":1000}}'
            for n in range(LINES_OF_ORDER)
        )
        + "]}"
    )
    one = event_of(line.encode())
    assert isinstance(one, Outgoing)  # noqa: S101 - a bench
    await topics.create(settings)
    began = time.monotonic()
    async with Writer(settings) as writer:
        for number in range(events):
            key = f"o-{number}".encode()
            await writer.send(settings.topic(one.topic), key, one.value, one.headers)
    return time.monotonic() - began


def read_alone(path: Path) -> float:
    """Seconds to read a CSV by Python's parser."""
    began = time.monotonic()
    with path.open(encoding="utf-8", newline="") as file:
        for _ in csv.reader(file):
            pass
    return time.monotonic() - began


def show(settings: Settings, directory: Path, count: int) -> None:
    """Measure one size and print its table."""
    path = directory / "rows.csv"
    directory.mkdir(parents=True)
    with path.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        file.writelines(rows(count))
    events = 2 * count // LINES_OF_ORDER + count // 20
    print(f"{count:>11,} rows, {path.stat().st_size >> 20:,} MiB{'s':>10}{'rows/s':>12}{'MiB':>8}")
    for name, seconds in (
        ("reading alone", read_alone(path)),
        (f"writing {events:,} events", asyncio.run(write_alone(settings, events))),
    ):
        print(f"{name:30}{seconds:>8.1f}{count / seconds:>12,.0f}")
    for name, arguments in (
        ("dry run", ("--dry-run", "--json")),
        ("import", ("--json",)),
    ):
        done = command(
            settings,
            directory / name,
            ("import", "--mapping", str(MAPPING), *arguments, str(path)),
            count,
        )
        rate, peak = done.events_per_s, done.peak_rss_mb
        print(f"{name:30}{done.wall_s:>8.1f}{rate:>12,.0f}{peak:>8,.0f}")
    print()


if __name__ == "__main__":
    engines.by_size(show, SIZES)
