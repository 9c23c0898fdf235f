"""How fast the journal is exported, beside reading it alone, and in how much memory.

`python -m bench.export [ENTRIES …]`.

For each number, that many entries of sales are written to the journal of an application of its own,
with the tables that they add up to. Then the journal is read alone; `netsold export`, `export
verify` and queries run, each as a process of its own, start-up included; and the rows of entries
are written alone, from Arrow's form. Verify proves that the export is right. Memory is the peak of
the command's process.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from bench import engines
from bench.measure import Measured
from bench.replay import command, read_alone
from operations.exporting.files import FileWriter
from operations.exporting.forms import ENTRIES, TABLE_DATASETS
from operations.exporting.libraries import arrow
from operations.exporting.places import place_of
from operations.exporting.views import complete_of
from schemas.columns import RULES
from schemas.journal import Entry, ProgressMark, encode
from schemas.times import DAY_MS, format_ms
from streams import topics
from streams.log_writer import Writer
from streams.marks import MARK_KEY, Mark, encode_mark
from streams.partitioning import partition_of
from tables import catalogue, sales
from tables.sales import Tally
from tables.watermarks import SourceProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings

SIZES = (500_000, 1_000_000)
PRODUCTS = 5000
SHOPS = 300
DAYS = 120
START_MS = 1_780_000_000_000
QUERY = "SELECT cycle_start, sum(amount_net) FROM cycles GROUP BY ALL ORDER BY ALL"


def made(settings: Settings, entries: int) -> Iterator[Entry]:
    """Sales in the order of time, of products that sell unequally; one in 20 is reversed."""
    rng = Random(7)
    calendar = settings.terms.calendar
    source = f"{settings.topic(catalogue.ORDERS_TOPIC)}-0"
    for number in range(entries):
        product = int(PRODUCTS * rng.random() ** 3)
        at_ms = START_MS + DAYS * DAY_MS * number // entries
        amount, text = 100 + product, format_ms(at_ms)
        is_reversed = number % 20 == 0
        yield Entry(
            units_gross=1,
            units_reversed=int(is_reversed),
            units_booked=int(is_reversed),
            amount_gross=amount,
            amount_reversed=amount * is_reversed,
            amount_booked=amount * is_reversed,
            orders=1,
            product_id=f"p-{product}",
            currency="CNY",
            cycle=calendar.iso(calendar.start_of(at_ms)),
            restates=False,
            id=f"{source}@{number}#0",
            shop_id=f"s-{product % SHOPS}",
            buyer_id=f"b-{rng.randrange(100_000)}",
            order_id=f"o-{number}",
            line_id="1",
            sold_at=text,
            event_type="receipt_confirmed",
            event_id=f"e-{number}",
            event_source="/bench",
            occurred_at=text,
            rules=RULES,
            terms=settings.terms.name,
            refund_id=f"r-{number}" if is_reversed else None,
            refunded_at=text if is_reversed else None,
        )


async def load(settings: Settings, entries: int) -> None:
    """Write the journal, and the changelogs of what it adds up to."""
    await topics.create(settings)
    journal, calendar = (
        settings.topic(catalogue.SALES_TOPIC),
        settings.terms.calendar,
    )
    rows: defaultdict[str, defaultdict[bytes, Tally]] = defaultdict(lambda: defaultdict(Tally))
    ends = [0] * settings.partitions
    tables = [one.table for one in TABLE_DATASETS if one.table is not None]
    async with Writer(settings) as writer:
        for entry in made(settings, entries):
            partition = partition_of(entry.product_id.encode(), settings.partitions)
            ends[partition] += 1
            await writer.send(journal, entry.product_id.encode(), encode(entry), [], partition)
            for table in tables:
                if table.form == "sales":
                    id_ = getattr(entry, table.keyed_by).encode()
                    start_ms = calendar.start_of_iso(entry.cycle)
                    key = catalogue.cycle_key(id_, start_ms) if table.windowed else id_
                    rows[table.name][key].add(entry, entry.currency, 0)
        source = f"{settings.topic(catalogue.ORDERS_TOPIC)}-0"
        mark = encode(ProgressMark(source.removesuffix("-0"), 0, entries - 1, START_MS))
        for partition in range(settings.partitions):
            await writer.send(journal, None, mark, [], partition)
        for table in tables:
            topic = topics.changelog(settings, table.name)
            for key, tally in rows[table.name].items():
                id_ = key.rpartition(b"@")[0] if table.windowed else key
                partition = partition_of(id_, settings.partitions)
                await writer.send(topic, key, sales.encode(tally), [], partition)
            for partition, end in enumerate(ends):
                is_product = table.stage == catalogue.PRODUCT_STAGE.name
                last = Mark(
                    offset=end if is_product else -1,
                    watermark_ms=START_MS + DAYS * DAY_MS,
                    sources={source: SourceProgress(entries - 1, START_MS)},
                    topic=journal if is_product else settings.topic(catalogue.SHOP_ACTIVITY_TOPIC),
                    topic_id="bench",
                    partition=partition,
                )
                await writer.send(topic, MARK_KEY, encode_mark(last), [], partition)


def write_alone(place: str, directory: Path, entries: int) -> Measured:
    """Write files of entries as an export does, from rows that are in Arrow's form already."""
    source, target = place_of(place), place_of(str(directory / "alone"))
    files = [one for one in complete_of(source).files if one.dataset == ENTRIES.name]
    writer, parquet = FileWriter(target), arrow("pyarrow.parquet")
    wall_s = cpu_s = 0.0
    for number, one in enumerate(files):
        rows = parquet.read_table(source.full(one.path), partitioning=None)
        started_s, began_s = time.monotonic(), time.process_time()
        writer.write(ENTRIES, f"{number}", rows)
        wall_s += time.monotonic() - started_s
        cpu_s += time.process_time() - began_s
    writer.close()
    return Measured(entries, wall_s, cpu_s, 0.0)


def line(name: str, measured: Measured, alone: Measured) -> None:
    """Print a row."""
    print(
        f"{name:24}{measured.wall_s:>8.1f}{measured.events_per_s:>12,.0f}"
        f"{measured.cpu_s_per_million:>10.1f}{measured.events_per_s / alone.events_per_s:>9.0%}"
        f"{measured.peak_rss_mb:>8,.0f}"
    )


def show(settings: Settings, directory: Path, entries: int) -> None:
    """Measure one size and print its table."""
    asyncio.run(load(settings, entries))
    alone = asyncio.run(read_alone(settings, catalogue.SALES_TOPIC))
    print(
        f"{entries:>11,} entries{'s':>14}{'entries/s':>12}{'CPU s/M':>10}{'/reading':>9}{'MiB':>8}"
    )
    line("reading alone", alone, alone)
    place = str(directory / "files")
    os.environ["PYICEBERG_CATALOG__BENCH__URI"] = f"sqlite:///{directory}/lake.db"
    os.environ["PYICEBERG_CATALOG__BENCH__WAREHOUSE"] = f"file://{directory}/lake"
    (directory / "lake").mkdir(parents=True)
    for name, arguments in (
        ("start-up of a command", ("export", "verify", "--help")),
        ("export", ("export", "--to", place)),
        ("export, nothing new", ("export", "--to", place)),
        ("export verify", ("export", "verify", place)),
        ("sql", ("sql", "--export", place, QUERY)),
        ("sql, read from Kafka", ("sql", QUERY)),
        ("first to Iceberg", ("export", "--to", place, "--iceberg", "bench")),
    ):
        line(name, command(settings, directory / name, arguments, entries), alone)
    line("writing alone", write_alone(place, directory, entries), alone)
    files = list(Path(place).rglob("*.parquet"))
    size = sum(path.stat().st_size for path in files)
    print(f"{len(files):,} files, {size / 2**20:,.1f} MiB, {size / entries:.0f} bytes an entry\n")


if __name__ == "__main__":
    engines.by_size(show, SIZES)
