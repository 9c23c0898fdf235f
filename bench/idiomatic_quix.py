"""The same job in Quix Streams as its manual writes it: a fold per order, grouped by product, states in RocksDB, exactly once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
from quixstreams import Application, message_context  # type: ignore[import-not-found]  # it is in an environment of its own

from bench import job
from schemas.journal import Delta
from tables import sales
from tables.sales import Tally

if TYPE_CHECKING:
    from quixstreams import State


def count_order(value: bytes, key: bytes, timestamp: int, headers: list[tuple[str, bytes]], state: State) -> list[dict[str, Any]]:
    """The entries that follow from one event."""
    at = message_context()
    record = job.Record(at.topic, at.partition, at.offset, timestamp, key, value, headers)
    after, changed = job.fold(record, state.get_bytes("order"))
    if after is not None:
        state.set_bytes("order", after)
    return [msgspec.to_builtins(entry) for entry in changed]


def count_product(value: dict[str, Any], state: State) -> None:
    """Add an entry to its product's cycle, and to the product's total."""
    delta = msgspec.convert(value, Delta)
    for name in (str(job.CALENDAR.start_of_iso(delta.cycle)), job.TOTAL):
        known = state.get_bytes(name)
        state.set_bytes(name, sales.encode(job.add(Tally() if known is None else sales.decode(known), delta)))


def main() -> None:
    """Run until ended."""
    app = Application(
        broker_address=os.environ["BENCH_KAFKA"],
        consumer_group=os.environ["BENCH_APP"],
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        state_dir=os.environ["BENCH_DIRECTORY"],
        commit_interval=0.5,  # 5 by default: too coarse for the bench's clock, which sees progress by commits
    )
    source = app.topic(os.environ["BENCH_TOPIC"], key_deserializer="bytes", value_deserializer="bytes")
    stream = app.dataframe(source)
    stream = stream.apply(count_order, stateful=True, metadata=True, expand=True)
    stream.group_by("product_id").update(count_product, stateful=True)
    app.run()


if __name__ == "__main__":
    main()
