"""The same job in Faust, in the style of its manual.

Three agents, nine tables in RocksDB, JSON, at least once.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import faust
import msgspec

from bench import job

ORDERS = "orders"
CONCERNED = {"product": job.of_product, "shop": job.of_shop}


def build_app() -> faust.App:
    """The application; its topic and directory are in the environment."""
    app = faust.App(
        os.environ["BENCH_APP"],
        broker=f"kafka://{os.environ['BENCH_KAFKA']}",
        store="rocksdb://",  # by the driver that is installed: rocksdict
        datadir=os.environ["BENCH_DIRECTORY"],
        topic_partitions=int(os.environ["BENCH_PARTITIONS"]),
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        # 2.8 by default: too coarse for the bench, which measures progress by commits
        broker_commit_interval=0.5,
        web_enabled=False,
    )
    source = app.topic(
        os.environ["BENCH_TOPIC"],
        key_type=bytes,
        value_type=bytes,
        value_serializer="raw",
        key_serializer="raw",
    )
    entries = {
        subject: app.topic(
            f"{os.environ['BENCH_APP']}-{subject}-entries",
            key_type=str,
            key_serializer="raw",
            internal=True,
        )
        for subject in CONCERNED
    }
    orders = app.Table(ORDERS)

    @app.agent(source)  # type: ignore[untyped-decorator]  # Faust's
    async def count_orders(stream: faust.StreamT) -> None:
        async for event in stream.events():
            message = event.message
            order_id = message.key.decode()
            record = job.Fetched(
                message.offset,
                0,
                message.key,
                message.value,
                list(message.headers.items())
                if isinstance(message.headers, dict)
                else message.headers,
            )
            known = orders.get(order_id)
            state, changed = job.fold(
                record,
                f"{message.topic}-{message.partition}",
                None if known is None else msgspec.json.encode(known),
            )
            if state is not None:
                orders[order_id] = msgspec.json.decode(state)
            for change in map(msgspec.to_builtins, changed):
                for subject, concerned in CONCERNED.items():
                    if concerned(change):
                        await entries[subject].send(key=change[f"{subject}_id"], value=change)

    for subject, count in (("product", job.count_product), ("shop", job.count_shop)):
        app.agent(entries[subject], name=f"count-{subject}s")(_adding(app, subject, count))
    return app


class Store:
    """The states of one product or shop, by its id and the rest of the key."""

    def __init__(self, tables: dict[str, faust.Table], subject: str) -> None:
        self._tables = tables
        self._subject = subject

    def get(self, table: str, key: str) -> job.State | None:
        """A state; None if there is none."""
        found: job.State | None = self._tables[table].get(f"{self._subject} {key}")
        return found

    def set(self, table: str, key: str, state: job.State) -> None:
        """Store a state."""
        self._tables[table][f"{self._subject} {key}"] = state


def _adding(
    app: faust.App, subject: str, count: Callable[[dict[str, Any], Store], None]
) -> Callable[[faust.StreamT], Awaitable[None]]:
    """The agent that adds changes to the sums of a product or shop."""
    tables = {name: app.Table(name) for name in job.TABLES[subject]}

    async def add(stream: faust.StreamT) -> None:
        async for change in stream:
            count(change, Store(tables, change[f"{subject}_id"]))

    return add


if __name__ == "__main__":
    # Not "warn": there its start-up spinner leaves the root logger at DEBUG, which halves its rate.
    faust.Worker(build_app(), loglevel="info").execute_from_commandline()
