"""Timers of event time: each names a conversation, and expires once event time passes an instant.

Timers are stored in buckets of some seconds. A bucket has rows of a bounded size, and an index row
counts the rows of each bucket, so no row outgrows a record, however many timers wait. A timer is
never cancelled. When it expires its inquiry may have been answered, and then nothing changes.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec

from schemas import limits
from tables.outcome import Stored

INDEX: Final = b"index"
_encode: Final = msgspec.json.encode
_decode_index: Final = msgspec.json.Decoder(dict[int, int]).decode
_decode_row: Final = msgspec.json.Decoder(list[tuple[int, str]]).decode


class Timers:
    """The timers of one partition while a chunk is folded.

    `states` are the rows before the chunk. `bucket_ms` is the span of a bucket.
    """

    def __init__(self, states: Stored, bucket_ms: int) -> None:
        self._states = states
        self._bucket_ms = bucket_ms
        index = states[INDEX]
        self._rows: dict[int, int] = {} if index is None else _decode_index(index)
        """The number of rows in `states` by bucket."""

        self._unread = sorted(self._rows)
        """The buckets whose rows have not been read yet."""

        self._waiting: list[tuple[int, bytes]] = []
        """The pending timers that were read or set."""

        self._changed: set[int] = set()
        self._now_ms = -(2**63)

    def set(self, due_ms: int, key: bytes) -> None:
        """Let `key` expire once event time passes `due_ms`; if it has, the timer is dropped."""
        self._changed.add(due_ms // self._bucket_ms)
        if due_ms >= self._now_ms:
            self._waiting.append((due_ms, key))

    def expire(self, now_ms: int) -> Sequence[tuple[int, bytes]]:
        """Remove the timers due before `now_ms`, and return their (due_ms, key) in order."""
        self._now_ms = now_ms
        self._read([number for number in self._unread if number * self._bucket_ms < now_ms])
        waiting = self._waiting
        waiting.sort()
        past = bisect_left(waiting, (now_ms,))
        expired = waiting[:past]
        del waiting[:past]
        self._changed.update([due_ms // self._bucket_ms for due_ms, _ in expired])
        return expired

    def writes(self) -> dict[bytes, bytes | None]:
        """The rows that changed."""
        if not self._changed:
            return {}
        self._read([number for number in self._unread if number in self._changed])
        self._waiting.sort()
        buckets: dict[int, list[tuple[int, str]]] = {}
        for due_ms, key in self._waiting:
            buckets.setdefault(due_ms // self._bucket_ms, []).append((due_ms, key.decode()))
        rows: dict[bytes, bytes | None] = {}
        for number in sorted(self._changed):
            if number not in buckets and number not in self._rows:
                continue  # set and expired within the chunk: the usual case
            bucket = buckets.get(number, [])
            parts = [
                bucket[at : at + limits.ROW_TIMERS]
                for at in range(0, len(bucket), limits.ROW_TIMERS)
            ]
            rows |= {_row(number, part): _encode(timers) for part, timers in enumerate(parts)}
            rows |= {
                _row(number, part): None for part in range(len(parts), self._rows.pop(number, 0))
            }
            if parts:
                self._rows[number] = len(parts)
        rows[INDEX] = _encode(dict(sorted(self._rows.items())))
        return rows

    def _read(self, numbers: Sequence[int]) -> None:
        """Read the rows of some buckets."""
        for number in numbers:
            self._unread.remove(number)
            for part in range(self._rows[number]):
                state = self._states[_row(number, part)]
                assert state is not None  # noqa: S101 - the index row is written with it
                self._waiting += [(due_ms, key.encode()) for due_ms, key in _decode_row(state)]


def _row(number: int, part: int) -> bytes:
    return b"%d.%d" % (number, part)
