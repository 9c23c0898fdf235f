"""The journal as JSON lines, for any program that reads files.

python export.py BOOTSTRAP [TOPIC] > sales.jsonl
"""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer


async def main(bootstrap: str, topic: str = "sales") -> None:
    """Print the records up to the present end, each with its partition and offset."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",  # or aborted records count, too
    )
    async with consumer:
        partitions = list(consumer.assignment())
        if not partitions:
            sys.exit(f"there is no topic {topic}")
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            for at, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    row = json.loads(record.value)
                    place = {"journal_partition": at.partition, "offset": record.offset}
                    print(json.dumps(place | {"record": row}, ensure_ascii=False))


asyncio.run(main(*sys.argv[1:]))
