"""Timers of event time: which conversations to look at again once an instant has passed.

They lie in buckets of some seconds, a bucket in rows of a bounded size, and one row lists the buckets: so no row outgrows a record,
however many wait at once. A timer is never taken away: what it was set for may be over when it goes off, and then nothing changes.
"""

from bisect import insort
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

INDEX: Final = b"index"
_ROW_TIMERS: Final = 1000
"""Most timers in a row; one has two ids of at most 128 characters."""

_encode: Final = msgspec.json.encode
_decode_index: Final = msgspec.json.Decoder(dict[int, int]).decode
_decode_row: Final = msgspec.json.Decoder(list[tuple[int, str]]).decode


class Timers:
    """The timers of one partition while a chunk is folded; `states` are their rows before it, `bucket_ms` a bucket's span."""

    def __init__(self, states: Mapping[bytes, bytes | None], bucket_ms: int) -> None:
        self._states = states
        self._bucket_ms = bucket_ms
        index = states[INDEX]
        self._rows: dict[int, int] = {} if index is None else _decode_index(index)
        """By bucket, how many rows it has in `states`."""

        self._waiting = sorted(self._rows)
        self._buckets: dict[int, list[tuple[int, str]]] = {}
        self._changed: set[int] = set()

    def set(self, due_ms: int, key: bytes) -> None:
        """Let `key` go off once event time is past `due_ms`."""
        number = due_ms // self._bucket_ms
        bucket = self._bucket(number)
        if not bucket:
            insort(self._waiting, number)
        insort(bucket, (due_ms, key.decode()))
        self._changed.add(number)

    def gone_off(self, now_ms: int) -> Iterator[tuple[int, bytes]]:
        """(due, key) of those whose instant is past, in order; they are gone then. More may be set meanwhile, for later."""
        while self._waiting and self._waiting[0] * self._bucket_ms < now_ms:
            number = self._waiting[0]
            bucket = self._bucket(number)
            while bucket and bucket[0][0] < now_ms:
                due_ms, key = bucket.pop(0)
                self._changed.add(number)
                if not bucket:
                    self._waiting.remove(number)
                yield due_ms, key.encode()
            if bucket:
                return

    def writes(self) -> dict[bytes, bytes | None]:
        """The rows that changed."""
        if not self._changed:
            return {}
        rows: dict[bytes, bytes | None] = {}
        for number in sorted(self._changed):
            bucket = self._buckets[number]
            parts = [bucket[at : at + _ROW_TIMERS] for at in range(0, len(bucket), _ROW_TIMERS)]
            rows |= {_row(number, part): _encode(timers) for part, timers in enumerate(parts)}
            rows |= {_row(number, part): None for part in range(len(parts), self._rows.pop(number, 0))}
            if parts:
                self._rows[number] = len(parts)
        rows[INDEX] = _encode(dict(sorted(self._rows.items())))
        return rows

    def _bucket(self, number: int) -> list[tuple[int, str]]:
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = []
            for part in range(self._rows.get(number, 0)):
                state = self._states[_row(number, part)]
                assert state is not None  # noqa: S101 - the index was written together with it
                bucket += _decode_row(state)
        return bucket


def _row(number: int, part: int) -> bytes:
    return b"%d.%d" % (number, part)
