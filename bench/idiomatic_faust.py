"""The same job in Faust as its manual writes it: three agents, five tables in RocksDB, JSON, at least once."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import faust
import msgspec

from bench import job
from schemas.journal import Delta
from tables import sales
from tables.sales import Tally

ORDERS = "orders"
SUBJECTS = ("product", "shop")


def build_app() -> faust.App:
    """The application; which topic it reads and where its files lie comes from the environment."""
    app = faust.App(
        os.environ["BENCH_APP"],
        broker=f"kafka://{os.environ['BENCH_KAFKA']}",
        store="rocksdb://",  # by the driver that is installed: rocksdict
        datadir=os.environ["BENCH_DIRECTORY"],
        topic_partitions=int(os.environ["BENCH_PARTITIONS"]),
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        broker_commit_interval=0.5,  # 2.8 by default: too coarse for the bench's clock, which sees progress by commits
        web_enabled=False,
    )
    source = app.topic(os.environ["BENCH_TOPIC"], key_type=bytes, value_type=bytes, value_serializer="raw", key_serializer="raw")
    entries = {
        subject: app.topic(f"{os.environ['BENCH_APP']}-{subject}-entries", key_type=str, key_serializer="raw", internal=True)
        for subject in SUBJECTS
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
                list(message.headers.items()) if isinstance(message.headers, dict) else message.headers,
            )
            known = orders.get(order_id)
            state, changed = job.fold(record, f"{message.topic}-{message.partition}", None if known is None else msgspec.json.encode(known))
            if state is not None:
                orders[order_id] = msgspec.json.decode(state)
            for entry in changed:
                for subject in SUBJECTS:
                    await entries[subject].send(key=getattr(entry, f"{subject}_id"), value=msgspec.to_builtins(entry))

    for subject in SUBJECTS:
        app.agent(entries[subject], name=f"count-{subject}s")(_adding(app, subject))
    return app


def _adding(app: faust.App, subject: str) -> Callable[[faust.StreamT], Awaitable[None]]:
    """The agent that adds entries to the cycles and totals of a product or shop."""
    cycles, totals = app.Table(f"{subject}_cycles"), app.Table(f"{subject}_totals")

    async def count(stream: faust.StreamT) -> None:
        async for value in stream:
            delta = msgspec.convert(value, Delta)
            key = value[f"{subject}_id"]
            for table, name in ((cycles, f"{key}@{job.CALENDAR.start_of_iso(delta.cycle)}"), (totals, key)):
                known = table.get(name)
                tally = Tally() if known is None else sales.decode(msgspec.json.encode(known))
                table[name] = msgspec.json.decode(sales.encode(job.add(tally, delta)))

    return count


if __name__ == "__main__":
    # Not "warn": there its start-up spinner leaves the root logger at DEBUG, which halves its rate.
    faust.Worker(build_app(), loglevel="info").execute_from_commandline()
