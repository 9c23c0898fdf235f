"""aiokafka's record batches, made to take what any client may write, a header whose name isn't UTF-8; and to be looked at again.

aiokafka decodes names while it parses, so that one such record would end every consumer that meets it. Here its batch is parsed again
with the names' odd bytes escaped, as `os.fsdecode` does; the record is then read, or parked, as any other.
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
"""How bytes that aren't UTF-8 stand in a header's name."""


def tolerate() -> None:
    """Let all of aiokafka's consumers of this process parse by this module.

    They have no setting for it.
    """
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords(_MemoryRecordsPy):
    """In place of aiokafka's `MemoryRecords`.

    The same batches, which iterate over all of their records.

    With `whole` a batch iterates over itself alone, as over one record: for `streams/fetched.py`,
    which reads batches.
    """

    _buffer: bytes
    whole = False

    def at(self, offsets: Collection[int]) -> dict[int, Record]:
        """By offset, those of the records fetched that are asked for, parsed once more from the first on."""
        found: dict[int, Record] = {}
        again = TolerantRecords(self._buffer)
        while len(found) < len(offsets) and again.has_next():
            found |= {
                record.offset: record for record in again.next_batch() if record.offset in offsets
            }
        return found

    def next_batch(self) -> Any:
        """The next batch, or None."""
        raw = self._next_slice
        batch = super().next_batch()
        return (
            Batch(batch, raw, whole=self.whole) if isinstance(batch, DefaultRecordBatch) else batch
        )


class Batch:
    """A batch whose records are parsed one by one, so that each can be read and forgotten while it is in the processor's cache."""

    def __init__(self, batch: Any, raw: memoryview, *, whole: bool) -> None:
        self._batch = batch
        self._raw = raw
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)  # a control batch is looked into without iterating

    def __iter__(self) -> Iterator[Any]:
        return iter([self]) if self._whole else self.records()

    @property
    def offset(self) -> int:
        """The last one: of the batch as one record."""
        last: int = self._batch.next_offset - 1
        return last

    def records(self) -> Iterator[Any]:
        """Its records."""
        parsed = 0
        try:
            for record in self._batch:
                parsed += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(_EscapingBatch(self._raw), parsed, None)


class _EscapingBatch(_DefaultRecordBatchPy):
    """aiokafka's batch in Python, but for names of headers."""

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
        timestamp = (
            self.max_timestamp
            if self.timestamp_type == self.LOG_APPEND_TIME
            else self.first_timestamp + later_ms
        )
        return _DefaultRecordPy(
            self.base_offset + delta, timestamp, self.timestamp_type, key, value, headers
        )
