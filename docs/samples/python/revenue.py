"""Revenue by day from the journal, and through when it is complete.

python revenue.py BOOTSTRAP [TOPIC]
"""

import asyncio
import json
import sys
from collections import Counter
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer


async def main(bootstrap: str, topic: str = "sales") -> None:
    """Read the topic up to its present end, and print one JSON object."""
    revenue: Counter[tuple[str, str]] = Counter()
    marks: dict[tuple[int, int], int | None] = {}
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
                    if row["type"] == "entry":
                        revenue[row["sold_at"][:10], row["currency"]] += (
                            row["amount_gross"] - row["amount_reversed"]
                        )
                    elif row["type"] == "mark":
                        marks[at.partition, row["partition"]] = row["watermark_ms"]
    known = len(marks) == len(partitions) ** 2 and None not in marks.values()
    through = min(filter(None, marks.values())) / 1000 if known else None
    print(
        json.dumps(
            {
                "complete_through": through and datetime.fromtimestamp(through, UTC).isoformat(),
                "revenue": [[*key, amount] for key, amount in sorted(revenue.items()) if amount],
            }
        )
    )


asyncio.run(main(*sys.argv[1:]))
