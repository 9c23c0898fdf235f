"""The same job in Quix Streams, in the style of its manual.

A fold per order, grouped by product and by shop, JSON states, exactly once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
from quixstreams import Application, message_context  # type: ignore[import-not-found]  # it is in an environment of its own

from bench import job

if TYPE_CHECKING:
    from quixstreams import State


def count_order(
    value: bytes, key: bytes, timestamp: int, headers: list[tuple[str, bytes]], state: State
) -> list[dict[str, Any]]:
    """The entries that follow from one event."""
    at = message_context()
    record = job.Fetched(at.offset, timestamp, key, value, headers)
    known = state.get("order")
    after, changed = job.fold(
        record, f"{at.topic}-{at.partition}", None if known is None else msgspec.json.encode(known)
    )
    if after is not None:
        state.set("order", msgspec.json.decode(after))
    return [msgspec.to_builtins(change) for change in changed]


class Store:
    """The states of one product or shop, by the table's name and the rest of the key."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, table: str, key: str) -> job.State | None:
        """A state; None if there is none."""
        found: job.State | None = self._state.get(f"{table} {key}")
        return found

    def set(self, table: str, key: str, state: job.State) -> None:
        """Store a state."""
        self._state.set(f"{table} {key}", state)


def count_product(change: dict[str, Any], state: State) -> None:
    """Add a change to its product's sums."""
    job.count_product(change, Store(state))


def count_shop(change: dict[str, Any], state: State) -> None:
    """Add a change to its shop's sums."""
    job.count_shop(change, Store(state))


def main() -> None:
    """Run until ended."""
    app = Application(
        broker_address=os.environ["BENCH_KAFKA"],
        consumer_group=os.environ["BENCH_APP"],
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        state_dir=os.environ["BENCH_DIRECTORY"],
        # 5 by default: too coarse for the bench, which measures progress by commits
        commit_interval=0.5,
    )
    source = app.topic(
        os.environ["BENCH_TOPIC"], key_deserializer="bytes", value_deserializer="bytes"
    )
    stream = app.dataframe(source)
    stream = stream.apply(count_order, stateful=True, metadata=True, expand=True)
    stream.filter(job.of_product).group_by("product_id").update(count_product, stateful=True)
    stream.filter(job.of_shop).group_by("shop_id").update(count_shop, stateful=True)
    app.run()


if __name__ == "__main__":
    main()
