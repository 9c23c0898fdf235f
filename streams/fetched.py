"""One fetch of a partition, read chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.batches import Batch
from streams.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiokafka.consumer.fetcher import FetchResult
    from faust.types import TP

    from schemas.envelope import Record
    from streams.batches import TolerantRecords


class Fetched:
    """What aiokafka holds of one fetch.

    It says which batches count, those that are whole and committed; their records are read here.

    A record is read as soon as it is parsed, and forgotten: looking at it again later takes a
    quarter more time, as by then it is in no cache any more. Aiokafka's own way to each single
    record would take a seventh more.
    """

    def __init__(self, tp: TP, result: FetchResult) -> None:
        self.tp = tp
        self.result = result
        self._source: Any = result._partition_records  # noqa: SLF001 - no public way
        self._source._consumer_record = lambda _tp, batch: batch  # noqa: SLF001 - as above
        self.records: TolerantRecords = self._source._records  # noqa: SLF001 - as above
        """Where records that were read can be looked up."""
        self.records.whole = True
        self._begun: Iterator[Any] | None = None
        self.position: int = self._source.next_fetch_offset
        """Where reading goes on."""
        self.more = True
        """Whether there may be more."""

    def is_next(self) -> bool:
        """Whether its position is still the consumer's.

        It isn't after a seek, an assignment or a pause.
        """
        assignment: Any = self.result._assignment  # noqa: SLF001 - no public way
        state = assignment.state_value(self.tp)
        return assignment.active and not state.paused and state._position == self.position  # noqa: SLF001 - `position` mustn't be unset

    def take(self, most: int, read: Callable[[Record], Any]) -> list[tuple[int, Any]]:
        """The next records' offsets and what they say, at most so many; moves on.

        Raises Fatal where `read` raised, which it never may.
        """
        readings: list[tuple[int, Any]] = []
        first, left = self.position, most
        while left:
            if self._begun is None:
                batch = next(self._source, None)
                if batch is None:
                    self.position, self.more = self._source.next_fetch_offset, False
                    break
                self._begun = (
                    batch.records() if isinstance(batch, Batch) else iter([batch])
                )  # before Kafka 0.11
            for record in self._begun:
                at = record.offset
                if at < first:  # a fetch begins with the batch that holds its first record
                    continue
                try:
                    readings.append((at, read(record)))
                except Exception as error:
                    place = f"{self.tp.topic}-{self.tp.partition}@{at}"
                    raise Fatal(
                        f"{place}: {error!r} while reading, nothing of it is written: a fault of ours, report it"
                    ) from error
                left -= 1
                if not left:
                    self.position = at + 1
                    break
            else:
                self._begun = None
        return readings
