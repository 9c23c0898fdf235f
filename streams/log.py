"""Plain reading of topics, for tools and readers: no groups, no state, committed records only.

`records` ends at the log's end as it is at the call, `follow` never ends. Neither moves a committed
offset. `streams/log_writer.py` writes.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import limits
from schemas.positions import offset_after
from streams import batches, broker_access
from streams.bulk_reading import BulkReader
from streams.errors import KafkaUnreachable

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from aiokafka.structs import ConsumerRecord

    from schemas.envelope import Record
    from streams.settings import Settings

At = tuple[str, int]
"""A partition: the topic's name on the cluster, and the partition's number."""

LONG_POLL_MS = 100
"""How long a broker waits for new records before it answers a fetch."""

POLL_MS = 500
FIRST_POLL_MS = 25
"""The same where a single record is read: control records alone end no waiting."""

QUIET_ANSWERS = 2
"""After this many answers without records, with everything before the end stable, there are no
more records. One is not enough: its records may arrive just after `getmany` stopped waiting."""


READING_FAILS: Final = (KafkaUnreachable, KafkaError, OSError)
"""What reading raises where Kafka is unreachable, or cannot give the records."""


async def ends(settings: Settings, topics: Iterable[str]) -> dict[At, int]:
    """The high watermark of every partition of topics (names on the cluster).

    It is the offset of the next record. Raises KafkaUnreachable.
    """
    return (await bounds(settings, topics))[1]


async def records(
    settings: Settings,
    topic: str,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
    most: int | None = None,
) -> AsyncGenerator[list[ConsumerRecord], None]:
    """Committed records of all partitions of a topic, `start` ≤ offset < `end`.

    Yields lists of one partition each, in the partition's order, of at most `most` records if that
    is given, else of all that were fetched at once. Partitions that `start` or `end`
    does not name are read from the log's beginning to its high watermark at the call. A transaction
    that is open at the end is waited for. Leave the loop early only under `contextlib.aclosing`.
    Raises KafkaUnreachable, and aiokafka's OffsetOutOfRangeError where the log no longer has a
    start.
    """
    beginnings, highs = await bounds(settings, [topic])
    starts = {at: (start or {}).get(at[1], beginning) for at, beginning in beginnings.items()}
    targets = {at: (end or {}).get(at[1], high) for at, high in highs.items()}
    left = {
        at: _Remaining(targets[at], position)
        for at, position in starts.items()
        if position < targets[at]
    }
    if not left:
        return
    async with _reader(settings, {at: starts[at] for at in left}) as consumer:
        while left:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=most)
            for at, remaining in list(left.items()):
                tp = TopicPartition(*at)
                found = fetched.get(tp, [])
                if found and found[-1].offset >= remaining.end:
                    found = [record for record in found if record.offset < remaining.end]
                if remaining.over(
                    await consumer.position(tp),
                    consumer.last_stable_offset(tp),
                    consumer.last_poll_timestamp(tp),
                ):
                    del left[at]
                    consumer.pause(tp)
                if found:
                    yield found


async def first(
    settings: Settings, starts: Mapping[At, int], ends: Mapping[At, int], within_s: float
) -> dict[At, ConsumerRecord | None]:
    """The first committed record of each partition, `start` ≤ offset < `end`.

    None where the span has none, such as a span of control records alone. A partition is left out
    if that is not known within `within_s`, since a transaction is open there. Raises as `records`.
    """
    deadline = time.monotonic() + within_s
    found: dict[At, ConsumerRecord | None] = {}
    if not starts:  # a consumer that is stopped as soon as it has started raises CancelledError
        return found
    async with _reader(settings, {}, limits.FIRST_FETCH_BYTES) as consumer:
        # One partition at a time: a broker returns a whole batch of the first one at least, and of
        # the others none that is larger than the bound.
        for number, (at, start) in enumerate(starts.items()):
            now_s = time.monotonic()
            until_s = now_s + (deadline - now_s) / (len(starts) - number)  # a transaction is open
            tp, remaining = TopicPartition(*at), _Remaining(ends[at], start)
            consumer.assign([tp])
            consumer.seek(tp, start)
            while time.monotonic() < until_s:
                fetched = await consumer.getmany(timeout_ms=FIRST_POLL_MS, max_records=1)
                within = [record for record in fetched.get(tp, []) if record.offset < ends[at]]
                position, stable = await consumer.position(tp), consumer.last_stable_offset(tp)
                if within or remaining.over(position, stable, consumer.last_poll_timestamp(tp)):
                    found[at] = within[0] if within else None
                    break
    return found


async def offsets_since(settings: Settings, times_ms: Mapping[At, int]) -> dict[At, int]:
    """The first offset of each partition from which on there may be records of a time or later.

    Earlier offsets have none. A partition without such records is left out. Raises
    KafkaUnreachable.
    """
    if not times_ms:
        return {}
    async with _reader(settings, {}) as consumer:
        found = await consumer.offsets_for_times(
            {TopicPartition(*at): time_ms for at, time_ms in times_ms.items()}
        )
    return {(tp.topic, tp.partition): one.offset for tp, one in found.items() if one is not None}


@dataclass(frozen=True, slots=True)
class FollowStep:
    """One step of `follow`; `records` may be empty.

    `positions` are the offsets to continue from, after these records: use them, not the offset
    after a record's, as they also pass what is never delivered. `ends` are the high watermarks as
    last known, so `ends[at] - positions[at]` is the lag. `behind` are the partitions that are not
    yet read to the end that their log had at the start of the following. `unread` are those that
    may have committed records behind `positions`: more than the last answer had, or no answer yet.
    `answered_ms` is when a broker last answered, with or without records, by this machine's clock;
    None before the first answer.
    """

    records: Mapping[At, Sequence[Record]]
    positions: dict[At, int]
    ends: dict[At, int]
    behind: frozenset[At]
    answered_ms: int | None = None
    unread: frozenset[At] = frozenset()

    @property
    def count(self) -> int:
        """How many records it has."""
        return sum(map(len, self.records.values()))


def parts_of(step: FollowStep, before: Mapping[At, int], most: int) -> Iterator[FollowStep]:
    """A step as several, each of `most` records or more and fewer than twice as many.

    A step has whole batches, so it may have many more records than wanted. `before` are the
    positions before it. A smaller step is one.
    """
    left, room = step.count, most
    positions = {at: before.get(at, position) for at, position in step.positions.items()}
    records: dict[At, Sequence[Record]] = {}
    for at, some in step.records.items():
        begin = 0
        while left >= 2 * most and len(some) - begin >= room:
            end = begin + room
            records[at] = some[begin:end]
            positions[at] = offset_after(some[end - 1].offset)
            yield FollowStep(records, dict(positions), step.ends, step.behind, step.answered_ms)
            records, begin, left, room = {}, end, left - most, most
        if begin < len(some):
            records[at] = some[begin:]
            room -= len(some) - begin
        positions[at] = step.positions[at]
    yield FollowStep(records, step.positions, step.ends, step.behind, step.answered_ms)


async def follow(
    settings: Settings,
    starts: Mapping[At, int],
    most_records: Callable[[], int] = lambda: limits.FOLLOW_RECORDS,
    known_ends: Mapping[At, int] | None = None,
    wanted: Callable[[], Collection[At]] | None = None,
) -> AsyncGenerator[FollowStep, None]:
    """Committed records from `starts` on, without end; only the partitions that `starts` names.

    `known_ends` are high watermarks of some moment, requested at the start unless they are given.
    With `wanted`, each step has records of those partitions alone that it names then.
    Yields at least every half second, with or without records. A step ends with the batch in which
    it has `most_records()`. The client restores lost connections. Raises KafkaUnreachable at first,
    and aiokafka's OffsetOutOfRangeError where the log no longer has a position.
    """
    known = dict(known_ends or await ends(settings, {topic for topic, _ in starts}))
    left = {at: _Remaining(known[at], start) for at, start in starts.items() if start < known[at]}
    tps = {at: TopicPartition(*at) for at in starts}
    async with _reader(settings, starts) as consumer:
        reader = BulkReader(consumer)
        while True:
            only = None if wanted is None else {tps[at] for at in wanted()}
            fetched = await reader.read(most_records(), POLL_MS / 1000, only)
            positions = {at: await consumer.position(tp) for at, tp in tps.items()}
            highs = {at: consumer.highwater(tp) for at, tp in tps.items()}
            known |= {at: high for at, high in highs.items() if high is not None}
            answered = {at: consumer.last_poll_timestamp(tp) for at, tp in tps.items()}
            stable = {at: consumer.last_stable_offset(tp) for at, tp in tps.items()}
            for at, remaining in list(left.items()):
                if remaining.over(positions[at], stable[at], answered[at]):
                    del left[at]
            yield FollowStep(
                {(tp.topic, tp.partition): found for tp, found in fetched.items()},
                positions,
                {at: known[at] for at in starts},
                frozenset(left),
                max((at_ms for at_ms in answered.values() if at_ms is not None), default=None),
                frozenset(at for at, end in stable.items() if end is None or positions[at] < end),
            )


@dataclass(frozen=True, slots=True)
class WrittenBy:
    """What a partition had at an instant of log time, by the times of its records.

    `end` is the first offset written after it, the high watermark if there is none; `next_ms` is
    when that one was written. `beginning` is the first offset that the log still has.
    """

    beginning: int
    end: int
    next_ms: int | None


async def written_by(settings: Settings, topics: Iterable[str], at_ms: int) -> dict[At, WrittenBy]:
    """What every partition of topics (names on the cluster) had at an instant, inclusive.

    Raises KafkaUnreachable.
    """
    async with _offset_requests(settings, topics) as (consumer, partitions):
        beginnings = await consumer.beginning_offsets(partitions)
        highs = await consumer.end_offsets(partitions)
        after = await consumer.offsets_for_times(dict.fromkeys(partitions, max(0, at_ms + 1)))
    return {
        (tp.topic, tp.partition): WrittenBy(beginnings[tp], highs[tp], None)
        if after[tp] is None
        else WrittenBy(beginnings[tp], after[tp].offset, after[tp].timestamp)
        for tp in partitions
    }


class _Remaining:
    """Decides when a partition is read to `end`, although its last offset may never be delivered.

    Usually the position decides: it passes transactions' control records. If the very last records
    were compacted away, the position stays before the end; then empty answers to fetches decide,
    while everything before the end is stable.
    """

    def __init__(self, end: int, position: int) -> None:
        self.end = end
        self._position = position
        self._answered_ms: int | None = None
        self._quiet = 0

    def over(self, position: int, stable: int | None, answered_ms: int | None) -> bool:
        """Whether the partition is read to its end; call it after each fetch.

        Takes the position, the last stable offset, and when the last answer arrived. The last two
        are None before the first answer.
        """
        if position >= self.end:
            return True
        if position != self._position or stable is None or stable < self.end:
            self._position, self._quiet = position, 0
        elif answered_ms != self._answered_ms:
            self._quiet += 1
        self._answered_ms = answered_ms
        return self._quiet >= QUIET_ANSWERS


async def bounds(settings: Settings, topics: Iterable[str]) -> tuple[dict[At, int], dict[At, int]]:
    """Beginning and high watermark of every partition of topics (names on the cluster).

    Raises KafkaUnreachable.
    """
    async with _offset_requests(settings, topics) as (consumer, partitions):
        beginnings = await consumer.beginning_offsets(partitions)
        highs = await consumer.end_offsets(partitions)
    return {(tp.topic, tp.partition): beginnings[tp] for tp in partitions}, {
        (tp.topic, tp.partition): highs[tp] for tp in partitions
    }


async def offsets_at(settings: Settings, topics: Iterable[str], at_ms: int) -> dict[At, int]:
    """Of every partition of topics, the first offset whose record was written at or after `at_ms`.

    By the records' own timestamps, epoch milliseconds; topics by their names on the cluster. Where
    there is no such record it is the high watermark, so records before these offsets are those of
    the log at that instant. Timestamps may step back where a partition changed its writer, so
    later records may still be older. Raises KafkaUnreachable.
    """
    async with _offset_requests(settings, topics) as (consumer, partitions):
        highs = await consumer.end_offsets(partitions)  # first: none that comes meanwhile is lost
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, max(0, at_ms)))
    return {
        (tp.topic, tp.partition): highs[tp] if found.get(tp) is None else found[tp].offset
        for tp in partitions
    }


@asynccontextmanager
async def _offset_requests(
    settings: Settings, topics: Iterable[str]
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """A consumer that requests offsets of all partitions of topics, and these partitions."""
    # read_uncommitted: the ends of a read_committed consumer are the last stable offsets, which lie
    # before an open transaction
    consumer = AIOKafkaConsumer(
        *topics,
        **settings.client_options(),
        isolation_level="read_uncommitted",
        enable_auto_commit=False,
        # It fetches, too, and a broker answers a connection's requests in order: none may wait for
        # new records.
        fetch_max_wait_ms=0,
    )
    try:
        await broker_access.start(consumer, settings)
        yield consumer, sorted(consumer.assignment())
    finally:
        await broker_access.stop(consumer)


@asynccontextmanager
async def _reader(
    settings: Settings, starts: Mapping[At, int], fetch_bytes: int = limits.FETCH_BYTES
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of committed records, positioned at `starts`; it never resets a position."""
    batches.tolerate()
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_wait_ms=LONG_POLL_MS,
    )
    try:
        await broker_access.start(consumer, settings)
        if starts:
            consumer.assign([TopicPartition(*at) for at in starts])
        for at, offset in starts.items():
            consumer.seek(TopicPartition(*at), offset)
        yield consumer
    finally:
        await broker_access.stop(consumer)
