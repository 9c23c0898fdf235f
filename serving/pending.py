"""Fetched records of tables that wait for their mark: a partition is shown only at its marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import limits
from streams.marks import MARK_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.envelope import Record
    from streams.log import At


class Pending:
    """The records behind the last mark of each partition."""

    def __init__(self) -> None:
        self._records: dict[At, list[Record]] = {}
        self._without_mark: set[At] = set()

    def ready(self, at: At, records: Sequence[Record], *, until_mark: bool) -> Sequence[Record]:
        """The records to apply now, of pending and fetched ones; the others become pending.

        None do unless `until_mark`, nor where they are too many.
        """
        records = [*self._records.pop(at, ()), *records]
        end = next(
            (index for index in range(len(records), 0, -1) if records[index - 1].key == MARK_KEY), 0
        )
        if until_mark and len(records) - end <= limits.WAITING_RECORDS:
            self._records[at] = records[end:]
            if end:
                self._without_mark.discard(at)
            return records[:end]
        if end < len(records):
            self._without_mark.add(at)
        elif records:
            self._without_mark.discard(at)
        return records

    @property
    def end_with_marks(self) -> bool:
        """Whether all records that were applied end with the mark of their partition."""
        return not self._without_mark

    def position(self, at: At, fetched: int) -> int:
        """The offset of the first record that isn't applied; `fetched` is the next to fetch."""
        records = self._records.get(at)
        return records[0].offset if records else fetched
