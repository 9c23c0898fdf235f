"""The lane that begins a new group: its transaction decides by whose terms the group counts.

Two workers with different rules files that begin a group at one moment would each find no state.
So every other lane of a new group is begun only behind this one, by its terms.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from streams.standstill import Standstill
from streams.unfit import refuse_others_layout
from tables.catalogue import ORDERS_TOPIC

if TYPE_CHECKING:
    from streams.cluster import Cluster
    from streams.settings import Settings

EVERY_SECONDS: Final = 0.5
"""Between two requests for the group's offsets."""

WAITING: Final = "a new group begins with this partition, at another worker of it: waiting"


def first_source(settings: Settings) -> TopicPartition:
    """The source partition of the lane that is begun first."""
    return TopicPartition(settings.topic(ORDERS_TOPIC), 0)


async def begun(settings: Settings, kafka: Cluster) -> None:
    """Wait until the first lane's start is committed. Raises StateUnfit where its terms are others.

    Its worker is in the group, too: where that one ends, the group assigns partitions again, which
    ends this wait.
    """
    first, still = first_source(settings), Standstill(WAITING, "partitions")
    while True:
        offsets = await kafka.group_offsets()
        refuse_others_layout(settings, offsets)
        if first in offsets and offsets[first].offset >= 0:
            return
        still.watch([f"{first.topic}-{first.partition}"])
        await asyncio.sleep(EVERY_SECONDS)
