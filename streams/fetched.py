"""What is fetched of one partition: a fetch, and the chunks of decoded records read from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from aiokafka.consumer.fetcher import PartitionRecords

from schemas.positions import Position, offset_after
from streams.batches import UnparsedBatch
from streams.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiokafka import TopicPartition
    from aiokafka.consumer.fetcher import FetchResult

    from schemas.envelope import Record
    from streams.batches import TolerantRecords
    from streams.traced import ChunkReading
    from tables.outcome import Readings


@dataclass(frozen=True, slots=True)
class Chunk:
    """The decoded records of a stretch of one partition, in order.

    `start` and `end` are fetch positions (half-open). Transactions leave control records that are
    never delivered, so `end` may lie behind the offset that follows the last record, and the first
    record behind `start`: only the chain of positions shows that nothing is missing.
    """

    partition: TopicPartition
    readings: Readings
    start: int
    end: int
    records: TolerantRecords
    """The records themselves, to park those that are refused."""

    reading: ChunkReading | None = None
    """Noted for traces, while they are on."""

    def cut(self, most: int) -> tuple[Chunk, Chunk | None]:
        """Its first `most` records, and the chunk of the rest that follows them, or None."""
        if len(self.readings) <= most:
            return self, None
        last, _ = self.readings[most - 1]
        middle = offset_after(last)
        first = replace(self, readings=self.readings[:most], end=middle)
        return first, replace(self, readings=self.readings[most:], start=middle)

    def __str__(self) -> str:
        """For messages: which records of which partition, and what at least half are about."""
        topic, number = self.partition
        count, place = len(self.readings), f"{topic}-{number}@{self.start}..{self.end}"
        subjects = Counter(map(_subject, (what for _, what in self.readings)))
        subject, most = max(subjects.items(), key=itemgetter(1), default=(None, 0))
        if subject is None or 2 * most < count:
            return f"{place}: {count:,} records"
        return f"{place}: {most:,} of {count:,} records are of {subject}"


@runtime_checkable
class _Named(Protocol):
    """A decoded record that names the unit of which a stage keeps one state."""

    @property
    def about(self) -> str:
        """Such as `order o-17`."""


def _subject(what: object) -> str | None:
    return what.about if isinstance(what, _Named) else None


class _CommittedBatches(PartitionRecords):
    """The whole and committed batches of a fetch, as aiokafka chooses them, each as one item.

    aiokafka's own iterator parses a batch to the end before anybody reads its first record.
    """

    def __init__(self, fetched: PartitionRecords) -> None:
        super().__init__(
            fetched._tp,  # noqa: SLF001 - a fetch has no public parts
            fetched._records.unparsed(),  # noqa: SLF001 - as above
            fetched._aborted_transactions,  # noqa: SLF001 - as above
            fetched.next_fetch_offset,
            None,
            None,
            fetched._check_crcs,  # noqa: SLF001 - as above
            fetched._isolation_level,  # noqa: SLF001 - as above
        )

    def _consumer_record(self, tp: object, record: Any) -> Iterator[Any]:  # noqa: ARG002 - aiokafka's signature
        """The records of one item: of a batch, or the record itself from before Kafka 0.11."""
        return record.records() if isinstance(record, UnparsedBatch) else iter((record,))


class Fetch:
    """One fetch of a partition, read chunk by chunk.

    Each record is decoded as soon as it is parsed: later it would have left the processor's cache.
    """

    def __init__(self, partition: TopicPartition, result: FetchResult) -> None:
        self.partition = partition
        self.result = result
        fetched = result._partition_records  # noqa: SLF001 - no public way
        # what is read belongs to this object: aiokafka marks a result that it has read so, too
        result._partition_records = None  # noqa: SLF001 - as above
        self.records: TolerantRecords = fetched._records  # noqa: SLF001 - as above
        """Its records, to look up those that are refused."""
        self._batches = _CommittedBatches(fetched)
        # not begun, and it refers back: all that was fetched would wait for a garbage collection
        fetched._records_iterator = None  # noqa: SLF001 - no public way
        self._parsing: Iterator[Any] | None = None
        """The rest of the batch that is being read."""
        self.position: int = self._batches.next_fetch_offset
        """The fetch position of what is read next."""
        self.more = True
        """Whether there may be more records."""

    def is_current(self) -> bool:
        """Whether the consumer is still at its position.

        It isn't after a seek, an assignment or a pause.
        """
        assignment: Any = self.result._assignment  # noqa: SLF001 - no public way
        state = assignment.state_value(self.partition)
        return assignment.active and not state.paused and state._position == self.position  # noqa: SLF001 - `position` raises while unset

    def read(self, most: int, decode: Callable[[Record], Any]) -> list[tuple[int, Any]]:
        """The next `most` records, each with its offset, decoded.

        Raises Fatal where `decode` raised, which it never may.
        """
        readings: list[tuple[int, Any]] = []
        first, left = self.position, most
        while left:
            if self._parsing is None:
                self._parsing = next(self._batches, None)
                if self._parsing is None:
                    self.position, self.more = self._batches.next_fetch_offset, False
                    break
            for record in self._parsing:
                offset = record.offset
                if offset < first:  # a fetch begins with the batch that contains its first record
                    continue
                try:
                    readings.append((offset, decode(record)))
                except Exception as error:
                    raise self._fault(offset, error) from error
                left -= 1
                if not left:
                    self.position = offset_after(offset)
                    break
            else:
                self._parsing = None
        return readings

    def read_batches(self, least: int) -> list[Record]:
        """The records of the next whole batches: as many as it takes for `least`, or all."""
        records: list[Record] = []
        first = self.position
        while len(records) < least:
            batch = next(self._batches, None)
            self.position = self._batches.next_fetch_offset
            if batch is None:
                self.more = False
                break
            records += [record for record in batch if record.offset >= first]
        return records

    def _fault(self, offset: int, error: Exception) -> Fatal:
        topic, number = self.partition
        return Fatal(
            f"{Position(topic, number, offset)}: {error!r} while reading, nothing of it is "
            "written: a fault of ours, report it"
        )
