"""Reading alone, the limit of every engine: aiokafka's getmany, without processing the records."""

from __future__ import annotations

import asyncio
import os

from aiokafka import AIOKafkaConsumer

COMMIT_EVERY = 20_000


async def main() -> None:
    """Read until ended, and commit often, so that progress is measured like the engines'."""
    consumer = AIOKafkaConsumer(
        os.environ["BENCH_TOPIC"],
        bootstrap_servers=os.environ["BENCH_KAFKA"],
        group_id=os.environ["BENCH_APP"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    uncommitted = 0
    try:
        while True:
            fetched = await consumer.getmany(timeout_ms=100, max_records=4000)
            uncommitted += sum(map(len, fetched.values()))
            if uncommitted >= COMMIT_EVERY or (uncommitted and not fetched):
                await consumer.commit()
                uncommitted = 0
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())
