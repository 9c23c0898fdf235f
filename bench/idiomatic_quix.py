"""The same job in Quix Streams as its manual writes it: a fold per order, grouped by product and by shop, JSON states, exactly once."""

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
    record = job.Fetched(at.offset, timestamp, key, value, headers)
    known = state.get("order")
    after, changed = job.fold(record, f"{at.topic}-{at.partition}", None if known is None else msgspec.json.encode(known))
    if after is not None:
        state.set("order", msgspec.json.decode(after))
    return [msgspec.to_builtins(entry) for entry in changed]


def count_subject(value: dict[str, Any], state: State) -> None:
    """Add an entry to its product's or shop's cycle, and to the total."""
    delta = msgspec.convert(value, Delta)
    for name in (str(job.CALENDAR.start_of_iso(delta.cycle)), job.TOTAL):
        known = state.get(name)
        tally = Tally() if known is None else sales.decode(msgspec.json.encode(known))
        state.set(name, msgspec.json.decode(sales.encode(job.add(tally, delta))))


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
    for subject in ("product_id", "shop_id"):
        stream.group_by(subject).update(count_subject, stateful=True)
    app.run()


if __name__ == "__main__":
    main()
