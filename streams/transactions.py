"""Exactly once: the effects of one chunk in one Kafka transaction, then in the local store.

`commit` has the commit order, step by step. After any error nothing is repaired in place: the
producer is given up and `recovery.py` opens the lane again, where the mark shows what happened.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from schemas import limits
from schemas.journal import ProgressMark
from schemas.journal import encode as encode_journal
from schemas.positions import Position
from schemas.published import COMPLETE_HEADER, COMPLETE_KEY
from streams.build import this_build
from streams.dead_letters import parked_headers
from streams.failpoints import Point, reach
from streams.marks import MARK_KEY, encode_mark
from streams.partitioning import partition_of
from streams.producers import Headers, begin_batch, fill, retrieve
from streams.topics import changelog
from tables.catalogue import DEAD_LETTERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schemas.refusals import Refusal
    from streams.batches import TolerantRecords
    from streams.lanes import Lane
    from streams.producers import StrictProducer
    from streams.settings import Settings
    from streams.traced import Steps
    from tables.outcome import Outcome
    from tables.watermarks import Progress


class LaneClosed(Exception):
    """The partition was revoked while its chunk was under way; its next owner repeats the chunk."""


async def commit(
    lane: Lane, outcome: Outcome, fetched: TolerantRecords, settings: Settings, steps: Steps
) -> None:
    """Make one chunk's outcome durable, exactly once; `fetched` has its records.

    The ends of `begin`, `produce`, `commit` and `store write` are noted in `steps`.

    Raises LaneClosed, or the error of a client. After an error it is unknown whether the
    transaction is committed, and the lane must be opened again. So it must after a store write that
    fails: the store is then behind the log, never ahead of it.
    """
    producer, progress = lane.producer, outcome.progress
    mark = encode_mark(lane.mark(progress))
    async with asyncio.timeout(settings.transaction_timeout_ms / 1000):
        # 1. begin, if this partition is still ours
        reach(Point.BEFORE_BEGIN)
        _still_ours(lane)
        await producer.begin_transaction()
        steps.end("begin")
        # 2. journal and activity, with a progress mark to each downstream partition that gets any,
        # and to all of them if they are few, or if it is time
        due_s = lane.marks_due_s(settings.marks_every_ms)
        everywhere = settings.partitions <= limits.FEW_PARTITIONS or due_s <= 0
        sent = [await _send_downstream(lane, outcome, settings, everywhere=everywhere)]
        reach(Point.AFTER_FIRST_SEND)
        # 3. dead letters
        if outcome.parked:
            sent.append(await _send_parked(producer, settings, lane, outcome.parked, fetched))
        # 4. the tables' changes, each table's partition with the mark
        tables = {name: outcome.writes.get(name, {}) for name in lane.stores}
        changes = {
            name: await send_records(
                producer,
                changelog(settings, name),
                lane.partition,
                chain(items.items(), [(MARK_KEY, mark)]),
            )
            for name, items in tables.items()
        }
        # 5. the source offset, by the same mark: committed = mark + 1
        await _send_offset(producer, settings, lane, progress)
        # 6. all sent? aiokafka counts a failed batch as flushed, so each future is awaited
        await asyncio.gather(*chain.from_iterable(sent))
        ends = {name: await end_of(batches) for name, batches in changes.items()}
        reach(Point.AFTER_OFFSETS)
        steps.end("produce")
        # 7. commit, if this partition is still ours
        _still_ours(lane)
        await producer.commit_transaction()
    steps.end("commit")
    reach(Point.AFTER_COMMIT)
    # 8. only now the store: one batch a table, data, mark and changelog position together
    for name, items in tables.items():
        lane.stores[name].write(chain(items.items(), [(MARK_KEY, mark)]), ends[name])
    steps.end("store write")
    lane.progress, lane.recent = progress, outcome.writes or lane.recent
    lane.unmarked = not everywhere
    if everywhere:
        lane.marked_at_s = asyncio.get_running_loop().time()


async def begin(lane: Lane, settings: Settings) -> None:
    """Commit the start of the log at a first start: marks and offset, before any record.

    Raises the error of a client; then the lane must be opened again.
    """
    producer, mark = lane.producer, encode_mark(lane.mark(lane.progress))
    async with asyncio.timeout(settings.transaction_timeout_ms / 1000):
        await producer.begin_transaction()
        changes = {
            name: await send_records(
                producer, changelog(settings, name), lane.partition, [(MARK_KEY, mark)]
            )
            for name in lane.stores
        }
        await _send_offset(producer, settings, lane, lane.progress)
        ends = {name: await end_of(batches) for name, batches in changes.items()}
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
    following = Position(lane.topic, lane.partition, progress.offset).next
    await producer.send_offsets_to_transaction(
        {source: OffsetAndMetadata(following.offset, lane.layout)}, settings.app
    )


Sent = list[asyncio.Future[Any]]
_Item = tuple[bytes | None, bytes]
_NO_HEADERS: Final[Headers] = []
_COMPLETE: Final[Headers] = [(COMPLETE_HEADER, b"")]


async def _send_downstream(
    lane: Lane, outcome: Outcome, settings: Settings, *, everywhere: bool
) -> Sent:
    """Send records, each to the partition of its key, and marks behind them.

    What is published goes to the lane's own partition.
    """
    sent: Sent = []
    for topic in lane.spec.publishes:
        if items := outcome.sends.get(topic):
            sent += await _publish(lane, settings.topic(topic), items)
    if not lane.spec.sends:
        return sent
    mark = None, encode_journal(_progress_mark(lane, outcome.progress))
    for topic in dict.fromkeys((*outcome.sends, *lane.spec.sends)):
        name = settings.topic(topic)
        places: defaultdict[int, list[_Item]] = defaultdict(list)
        count = settings.partitions_of(name)
        for item in outcome.sends.get(topic, ()):
            places[partition_of(item[0], count)].append(item)
        if topic in lane.spec.sends:
            for partition in range(settings.partitions) if everywhere else list(places):
                places[partition].append(mark)
        for partition, some in places.items():
            batches = await send_records(lane.producer, name, partition, some)
            sent += [future for future, _ in batches]
    return sent


async def _publish(lane: Lane, topic: str, items: Sequence[tuple[bytes, bytes]]) -> Sent:
    """Send records to the lane's own partition; that of completeness has a header."""
    headers = (_COMPLETE if key == COMPLETE_KEY else _NO_HEADERS for key, _ in items)
    batches = await send_records(lane.producer, topic, lane.partition, items, headers)
    return [future for future, _ in batches]


def _progress_mark(lane: Lane, progress: Progress) -> ProgressMark:
    return ProgressMark(
        lane.topic,
        lane.partition,
        progress.offset,
        progress.watermark_ms,
        progress.confirmed_ms,
        str(this_build()),
    )


async def _send_parked(
    producer: StrictProducer,
    settings: Settings,
    lane: Lane,
    parked: Sequence[tuple[int, Refusal]],
    fetched: TolerantRecords,
) -> Sent:
    """Park refused records on the same partition number, with their key, value and headers."""
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
        for future, _ in await send_records(
            producer, settings.topic(DEAD_LETTERS_TOPIC), lane.partition, items, headers
        )
    ]


async def send_records(
    producer: StrictProducer,
    topic: str,
    partition: int,
    items: Iterable[tuple[bytes | None, bytes | None]],
    headers: Iterable[Headers] = repeat([]),
) -> list[tuple[asyncio.Future[Any], int]]:
    """Send records, each with its headers, to one partition in as few batches as fit.

    Returns the future and the number of records of each batch.
    """
    sent: list[tuple[asyncio.Future[Any], int]] = []

    async def hand_over() -> None:
        future = await producer.send_batch(batch, topic, partition=partition)
        future.add_done_callback(retrieve)
        sent.append((future, batch.record_count()))

    batch, now_ms, left = (
        producer.batch_for(topic),
        int(time.time() * 1000),
        zip(items, headers, strict=False),
    )
    while (unfit := fill(batch, left, now_ms)) is not None:
        await hand_over()
        batch = producer.batch_for(topic)
        begin_batch(batch, unfit, now_ms)
    if batch.record_count():
        await hand_over()
    return sent


async def end_of(batches: list[tuple[asyncio.Future[Any], int]]) -> int:
    """The next offset after these batches of one partition."""
    return max([int((await future).offset) + count for future, count in batches])
