"""Since when a hanging transaction is in the way of workers, for a reader's metrics."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from streams.brokers import connected
from streams.hanging import observe_transactions
from tables.catalogue import STAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.settings import Settings

SEEK_SECONDS: Final = 10.0
"""How long one search may take."""


async def hanging_since_ms(settings: Settings, brokers: Sequence[int]) -> int | None:
    """When the oldest hanging transaction in the topics that workers read was last written to.

    In epoch milliseconds; None if none hangs. `brokers` are all that answer. A transaction whose
    transactional id this user may not describe is one that no coordinator knows. Raises
    KafkaUnreachable, KafkaError or TimeoutError.
    """
    topics = [settings.topic(stage.source) for stage in STAGES]
    async with asyncio.timeout(SEEK_SECONDS), connected(settings, "hanging") as client:
        seen = await observe_transactions(client, brokers, topics)
    now_ms = time.time_ns() // 1_000_000
    hanging = seen.hanging(now_ms, settings.transaction_timeout_ms)
    return min((one.last_ms for one in hanging), default=None)
