"""Exactly once: the effects of one chunk in one Kafka transaction, then in the local store.

The commit order stands in `commit`, step by step. Whatever goes wrong, nothing is repaired in
place: the producer is given up and the lane is opened anew by `recovery.py`, where the mark tells
what happened.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from schemas.journal import ProgressMark
from schemas.journal import encode as encode_journal
from schemas.positions import Position
from streams.dead_letters import parked_headers
from streams.failpoints import Point, reach
from streams.lanes import MARK_KEY, encode_mark
from streams.partitioning import partition_of
from streams.producers import Headers, fill
from streams.topics import DEAD_LETTERS, changelog

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schemas.refusals import Refusal
    from streams.batches import TolerantRecords
    from streams.lanes import Lane
    from streams.producers import StrictProducer
    from streams.settings import Settings
    from tables.outcome import Outcome
    from tables.watermarks import Progress


class LaneClosed(Exception):
    """The partition was taken away while its chunk was under way; the next owner does it again."""


async def commit(
    lane: Lane, outcome: Outcome, fetched: TolerantRecords, settings: Settings
) -> None:
    """Make one chunk's outcome durable, exactly once; `fetched` has its records.

    Raises LaneClosed, or whatever a client raised: then whether the transaction stands is not known
    here, and the lane must be opened anew. A failed store write after the commit also ends here:
    the store is behind, never ahead.
    """
    producer, progress = lane.producer, outcome.progress
    mark = encode_mark(lane.mark(progress))
    async with asyncio.timeout(settings.transaction_timeout_ms / 1000):
        # 1. begin, if this partition is still ours
        reach(Point.BEFORE_BEGIN)
        _still_ours(lane)
        await producer.begin_transaction()
        # 2. journal, activity, and how far we are to every downstream partition
        sent = [
            await _send_by_key(producer, settings, topic, items)
            for topic, items in outcome.sends.items()
        ]
        if lane.stage.sends:
            sent.append(await _send_marks(producer, settings, lane, progress))
        reach(Point.AFTER_FIRST_SEND)
        # 3. what can't be read
        if outcome.parked:
            sent.append(await _send_parked(producer, settings, lane, outcome.parked, fetched))
        # 4. the tables' changes, each table's partition with the mark
        tables = {name: outcome.writes.get(name, {}) for name in lane.stores}
        changes = {
            name: await _send(
                producer,
                changelog(settings, name),
                lane.partition,
                chain(items.items(), [(MARK_KEY, mark)]),
            )
            for name, items in tables.items()
        }
        # 5. the source offset, by the same mark: committed = mark + 1
        await _send_offset(producer, settings, lane, progress)
        # 6. all sent? aiokafka counts a failed batch as flushed, so each one is asked
        await asyncio.gather(*chain.from_iterable(sent))
        ends = {name: await _end_of(batches) for name, batches in changes.items()}
        reach(Point.AFTER_OFFSETS)
        # 7. commit, if this partition is still ours
        _still_ours(lane)
        await producer.commit_transaction()
    reach(Point.AFTER_COMMIT)
    # 8. only now the store: one batch a table, data, mark and changelog position together
    for name, items in tables.items():
        lane.stores[name].write(chain(items.items(), [(MARK_KEY, mark)]), ends[name])
    lane.progress, lane.recent = progress, outcome.writes


async def begin(lane: Lane, settings: Settings) -> None:
    """Make the beginning durable at a first start.

    Each table's mark and the committed offset name the log's beginning, nothing is applied.

    Raises what a client raised; then the lane must be opened anew.
    """
    producer, mark = lane.producer, encode_mark(lane.mark(lane.progress))
    async with asyncio.timeout(settings.transaction_timeout_ms / 1000):
        await producer.begin_transaction()
        changes = {
            name: await _send(
                producer, changelog(settings, name), lane.partition, [(MARK_KEY, mark)]
            )
            for name in lane.stores
        }
        await _send_offset(producer, settings, lane, lane.progress)
        ends = {name: await _end_of(batches) for name, batches in changes.items()}
        await producer.commit_transaction()
    for name, store in lane.stores.items():
        store.write([(MARK_KEY, mark)], ends[name])


def _still_ours(lane: Lane) -> None:
    if lane.closed:
        raise LaneClosed(lane.name)


async def _send_offset(
    producer: StrictProducer, settings: Settings, lane: Lane, progress: Progress
) -> None:
    source = TopicPartition(lane.topic, lane.partition)
    await producer.send_offsets_to_transaction(
        {source: OffsetAndMetadata(progress.offset + 1, lane.layout)}, settings.app
    )


Sent = list[asyncio.Future[Any]]


async def _send_by_key(
    producer: StrictProducer, settings: Settings, topic: str, items: Iterable[tuple[bytes, bytes]]
) -> Sent:
    """Send records to the partitions of their keys."""
    by_partition: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    count = settings.partitions
    for item in items:
        by_partition[partition_of(item[0], count)].append(item)
    sent: Sent = []
    for partition, some in by_partition.items():
        sent += [
            future for future, _ in await _send(producer, settings.topic(topic), partition, some)
        ]
    return sent


async def _send_marks(
    producer: StrictProducer, settings: Settings, lane: Lane, progress: Progress
) -> Sent:
    """Tell every downstream partition how far this source partition is."""
    value = encode_journal(
        ProgressMark(
            lane.topic,
            lane.partition,
            progress.offset,
            progress.watermark_ms,
            progress.confirmed_ms,
        )
    )
    sent: Sent = []
    for topic in lane.stage.sends:
        for partition in range(settings.partitions):
            sent += [
                future
                for future, _ in await _send(
                    producer, settings.topic(topic), partition, [(None, value)]
                )
            ]
    return sent


async def _send_parked(
    producer: StrictProducer,
    settings: Settings,
    lane: Lane,
    parked: Sequence[tuple[int, Refusal]],
    fetched: TolerantRecords,
) -> Sent:
    """Park refused records on the same partition number, with their own key, value and headers."""
    records = fetched.at({offset for offset, _ in parked})
    items = [(records[offset].key, records[offset].value) for offset, _ in parked]
    headers = [
        parked_headers(
            records[offset], Position(lane.topic, lane.partition, offset), refusal, settings.app
        )
        for offset, refusal in parked
    ]
    return [
        future
        for future, _ in await _send(
            producer, settings.topic(DEAD_LETTERS), lane.partition, items, headers
        )
    ]


async def _send(
    producer: StrictProducer,
    topic: str,
    partition: int,
    items: Iterable[tuple[bytes | None, bytes | None]],
    headers: Iterable[Headers] = repeat([]),
) -> list[tuple[asyncio.Future[Any], int]]:
    """Send records, each with its headers, to one partition in as few batches as fit.

    Returns (future, records) of each batch.
    """
    sent: list[tuple[asyncio.Future[Any], int]] = []

    async def hand_over() -> None:
        future = await producer.send_batch(batch, topic, partition=partition)
        future.add_done_callback(_retrieved)
        sent.append((future, batch.record_count()))

    batch, now_ms, left = (
        producer.batch_for(topic),
        int(time.time() * 1000),
        zip(items, headers, strict=False),
    )
    while (unfit := fill(batch, left, now_ms)) is not None:
        await hand_over()
        batch = producer.batch_for(topic)
        fill(batch, iter([unfit]), now_ms)  # an empty batch takes any record
    if batch.record_count():
        await hand_over()
    return sent


def _retrieved(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from complaining about the other batches of a transaction that failed at one."""
    if not future.cancelled():
        future.exception()


async def _end_of(batches: list[tuple[asyncio.Future[Any], int]]) -> int:
    """The position behind the last of some batches of one partition."""
    return max([int((await future).offset) + count for future, count in batches])
