"""What is noted of a chunk for its trace: when its steps ended, and who wrote its records."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from schemas import limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.envelope import Record

TRACEPARENT: Final = frozenset({"traceparent", "ce_traceparent"})
"""Headers of a record with the span that wrote it: W3C's name, and CloudEvents' extension."""


@dataclass(frozen=True, slots=True)
class ChunkReading:
    """When a chunk was read, in epoch nanoseconds, and the spans that wrote its records.

    `writers` are (offset, value of the header), of as many records as are linked.
    """

    began_ns: int
    ended_ns: int
    writers: tuple[tuple[int, bytes], ...]


class TracedDecoder:
    """A decoder that notes which spans wrote the records: each once, and not more than fit."""

    def __init__(self, decode: Callable[[Record], Any]) -> None:
        self._decode = decode
        self._began_ns = time.time_ns()
        self._writers: dict[bytes, int] = {}

    def __call__(self, record: Record) -> Any:  # noqa: ANN401 - whatever a stage reads
        """Decode a record."""
        if len(self._writers) < limits.TRACE_LINKS:
            for name, value in record.headers:
                if name in TRACEPARENT and value:
                    self._writers.setdefault(value, record.offset)
        return self._decode(record)

    def reading(self) -> ChunkReading:
        """What was noted; the chunk has been read."""
        writers = tuple((offset, value) for value, offset in self._writers.items())
        return ChunkReading(self._began_ns, time.time_ns(), writers)


@dataclass(slots=True)
class Steps:
    """The steps of a chunk on its way through a worker, each with its end in epoch nanoseconds."""

    ends: list[tuple[str, int]] = field(default_factory=list)

    def end(self, name: str) -> None:
        """A step has ended, and the next one begins."""
        self.ends.append((name, time.time_ns()))
