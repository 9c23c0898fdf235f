"""How fast files are imported, beside reading and writing alone, and in what memory.

`python -m bench.importing [table] [events] [ROWS …]`.

For each number, a CSV of that many rows is made (`table`): orders of five rows each, shuffled
within a span, and a return for every twentieth row; and a JSONL of that many events in their own
form (`events`), orders of one line. Each is read alone, by Python's parser or line by line, then
imported by `netsold import`, and as many events are written alone, unchecked. Commands are
processes of their own, start-up included; CPU and the peak of memory are theirs. One that is slower
than LEAST_RATE rows a second is ended. A dry run, whose tables are in memory, is measured up to
MOST_DRY_ROWS.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from bench import engines
from bench.measure import EngineFailed, Measured, processes
from bench.replay import CLI, SAMPLE_S
from operations.replaying.processes import quiet
from operations.writing.event_lines import Outgoing, event_of
from schemas.times import DAY_MS, format_short
from streams import topics
from streams.log_writer import Writer

if TYPE_CHECKING:
    from streams.settings import Settings

SIZES: Final = (200_000,)
KINDS: Final = ("table", "events")
MOST_DRY_ROWS: Final = 200_000
LEAST_RATE: Final = 1_000
START_UP_S: Final = 60.0
MAPPING: Final = Path(__file__).parents[1] / "docs/samples/mappings/online-retail/mapping.toml"
HEAD: Final = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
START_MS: Final = 1_700_000_000_000
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


def event(number: int, count: int, lines: int) -> str:
    """An order in its own form, one of `count` in a year."""
    at = format_short(START_MS + 365 * DAY_MS * number // count)
    claimed = ",".join(
        f'{{"line_id":"{line}","product_id":"p-{(number + line) % 4000}","quantity":2,'
        '"unit_price":1000}'
        for line in range(lines)
    )
    return (
        f'{{"type":"order_placed","id":"o-{number}-placed","source":"/bench","occurred_at":"{at}",'
        f'"order_id":"o-{number}","shop_id":"s","buyer_id":"b-{number % 5000}","currency":"GBP",'
        f'"lines":[{claimed}]}}\n'
    )


def measured(count: int, work: Callable[[], object]) -> Measured:
    """Work of this process, for so many rows."""
    began_s, cpu_s = time.monotonic(), time.process_time()
    work()
    return Measured(count, time.monotonic() - began_s, time.process_time() - cpu_s, 0.0)


def kinds() -> set[str]:
    """What the command line names of `table` and `events`; both where it names none."""
    return {*KINDS} & {*sys.argv} or {*KINDS}


async def write_alone(settings: Settings, events: int, lines: int) -> None:
    """Write as many events, of one order's size, without any check."""
    one = event_of(event(1, 2, lines).encode())
    if not isinstance(one, Outgoing):
        raise EngineFailed(f"the bench's own event is refused: {one}")
    async with Writer(settings) as writer:
        for number in range(events):
            key = f"o-{number}".encode()
            await writer.send(settings.topic(one.topic), key, one.value, one.headers)


def _read_csv(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        for _ in csv.reader(file):
            pass


def _read_lines(path: Path) -> None:
    with path.open("rb") as file:
        for _ in file:
            pass


def command(
    settings: Settings, directory: Path, count: int, *arguments: str
) -> tuple[Measured, dict[str, object]]:
    """Run an import to its end; also what it printed. Raises EngineFailed."""
    within_s = START_UP_S + count / LEAST_RATE
    with processes(directory) as running:
        began_s, cpu_s = time.monotonic(), 0.0
        running.start((*CLI, "import", "--json", *arguments), engines.environment_of(settings))
        (process,) = running.started
        while process.poll() is None:
            cpu_s = max(cpu_s, running.sample())
            if time.monotonic() - began_s > within_s:
                raise EngineFailed(f"{arguments}: has no end within {within_s:,.0f} s")
            time.sleep(SAMPLE_S)
        wall_s = time.monotonic() - began_s
        if process.returncode:
            raise EngineFailed(f"{arguments}: exit code {process.returncode}: {running.log_tail()}")
        found = json.loads(running.logs[0].read_text().splitlines()[-1])
        return Measured(count, wall_s, cpu_s, running.peak_rss_mb), found


def line(name: str, one: Measured) -> None:
    """Print a row."""
    memory = f"{one.peak_rss_mb:>8,.0f}" if one.peak_rss_mb else ""
    rate, cpu_s = one.events_per_s, one.cpu_s_per_million
    print(f"{name:32}{one.wall_s:>9.1f}{rate:>12,.0f}{cpu_s:>10.1f}{memory}", flush=True)


def _made(path: Path, head: str, some: Iterator[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(head)
        file.writelines(some)


def show(settings: Settings, directory: Path, count: int) -> None:
    """Measure one size and print its tables."""
    directory.mkdir(parents=True)
    asyncio.run(topics.create(settings))
    if "table" in kinds():
        show_table(settings, directory, count)
    if "events" in kinds():
        show_events(settings, directory, count)


def show_table(settings: Settings, directory: Path, count: int) -> None:
    """Measure a CSV by a mapping."""
    table, mapping = directory / "rows.csv", directory / "mapping.toml"
    # no hour of the bench's year is left out, or comes twice
    text = MAPPING.read_text(encoding="utf-8").replace("Europe/London", "UTC")
    mapping.write_text(text, encoding="utf-8")
    _made(table, HEAD, rows(count))
    size = f"{count:,} rows, {table.stat().st_size >> 20:,} MiB"
    print(f"{size:32}{'s':>9}{'rows/s':>12}{'CPU s/M':>10}{'MiB':>8}", flush=True)
    line("reading the CSV alone", measured(count, lambda: _read_csv(table)))
    arguments = ("--mapping", str(mapping), str(table))
    one, found = command(settings, directory / "by", count, *arguments)
    line("import --mapping", one)
    _write(settings, count, int(str(found["written"])), LINES_OF_ORDER)
    if count <= MOST_DRY_ROWS:
        one, _ = command(settings, directory / "dry", count, "--dry-run", *arguments)
        line("import --mapping --dry-run", one)
    table.unlink()
    print(flush=True)


def show_events(settings: Settings, directory: Path, count: int) -> None:
    """Measure a JSONL of events."""
    own = directory / "own.jsonl"
    _made(own, "", (event(number, count, 1) for number in range(count)))
    size = f"{count:,} events, {own.stat().st_size >> 20:,} MiB"
    print(f"{size:32}{'s':>9}{'events/s':>12}{'CPU s/M':>10}{'MiB':>8}", flush=True)
    line("reading the JSONL alone", measured(count, lambda: _read_lines(own)))
    line("import", command(settings, directory / "own", count, str(own))[0])
    _write(settings, count, count, 1)
    own.unlink()
    print(flush=True)


def _write(settings: Settings, count: int, events: int, lines: int) -> None:
    work = measured(count, lambda: asyncio.run(write_alone(settings, events, lines)))
    line(f"writing {events:,} events alone", work)


if __name__ == "__main__":
    quiet()
    sizes = [int(one) for one in sys.argv[1:] if one not in KINDS]
    engines.of_sizes(show, sizes or SIZES)
