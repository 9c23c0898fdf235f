"""How many records of one partition go into one transaction.

By the work that such records made before, not by their number alone.

Rows and bytes of a transaction are bounded: what came out larger is folded again with fewer records
(folding writes nothing). Times can only be aimed at: a chunk that took too long halves the size,
and from then on it grows by small steps, as TCP's window does.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas import limits

if TYPE_CHECKING:
    from streams.settings import Settings
    from tables.outcome import Outcome

STEPS: Final = 32
"""After a cut, a size grows by this part of `chunk_records` with every transaction that fits,
and by half of itself at most."""

FOLD_PART: Final = 1 / 15
"""Of the transaction's timeout, what one fold may take: the event loop stands still meanwhile,
and other lanes' transactions wait."""

COMMIT_PART: Final = 1 / 3
"""Of the transaction's timeout, what one transaction may take, so that it still ends in time
when all is three times slower."""

AIM: Final = 3 / 4
"""The part of the bounds on rows and bytes that the next transaction is meant to fill."""

if not (FOLD_PART < COMMIT_PART < 1 and AIM < 1):
    raise AssertionError("sizes: what is aimed at must lie within what is allowed")


class Work(NamedTuple):
    """What an outcome writes: rows of public topics, of changelogs and dead letters.

    Bytes of the first two's keys and values.
    """

    rows: int
    bytes: int


def work_of(outcome: Outcome) -> Work:
    """How much an outcome writes."""
    sends, writes = outcome.sends.values(), outcome.writes.values()
    rows = sum(map(len, sends)) + sum(map(len, writes)) + len(outcome.parked)
    sent = chain.from_iterable(
        chain.from_iterable(sends)
    )  # keys and values alike; all of this is walked in C
    states = filter(None, chain.from_iterable(some.values() for some in writes))
    return Work(rows, sum(map(len, chain(sent, chain.from_iterable(writes), states))))


class Size:
    """Most records of one partition's next transaction.

    Survives openings, so that what didn't fit isn't tried as it was.
    """

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
        """So many records would write more than one transaction may.

        The next try has at most half of them, and at least one.
        """
        self._shrink(min(records // 2, int(records * AIM / self._filled(work))))

    def outran(self, records: int) -> bool:
        """A transaction of so many records didn't end in time.

        Returns whether the next one is smaller.
        """
        self._shrink(records // 2)
        return self.records < records

    def is_late(self, fold_s: float, commit_s: float) -> bool:
        """Whether a fold, or a transaction, took longer than it should."""
        return fold_s > self._fold_s or commit_s > self._commit_s

    def committed(self, records: int, work: Work, fold_s: float, commit_s: float) -> None:
        """So many records are committed; their work and times say how many come next."""
        if records >= limits.LEAST_TRANSACTION_RECORDS and self.is_late(fold_s, commit_s):
            self._shrink(max(records // 2, min(limits.LEAST_TRANSACTION_RECORDS, self._most)))
        elif records >= self.records:
            grown = (
                self.records + max(1, min(self._most // STEPS, self.records // 2))
                if self._cut
                else 2 * self.records
            )
            share = max(self._filled(work) / AIM, fold_s / self._fold_s)
            foreseen = int(records / share) if share else grown
            self.records = max(1, min(grown, foreseen, self._most))

    def _filled(self, work: Work) -> float:
        return max(work.rows / self._most_rows, work.bytes / self._most_bytes)

    def _shrink(self, records: int) -> None:
        self._cut = True
        self.records = max(1, min(self.records, records))
