"""The log that a replay reads: spans of partitions, and transactions that were read in part."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from schemas import limits
from streams import log
from streams.cut_transactions import cut_transactions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from schemas.envelope import Record
    from streams.cut_transactions import CutTransaction
    from streams.log import At
    from streams.settings import Settings


class SpanStep(NamedTuple):
    """Some records by partition, and the positions of all partitions after them."""

    records: dict[At, Sequence[Record]]
    positions: dict[At, int]


class ReplayLog(Protocol):
    """Topics by their names on the cluster; only what is committed."""

    async def bounds(self, topics: Iterable[str]) -> tuple[dict[At, int], dict[At, int]]:
        """Beginning and high watermark of every partition."""

    def spans(
        self, starts: Mapping[At, int], ends: Mapping[At, int]
    ) -> AsyncGenerator[SpanStep, None]:
        """The records of partitions, `start` ≤ offset < `end`; each in its order."""

    async def cuts(self, at: At, offset: int) -> list[CutTransaction]:
        """The transactions of a journal's partition that were read in part up to `offset`."""


@dataclass(frozen=True, slots=True)
class KafkaLog:
    """Kafka's log. Its methods raise KafkaUnreachable, KafkaError or OSError."""

    settings: Settings

    async def bounds(self, topics: Iterable[str]) -> tuple[dict[At, int], dict[At, int]]:
        """See `ReplayLog`."""
        return await log.bounds(self.settings, topics)

    async def spans(
        self, starts: Mapping[At, int], ends: Mapping[At, int]
    ) -> AsyncGenerator[SpanStep, None]:
        """See `ReplayLog`."""
        left = {at: start for at, start in starts.items() if start < ends[at]}
        if not left:
            return
        known = {at: ends[at] for at in left}
        reading = log.follow(self.settings, left, lambda: limits.FOLLOW_RECORDS, known)
        async with aclosing(reading) as steps:
            async for step in steps:
                records = {at: _before(found, ends[at]) for at, found in step.records.items()}
                yield SpanStep(records, {at: min(step.positions[at], ends[at]) for at in left})
                # a log that ends in control records never delivers its last offset
                if all(step.positions[at] >= ends[at] or at not in step.behind for at in left):
                    return

    async def cuts(self, at: At, offset: int) -> list[CutTransaction]:
        """See `ReplayLog`."""
        return await cut_transactions(self.settings, at, offset)


def _before(records: Sequence[Record], end: int) -> Sequence[Record]:
    if not records or records[-1].offset < end:
        return records
    return [record for record in records if record.offset < end]
