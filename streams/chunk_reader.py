"""Chunks of what is fetched, partition by partition, each chained to the one before it.

Nothing here knows Faust: `streams/chunks.py` brings the fetches and carries the chunks on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from streams.fetched import Chunk, Fetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import TopicPartition
    from aiokafka.consumer.fetcher import FetchResult

    from schemas.envelope import Record


@dataclass(frozen=True, slots=True)
class FetchRange:
    """Fetch positions of a partition, half-open."""

    start: int
    end: int


class FetchedRecords(Protocol):
    """Where fetches come from, and what must learn how far they are read."""

    def advance(self, result: FetchResult, partition: TopicPartition, read: FetchRange) -> None:
        """Positions that were read of a fetch."""

    def end(self, result: FetchResult, partition: TopicPartition) -> None:
        """Nothing more is read of a fetch: the next one begins when its partition is due."""


class ChunkReader:
    """Reads fetches chunk by chunk."""

    def __init__(self, fetched: FetchedRecords) -> None:
        self._fetched = fetched
        self._fetches: dict[TopicPartition, Fetch] = {}
        self._undelivered: dict[TopicPartition, FetchRange] = {}
        """Behind each partition's last chunk: control records alone."""

    def next_chunk(
        self,
        partition: TopicPartition,
        result: FetchResult,
        most: int,
        decode: Callable[[Record], Any],
    ) -> Chunk | None:
        """The next chunk of a fetch, of at most `most` records.

        None if it has no more records, or doesn't continue the partition any more. Raises Fatal;
        nothing more is read of the fetch then.
        """
        fetch = self._fetches.get(partition)
        if fetch is None or fetch.result is not result:
            if not result.has_more():  # read already: the consumer's thread has yet to forget it
                return None
            fetch = self._fetches[partition] = Fetch(partition, result)
        if not fetch.is_current():
            self._forget(fetch)
            return None
        start = fetch.position
        try:
            readings = fetch.read(most, decode)
        except BaseException:
            self._forget(fetch)  # a half-read fetch must never be resumed
            raise
        self._fetched.advance(result, partition, FetchRange(start, fetch.position))
        if not fetch.more:
            self._forget(fetch)
        start = self._chained(partition, start, fetch.position, delivered=bool(readings))
        return (
            Chunk(partition, readings, start, fetch.position, fetch.records) if readings else None
        )

    def _chained(self, partition: TopicPartition, start: int, end: int, *, delivered: bool) -> int:
        """The start that also covers the control records before it, unless somebody has sought."""
        before = self._undelivered.get(partition)
        if before is not None and before.end == start:
            start = before.start
        self._undelivered[partition] = FetchRange(end if delivered else start, end)
        return start

    def _forget(self, fetch: Fetch) -> None:
        del self._fetches[fetch.partition]
        self._fetched.end(fetch.result, fetch.partition)

    def lag(self, partition: TopicPartition, position: int, stable: int) -> int:
        """Records from a lane's position to the last stable offset, control records left out.

        Behind the last stable offset lie other producers' open transactions: waiting for them is no
        stall of ours.
        """
        behind = self._undelivered.get(partition)
        if behind is not None and behind.start == position:
            position = behind.end
        return max(0, stable - position)
