"""What each compression of public topics costs, and how small it makes them.

`python -m bench.compression [EVENTS]`, without Kafka: the records of simulated events, and of the
journals that the stages make of them, in batches as a worker's producer builds them. CPU is that of
building or reading all batches of a topic, the least of some passes.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from typing import TYPE_CHECKING, get_args

from aiokafka.record.default_records import DefaultRecordBatch
from rich.console import Console
from rich.table import Table

from operations.simulation.traffic import Plan, traffic
from schemas import limits
from schemas.times import DAY_MS, parse_ms
from streams import compression
from streams.settings import Compression
from tables.catalogue import ORDERS_TOPIC, SALES_TOPIC, SHOP_ACTIVITY_TOPIC
from tests.flow import Flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flow import Record

EVENTS = 20_000
PASSES = 3


def built(records: list[Record], codec: Compression) -> list[bytes]:
    """The records in batches of the usual size, compressed."""
    found = []
    batch = compression.batch(limits.BATCH_BYTES, codec, transactional=True)
    for record in records:
        parts = {"key": record.key, "value": record.value, "headers": record.headers}
        while batch.append(timestamp=record.timestamp, **parts) is None:
            found.append(bytes(batch._build()))  # noqa: SLF001 - as the sender does
            batch = compression.batch(limits.BATCH_BYTES, codec, transactional=True)
    return [*found, bytes(batch._build())]  # noqa: SLF001


def read(batches: list[bytes]) -> int:
    """How many records the batches have, all of them read."""
    return sum(1 for batch in batches for _ in DefaultRecordBatch(batch))


def cpu_ms(work: Callable[[], object]) -> float:
    """The least CPU time of some passes."""
    passes = []
    for _ in range(PASSES):
        began = time.process_time()
        work()
        passes.append(time.process_time() - began)
    return min(passes) * 1000


def main() -> None:
    """Print a row for each topic and codec."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", type=int, nargs="?", default=EVENTS)
    count = parser.parse_args().events
    compression.quicken()
    plan = Plan(8, "c", parse_ms("2026-07-01T00:00:00Z"), 75 * DAY_MS / count)
    flow = Flow().take(event for _, event in islice(traffic(plan), count))
    shown = Table("topic", "codec", "build, CPU ms", "read, CPU ms", "kB")
    for topic in (ORDERS_TOPIC, SALES_TOPIC, SHOP_ACTIVITY_TOPIC):
        records = [one for (name, _), log in flow.logs.items() if name == topic for one in log]
        for codec in get_args(Compression):
            batches = built(records, codec)
            if read(batches) != len(records):
                raise SystemExit(f"{codec} doesn't give back what it was given")
            size = sum(map(len, batches)) / 1000
            build_ms = cpu_ms(lambda codec=codec, records=records: built(records, codec))  # type: ignore[misc]
            read_ms = cpu_ms(lambda batches=batches: read(batches))  # type: ignore[misc]
            shown.add_row(topic, codec, f"{build_ms:.0f}", f"{read_ms:.0f}", f"{size:,.0f}")
    Console().print(shown)


if __name__ == "__main__":
    main()
