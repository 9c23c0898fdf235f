"""What aiokafka has fetched and the worker has not read yet.

aiokafka's public way hands over single records and moves the consumer's position with them. Chunks
are read in another thread, so the private parts of its fetcher are used, all of them here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka.consumer.fetcher import FetchError, FetchResult

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from aiokafka import TopicPartition

    from streams.chunk_reader import FetchRange


class FetchBuffer:
    """The fetches of one aiokafka fetcher; used in the consumer's thread alone."""

    def __init__(self, fetcher: Any) -> None:
        self._fetcher = fetcher

    def waiting(self, active: AbstractSet[TopicPartition]) -> dict[TopicPartition, FetchResult]:
        """The fetches of active partitions that wait to be read. Raises what a fetch failed with.

        None while partitions are being reassigned: a fetch may be another owner's by then.
        """
        if self._fetcher._subscriptions.reassignment_in_progress:  # noqa: SLF001 - no public way
            return {}
        fetches = self._fetcher._records.items()  # noqa: SLF001 - as above
        waiting = {partition: fetch for partition, fetch in fetches if partition in active}
        for partition, fetch in waiting.items():
            if isinstance(fetch, FetchError):
                self.forget(fetch, partition)
                fetch.check_raise()
        return waiting

    async def wait(self, timeout_s: float | None) -> None:
        """Wait for the next fetch. Raises what makes further fetches impossible."""
        waiter = self._fetcher._create_fetch_waiter()  # noqa: SLF001 - as above
        done, _ = await asyncio.wait([waiter], timeout=timeout_s)
        waiter.cancel()
        for fetched in done:
            fetched.result()  # an authorization error ends the consumer, it must not be lost

    def advance(self, result: FetchResult, partition: TopicPartition, read: FetchRange) -> None:
        """Move the consumer behind what was read, unless somebody has sought in the meantime."""
        state = result._assignment.state_value(partition)  # noqa: SLF001 - as above
        if state.has_valid_position and state.position == read.start:
            state.consumed_to(read.end)

    def forget(self, fetch: FetchResult | FetchError, partition: TopicPartition) -> None:
        """Drop a fetch, so that the next one of its partition can begin."""
        fetcher = self._fetcher
        if fetcher._records.get(partition) is fetch:  # noqa: SLF001 - as above
            del fetcher._records[partition]  # noqa: SLF001 - as above
            fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001 - as above
