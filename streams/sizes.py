"""How many records of one partition go into one transaction, by the work such records made before.

Rows and bytes of a transaction are bounded: a chunk that turns out larger is folded again with
fewer records (folding writes nothing). Times can only be aimed at: a chunk that took too
long halves the size, and from then on it grows by small steps, as TCP's window does.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas import limits
from streams import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import TopicPartition

    from streams.settings import Settings
    from tables.outcome import Outcome

STEPS: Final = 32
"""After a cut, a size grows by this part of `chunk_records` with every transaction that fits,
and by half of itself at most."""

FOLD_PART: Final = 1 / 15
"""The part of the transaction's timeout that one fold may use: the event loop does nothing else
meanwhile, and other lanes' transactions wait."""

COMMIT_PART: Final = 1 / 3
"""The part of the transaction's timeout that one transaction may use, so that it still ends in time
when everything is three times slower."""

AIM: Final = 3 / 4
"""The part of the bounds on rows and bytes that the next transaction is meant to fill."""

if not (FOLD_PART < COMMIT_PART < 1 and AIM < 1):
    raise AssertionError("sizes: what is aimed at must lie within what is allowed")


class Work(NamedTuple):
    """What an outcome writes.

    `rows` of public topics, changelogs and dead letters; `bytes` of the keys and values of the
    first two.
    """

    rows: int
    bytes: int


def work_of(outcome: Outcome) -> Work:
    """How much an outcome writes."""
    sends, writes = outcome.sends.values(), outcome.writes.values()
    rows = sum(map(len, sends)) + sum(map(len, writes)) + len(outcome.parked)
    # keys and values alike; `chain` and `map` walk all of this in C
    sent = chain.from_iterable(chain.from_iterable(sends))
    states = filter(None, chain.from_iterable(some.values() for some in writes))
    return Work(rows, sum(map(len, chain(sent, chain.from_iterable(writes), states))))


class Size:
    """Most records of one partition's next transaction."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.chunk_records
        self._most_rows, self._most_bytes = settings.transaction_rows, settings.transaction_bytes
        timeout_s = settings.transaction_timeout_ms / 1000
        self._fold_s, self._commit_s = timeout_s * FOLD_PART, timeout_s * COMMIT_PART
        self._cut = False
        self.records = min(limits.FIRST_TRANSACTION_RECORDS, self._most)

    def fits(self, work: Work) -> bool:
        """Whether one transaction may write this much."""
        return self._filled(work) <= 1

    def too_much(self, records: int, work: Work) -> None:
        """A chunk of `records` would write more than one transaction may.

        The next try has at most half of them, and at least one.
        """
        self._shrink(min(records // 2, int(records * AIM / self._filled(work))))

    def timed_out(self, records: int) -> bool:
        """A transaction of `records` didn't end in time. Returns whether the next is smaller."""
        self._shrink(records // 2)
        return self.records < records

    def is_late(self, fold_s: float, commit_s: float) -> bool:
        """Whether a fold, or a transaction, took longer than it should."""
        return fold_s > self._fold_s or commit_s > self._commit_s

    def committed(self, records: int, work: Work, fold_s: float, commit_s: float) -> None:
        """A transaction of `records` is committed; its work and times decide the next size."""
        if records >= limits.LEAST_TRANSACTION_RECORDS and self.is_late(fold_s, commit_s):
            self._shrink(max(records // 2, min(limits.LEAST_TRANSACTION_RECORDS, self._most)))
        elif records >= self.records:
            step = max(1, min(self._most // STEPS, self.records // 2))
            grown = self.records + step if self._cut else 2 * self.records
            share = max(self._filled(work) / AIM, fold_s / self._fold_s)
            foreseen = int(records / share) if share else grown
            self.records = max(1, min(grown, foreseen, self._most))

    def _filled(self, work: Work) -> float:
        return max(work.rows / self._most_rows, work.bytes / self._most_bytes)

    def _shrink(self, records: int) -> None:
        self._cut = True
        self.records = max(1, min(self.records, records))


class ChunkSizes:
    """The size of each assigned partition.

    It survives openings: otherwise a chunk that is too large would be tried at the same size for
    ever.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sizes: dict[TopicPartition, Size] = {}

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Keep these partitions' sizes, begin those that are new, and forget all others."""
        self._sizes = {one: self._sizes.get(one) or Size(self._settings) for one in partitions}

    def of(self, partition: TopicPartition) -> Size | None:
        """The size of a partition, None if it isn't assigned any more."""
        return self._sizes.get(partition)

    def most_records(self, partition: TopicPartition) -> int:
        """Most records of the partition's next transaction."""
        size = self._sizes.get(partition)
        return limits.FIRST_TRANSACTION_RECORDS if size is None else size.records

    def show(self, partition: TopicPartition) -> None:
        """Set the metric to the partition's size."""
        gauge = metrics.CHUNK_RECORDS.labels(partition.topic, str(partition.partition))
        gauge.set(self.most_records(partition))
