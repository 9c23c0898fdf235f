"""Transactions of a journal's partition that were read in part: behind some offset lies their rest.

A worker reads a journal record by record, so its tables may include the first rows of a
transaction and not yet the last. Which rows those are is a matter of the log alone: all records of
a transaction have one producer's id, and its progress mark names the source partition.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
from aiokafka.record.control_record import COMMIT_MARKER, ControlRecord

from schemas import limits
from schemas.journal import ProgressMark, decode
from streams import log
from streams.single_records import SingleRecords, fetched_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from schemas.envelope import Record
    from streams.batches import Batch
    from streams.log import At
    from streams.settings import Settings

_TIMEOUTS: Final = 4
"""No transaction lasts longer than so many of its time-outs."""

_WIDER: Final = 8
"""By how much more is read where the first rows of a transaction lie further back."""


@dataclass(frozen=True, slots=True)
class CutTransaction:
    """A committed transaction of a source partition, of which `included` rows were read.

    `source` is such as `orders-3`; the transaction covers its offsets up to `end`. `rows` are the
    (key, value) of all its rows in the journal's partition, in order.
    """

    source: str
    end: int
    rows: Sequence[tuple[bytes, bytes]]
    included: int


@dataclass(slots=True)
class _Written:
    """What one producer has written to the partition since its last transaction ended there."""

    rows: list[Record] = field(default_factory=list)
    mark: ProgressMark | None = None


async def cut_transactions(settings: Settings, at: At, offset: int) -> list[CutTransaction]:
    """The transactions with rows up to `offset` of a partition, and their mark behind it.

    Raises KafkaUnreachable, KafkaError or OSError.
    """
    beginnings, ends = await log.bounds(settings, [at[0]])
    records = SingleRecords(settings, [at[0]])
    try:
        reading = _Reading(settings, records, at, beginnings[at])
        behind = await reading.ended_behind(offset, ends[at])
        if not behind:
            return []
        before = await reading.written_before(offset, set(behind))
    finally:
        await records.close()
    found = []
    for producer, (mark, rest) in sorted(behind.items()):
        first = before.get(producer, [])
        if first:
            rows = [(record.key or b"", record.value or b"") for record in (*first, *rest)]
            source = f"{mark.topic}-{mark.partition}"
            found.append(CutTransaction(source, mark.offset, rows, len(first)))
    return found


class _Reading:
    """Reads a journal's partition batch by batch, with what a consumer leaves out."""

    def __init__(self, settings: Settings, records: SingleRecords, at: At, beginning: int) -> None:
        self._longest_ms = _TIMEOUTS * settings.transaction_timeout_ms
        self._records = records
        self._at = at
        self._beginning = beginning

    async def ended_behind(
        self, offset: int, end: int
    ) -> dict[int, tuple[ProgressMark, list[Record]]]:
        """By producer: the mark of its first transaction that ends behind `offset`, and its rows.

        Only rows behind `offset`; transactions that were aborted are left out.
        """
        written: dict[int, _Written] = {}
        found: dict[int, tuple[ProgressMark, list[Record]]] = {}
        ended: set[int] = set()
        first_ms: int | None = None
        async for batch in self._batches(offset + 1, end):
            first_ms = batch.first_timestamp if first_ms is None else first_ms
            if batch.first_timestamp - first_ms > self._longest_ms:
                break
            producer = batch.producer_id
            if producer in ended:
                continue
            if batch.is_control_batch:
                one = written.pop(producer, None)
                ended.add(producer)
                if one is not None and one.mark is not None and _is_commit(batch):
                    found[producer] = one.mark, one.rows
                continue
            one = written.setdefault(producer, _Written())
            for record in batch.records():
                if record.offset > offset:
                    _add(one, record)
        return found

    async def written_before(self, offset: int, producers: set[int]) -> dict[int, list[Record]]:
        """The rows up to `offset` of these producers' transactions that are open there."""
        width = limits.FIRST_TAIL_RECORDS
        while True:
            start = max(self._beginning, offset + 1 - width)
            rows: dict[int, list[Record]] = {}
            begun: set[int] = set()
            oldest_ms = newest_ms = None
            async for batch in self._batches(start, offset + 1):
                oldest_ms = batch.first_timestamp if oldest_ms is None else oldest_ms
                newest_ms = batch.max_timestamp
                producer = batch.producer_id
                if producer not in producers:
                    continue
                if batch.is_control_batch:
                    begun.add(producer)
                    rows.pop(producer, None)
                    continue
                some = rows.setdefault(producer, [])
                some += [one for one in batch.records() if start <= one.offset <= offset]
            is_old = (
                oldest_ms is not None
                and newest_ms is not None
                and newest_ms - oldest_ms > self._longest_ms
            )
            if start == self._beginning or begun == producers or is_old:
                return {producer: some for producer, some in rows.items() if some}
            width *= _WIDER

    async def _batches(self, start: int, end: int) -> AsyncIterator[Batch]:
        client = await self._records.connect()
        position = start
        while position < end:
            fetched = await fetched_at(client, self._at, position, limits.FETCH_BYTES)
            before = position
            while fetched is not None and fetched.has_next():
                batch = fetched.next_batch()
                if batch.next_offset <= position:
                    continue
                if batch.base_offset >= end:
                    return
                position = batch.next_offset
                yield batch
            if position == before:
                return


def _is_commit(batch: Batch) -> bool:
    (record,) = batch.records()
    return bool(ControlRecord.parse(record.key) == COMMIT_MARKER)


def _add(written: _Written, record: Record) -> None:
    if record.key is None:
        # what no worker wrote is no mark
        with suppress(msgspec.DecodeError, ValueError, RecursionError):
            mark = decode(record.value or b"")
            if isinstance(mark, ProgressMark):
                written.mark = mark
    else:
        written.rows.append(record)
