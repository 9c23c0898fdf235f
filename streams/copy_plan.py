"""What a copier writes next: the records of a log, each in the partition of its key in a copy.

Pure: no requests, no clock. `CopyPlan` turns what was read into pieces, each for one transaction.
Partitions are merged by the times at which their records were written, so that also a copier that
is far behind copies a reply before what came minutes later: else event time in the copy would pass
it. And handovers are aligned: a partition of chats waits at one until all partitions have reached
it. So a handover parts the messages of the copy as it parts those of the log.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING, Final

import msgspec

from schemas import envelope, limits
from schemas.positions import Position, offset_after
from streams.partitioning import partition_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from schemas.envelope import Record
    from streams.log import At
    from streams.partitioning import Partitioner

COPIES_EACH: Final = 200
"""Most partitions of a copy for each of its log's: their offsets are committed beside its own,
and a broker accepts 4,096 bytes there by default."""

_NONE: Final = -1
"""Committed for the offset of the last record of a partition that has none."""


@dataclass(frozen=True, slots=True)
class CopyLayout:
    """The topics of a log and those of its copy, by name on the cluster, and their partitions.

    `topics` has the copy of each topic. `chats` is the log's topic of chats, `base` the family's
    first application. `without` are the positions of records that are not copied.
    """

    topics: Mapping[str, str]
    chats: str
    partitions: int
    copies: int
    partitioner: Partitioner
    base: str
    without: frozenset[Position] = frozenset()

    @property
    def sources(self) -> list[At]:
        """All partitions of the log."""
        return [(topic, number) for topic in self.topics for number in range(self.partitions)]

    def target(self, at: At, key: bytes | None) -> At:
        """Where a record of the partition `at` is copied to: the partition of its key.

        Records without a key, which workers refuse anywhere, are spread by their own partition.
        """
        topic, number = self.topics[at[0]], at[1]
        if key is None:
            return topic, number % self.copies
        return topic, partition_of(key, self.copies, self.partitioner)

    def speaker(self, at: At, record: Record) -> str | None:
        """The application that a record hands over to; None of records that are no such handover.

        Handovers of other families on the same log are none.
        """
        if at[0] != self.chats or record.key is not None:
            return None
        reading = envelope.read_chat(record)
        if not isinstance(reading, envelope.Handover):
            return None
        name = reading.speaker
        return name if name == self.base or name.startswith(f"{self.base}.") else None

    def is_left_out(self, at: At, record: Record) -> bool:
        """Whether a record is not copied: by its position, a tick, or a foreign handover."""
        if self.without and Position(*at, record.offset) in self.without:
            return True
        if record.key is not None:
            return False
        read = envelope.read_chat if at[0] == self.chats else envelope.read
        return isinstance(read(record), envelope.Tick | envelope.Handover)


@dataclass(slots=True)
class CopyPiece:
    """What one transaction writes: records by partition of the copy, in order, and how far it is.

    `count` records with `size` bytes of keys and values.
    """

    records: dict[At, list[Record]] = field(default_factory=dict)
    positions: dict[At, int] = field(default_factory=dict)
    read: dict[At, int] = field(default_factory=dict)
    count: int = 0
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it has as much as one transaction may write."""
        return self.count >= limits.COPY_RECORDS or self.size >= limits.COPY_BYTES

    def add(self, target: At, record: Record) -> None:
        """Add a record that is copied."""
        self.records.setdefault(target, []).append(record)
        self.count += 1
        self.size += len(record.value or b"") + len(record.key or b"")

    def pass_by(self, at: At, offset: int) -> None:
        """Go past the record of the log at this offset."""
        self.read[at] = offset
        self.positions[at] = offset_after(offset)


@dataclass(frozen=True, slots=True)
class Vectors:
    """How far a copy is, at a boundary of its transactions.

    `positions` are the next offsets to read of the log, `read` the offsets of the last records
    before them, `written` those of the last copied records in the copy, where there is any.
    """

    positions: Mapping[At, int]
    read: Mapping[At, int] = field(default_factory=dict)
    written: Mapping[At, int] = field(default_factory=dict)

    def after(self, piece: CopyPiece, written: Mapping[At, int]) -> Vectors:
        """The vectors after a piece; `written` are the offsets of its last records in the copy."""
        return Vectors(
            {**self.positions, **piece.positions},
            {**self.read, **piece.read},
            {**self.written, **written},
        )


class CopyPlan:
    """The state of one copying from `vectors` on, which it keeps up to date."""

    def __init__(self, layout: CopyLayout, vectors: Vectors) -> None:
        self.layout = layout
        self.vectors = vectors
        self._read = dict(vectors.positions)
        """The next offsets to read."""

        self._records: dict[At, deque[Record]] = {at: deque() for at in self._read}
        """What was read and is not copied yet."""

        self._unread: Collection[At] = ()
        self._waiting: set[At] = set()
        """Partitions of chats whose next record is a handover: they are not copied on."""

    def wanted(self) -> set[At]:
        """The partitions to read: those of which nothing is left, so that memory is bounded."""
        return {at for at, records in self._records.items() if not records}

    def left(self, ends: Mapping[At, int]) -> int:
        """How many offsets before these ends are not copied."""
        return sum(
            end - (records[0].offset if (records := self._records[at]) else self._read[at])
            for at, end in ends.items()
        )

    def add(
        self,
        records: Mapping[At, Iterable[Record]],
        positions: Mapping[At, int],
        unread: Collection[At],
    ) -> None:
        """Add what was read: `positions` are those after it, `unread` partitions have more."""
        for at, some in records.items():
            self._records[at].extend(some)
        self._read |= positions
        self._unread = unread

    def pieces(self) -> Iterator[CopyPiece]:
        """The pieces of what was added, as far as no partition may have an earlier record.

        Each is written before the next one is made: then call `done`.
        """
        while True:
            piece = self._piece()
            if piece.read:  # control records alone are not worth a transaction
                yield piece
            if piece.is_full:
                continue
            if len(self._waiting) < self.layout.partitions:
                return
            yield self._handover()

    def _piece(self) -> CopyPiece:
        """The next piece; one that is not full has all that can be copied."""
        piece = CopyPiece()
        heads = [
            (records[0].timestamp or 0, at)
            for at, records in self._records.items()
            if records and at not in self._waiting
        ]
        heapify(heads)
        is_starved = any(not self._records[at] for at in self._unread)
        while heads and not (is_starved or piece.is_full):
            _, at = heads[0]
            records = self._records[at]
            record = records[0]
            if self.layout.speaker(at, record) is not None:
                self._waiting.add(at)
                piece.positions[at] = record.offset
                heappop(heads)
                continue
            if not self.layout.is_left_out(at, record):
                piece.add(self.layout.target(at, record.key), record)
            piece.pass_by(at, record.offset)
            records.popleft()
            if records:
                heapreplace(heads, (records[0].timestamp or 0, at))
            else:
                is_starved = at in self._unread
                heappop(heads)
        if not piece.is_full:
            piece.positions |= {at: self._read[at] for at in self.wanted()}
        return piece

    def _handover(self) -> CopyPiece:
        """The handover that all partitions wait at, for each partition of the copy."""
        piece = CopyPiece()
        found = {at: self._records[at].popleft() for at in sorted(self._waiting)}
        one = next(iter(found.values()))
        for at, record in found.items():
            piece.pass_by(at, record.offset)
        chats = self.layout.topics[self.layout.chats]
        for number in range(self.layout.copies):
            piece.add((chats, number), one)
        self._waiting.clear()
        return piece

    def done(self, piece: CopyPiece, written: Mapping[At, int]) -> None:
        """A piece's transaction is committed; `written` are the last offsets in the copy."""
        self.vectors = self.vectors.after(piece, written)


class _Committed(msgspec.Struct, frozen=True, array_like=True):
    """What is committed beside a partition's offset.

    `read` is the offset of its last record, `written` those of every n-th partition of the copy,
    for n partitions of the log from its own number on: together they are all.
    """

    read: int
    written: list[int]


def committed_beside(layout: CopyLayout, vectors: Vectors, at: At) -> str:
    """The metadata that is committed beside the offset of a partition of the log."""
    topic, number = at
    copies = range(number, layout.copies, layout.partitions)
    written = [vectors.written.get((layout.topics[topic], one), _NONE) for one in copies]
    return msgspec.json.encode(_Committed(vectors.read.get(at, _NONE), written)).decode()


def read_committed(
    layout: CopyLayout, beginnings: Mapping[At, int], committed: Mapping[At, tuple[int, str]]
) -> Vectors:
    """The vectors of committed offsets and their metadata; without them those of the beginning."""
    positions = dict(beginnings)
    read: dict[At, int] = {}
    written: dict[At, int] = {}
    for at in layout.sources:
        if at not in committed:
            continue
        positions[at], text = committed[at]
        beside = msgspec.json.decode(text, type=_Committed)
        copies = range(at[1], layout.copies, layout.partitions)
        offsets = {
            (layout.topics[at[0]], n): last for n, last in zip(copies, beside.written, strict=True)
        }
        written |= {copy: last for copy, last in offsets.items() if last != _NONE}
        if beside.read != _NONE:
            read[at] = beside.read
    return Vectors(positions, read, written)
