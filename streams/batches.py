"""aiokafka's record batches, tolerant of what any client may write, and parsed twice if needed.

aiokafka decodes headers' names while it parses, so one name that isn't UTF-8 would end every
consumer that fetches it. Here such a batch is parsed again with those bytes escaped, as
`os.fsdecode` does; the record is then read, or parked, as any other.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import (
    DefaultRecordBatch,
    _DefaultRecordBatchPy,
    _DefaultRecordPy,
)
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import decode_varint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from schemas.envelope import Record

ESCAPED = "surrogateescape"
"""How bytes of a header's name that aren't UTF-8 are decoded."""


def tolerate() -> None:
    """Let all of aiokafka's consumers of this process parse by this module.

    They have no setting for it: their fetcher makes a `MemoryRecords` of each partition's bytes.
    """
    fetcher.MemoryRecords = TolerantRecords


class Batch:
    """One batch. Its records are parsed one by one, so that each can be read while it is cached."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)  # aiokafka takes a control batch's only record so

    def __iter__(self) -> Iterator[Any]:
        return self.records()

    def records(self) -> Iterator[Any]:
        """Parse its records."""
        parsed = 0
        try:
            for record in self._batch:
                parsed += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(_EscapingBatch(self._raw), parsed, None)


class TolerantRecords(_MemoryRecordsPy):
    """In place of aiokafka's `MemoryRecords`: the batches of one fetched partition."""

    _buffer: bytes
    batch_type = Batch

    def at(self, offsets: Collection[int]) -> dict[int, Record]:
        """The fetched records of these offsets, by offset; parses again from the first batch on."""
        found: dict[int, Record] = {}
        again = TolerantRecords(self._buffer)
        while len(found) < len(offsets) and again.has_next():
            batch = again.next_batch()
            found |= {record.offset: record for record in batch if record.offset in offsets}
        return found

    def next_batch(self) -> Any:
        """The next batch, or None. Batches from before Kafka 0.11 stay aiokafka's."""
        raw = self._next_slice
        batch = super().next_batch()
        return self.batch_type(batch, raw) if isinstance(batch, DefaultRecordBatch) else batch

    def unparsed(self) -> UnparsedBatches:
        """The same batches from the first on, each as one item."""
        return UnparsedBatches(self._buffer)


class UnparsedBatch(Batch):
    """A batch that iterates over itself alone, as if it were one record with the last offset."""

    def __iter__(self) -> Iterator[Any]:
        return iter((self,))

    @property
    def offset(self) -> int:
        """The offset of its last record."""
        last: int = self._batch.next_offset - 1
        return last


class UnparsedBatches(TolerantRecords):
    """Batches that `PartitionRecords` chooses from without parsing any record."""

    batch_type = UnparsedBatch


class _EscapingBatch(_DefaultRecordBatchPy):
    """aiokafka's batch in plain Python, with names of headers decoded by `ESCAPED`."""

    _pos: int

    def _read_msg(self) -> _DefaultRecordPy:
        def field(length: int, at: int) -> tuple[bytes | None, int]:
            return (None, at) if length < 0 else (bytes(buffer[at : at + length]), at + length)

        buffer: bytearray = self._buffer
        length, begin = decode_varint(buffer, self._pos)
        _, at = decode_varint(buffer, begin)
        later_ms, at = decode_varint(buffer, at)
        delta, at = decode_varint(buffer, at)
        key, at = field(*decode_varint(buffer, at))
        value, at = field(*decode_varint(buffer, at))
        count, at = decode_varint(buffer, at)
        headers = []
        for _ in range(count):
            name, at = field(*decode_varint(buffer, at))
            content, at = field(*decode_varint(buffer, at))
            headers.append(((name or b"").decode(errors=ESCAPED), content))
        if at - begin != length:
            raise CorruptRecordException(f"a record says {length} bytes and has {at - begin}")
        self._pos = at
        by_log = self.timestamp_type == self.LOG_APPEND_TIME
        timestamp = self.max_timestamp if by_log else self.first_timestamp + later_ms
        return _DefaultRecordPy(
            self.base_offset + delta, timestamp, self.timestamp_type, key, value, headers
        )
