"""Reads what a consumer has fetched in whole batches, in another thread than the consumer's.

aiokafka's `getmany` makes an object in Python of each record, and does so in the event loop. Here
records stay what its batches are parsed into, several times as fast, and decompressing and parsing
leave the loop free for answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.chunk_reader import FetchRange
from streams.fetch_buffer import FetchBuffer
from streams.fetched import Fetch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.consumer.fetcher import FetchResult

    from schemas.envelope import Record


class BulkReader:
    """Reads a consumer's committed records; used in the consumer's loop, by one task."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._buffer = FetchBuffer(consumer._fetcher)  # noqa: SLF001 - no public way
        self._fetches: dict[TopicPartition, Fetch] = {}
        """Those that are not yet read to their end."""

    async def read(
        self, most: int, timeout_s: float, only: AbstractSet[TopicPartition] | None = None
    ) -> dict[TopicPartition, list[Record]]:
        """The next records by partition, and moves the consumer behind them.

        They end with the batch in which there are `most`; those of partitions that `only` does not
        name stay fetched. Waits for `timeout_s` if none are fetched. Raises what a fetch failed
        with.
        """
        assigned = self._consumer.assignment()
        active = assigned if only is None else assigned & only
        waiting = self._buffer.waiting(active)
        if not waiting:
            await self._buffer.wait(timeout_s)
            waiting = self._buffer.waiting(active)
        if not waiting:
            return {}
        fetches = {tp: self._fetch(tp, result) for tp, result in waiting.items()}
        starts = {tp: fetch.position for tp, fetch in fetches.items()}
        found = await asyncio.to_thread(_read, fetches, most)
        for tp, fetch in fetches.items():
            self._buffer.advance(fetch.result, tp, FetchRange(starts[tp], fetch.position))
            if not fetch.more:
                del self._fetches[tp]
                self._buffer.forget(fetch.result, tp)
        return found

    def _fetch(self, tp: TopicPartition, result: FetchResult) -> Fetch:
        fetch = self._fetches.get(tp)
        if fetch is None or fetch.result is not result:
            fetch = self._fetches[tp] = Fetch(tp, result)
        return fetch


def _read(fetches: Mapping[TopicPartition, Fetch], most: int) -> dict[TopicPartition, list[Record]]:
    found: dict[TopicPartition, list[Record]] = {}
    left = most
    for tp, fetch in fetches.items():
        if left <= 0:
            break
        records = fetch.read_batches(left)
        left -= len(records)
        if records:
            found[tp] = records
    return found
