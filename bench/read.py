"""Reading alone, the limit of every engine: aiokafka's getmany, and nothing done with the records."""

from __future__ import annotations

import asyncio
import os

from aiokafka import AIOKafkaConsumer


async def main() -> None:
    """Read until ended, committing often, so that progress is seen as that of the engines."""
    consumer = AIOKafkaConsumer(
        os.environ["BENCH_TOPIC"],
        bootstrap_servers=os.environ["BENCH_KAFKA"],
        group_id=os.environ["BENCH_APP"],
        auto_offset_reset="earliest",
        auto_commit_interval_ms=100,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        while True:
            await consumer.getmany(timeout_ms=100, max_records=4000)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())
