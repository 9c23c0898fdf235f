"""Compares a partition of the journal `sales` with the replayed rows: ids and all values.

Of each source partition the rows are in the order of its offsets on both sides, so they are read
side by side, and memory is bounded whatever the journal's size.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import msgspec

from operations.replaying.differences import SHOWN, text
from operations.replaying.plan import cause_of, feeding, id_of, mark_of
from operations.replaying.row_files import blocks, rows_path
from operations.replaying.row_keys import UNREADABLE
from schemas.positions import Position, offset_after, position_of
from tables.catalogue import PRODUCT_STAGE, SALES_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from operations.replaying.plan import Stop
    from operations.replaying.row_files import JournalRow
    from operations.replaying.work import Report, Work
    from schemas.envelope import Record
    from streams.log import At

MOST_FIRSTS: Final = 100_000
"""Most ids whose first differing position is kept."""


class RowMismatch(msgspec.Struct):
    """A row of `sales` that differs; None where a side has none.

    `position` is that of the live record.
    """

    id: str
    live: str | None
    replayed: str | None
    position: str | None


class JournalResult(msgspec.Struct):
    """The comparison of a partition of `sales`; `rows` are those of the journal.

    `firsts` has, by id of a product or shop (`product_id/p-1`), the first differing row's cause.
    """

    partition: int
    rows: int = 0
    differing: int = 0
    shown: list[RowMismatch] = msgspec.field(default_factory=list)
    firsts: dict[str, str] = msgspec.field(default_factory=dict)


class _Subject(msgspec.Struct, frozen=True, gc=False):
    product_id: str = ""
    shop_id: str = ""


_decode_subject: Final = msgspec.json.Decoder(_Subject).decode


async def check_journal(work: Work, partition: int, report: Report) -> JournalResult:
    """Compare the rows that the last mark of the product lane includes."""
    stops = work.known_plan().stops[f"{PRODUCT_STAGE.name}-{partition}"]
    at = (work.settings.topic(SALES_TOPIC), partition)
    sources = {
        work.source(feeder, number): rows_path(
            work.directory, f"{feeder}-{number}", SALES_TOPIC, partition
        )
        for feeder in feeding(SALES_TOPIC)
        for number in range(work.settings.partitions)
    }
    check = _Check(at, {source: _Expected(path, report) for source, path in sources.items()})
    first = work.known_plan().beginnings[f"{at[0]}-{partition}"]
    reading = work.log.spans({at: first}, {at: offset_after(stops[-1].offset)})
    async with aclosing(reading) as steps:
        async for step in steps:
            await asyncio.to_thread(check.add, step.records.get(at, []))
    check.end(stops[-1])
    return check.result


class _Expected:
    """The replayed rows of one source partition, one after the other."""

    def __init__(self, path: Path, report: Report) -> None:
        self._rows: Iterator[JournalRow] = (
            row for block in blocks(path, report) for row in block.rows
        )
        self.row = next(self._rows, None)

    def advance(self) -> None:
        self.row = next(self._rows, None)

    def before(self, cause: int, row_id: str) -> Iterator[JournalRow]:
        """The rows in front of the one with this id; of a later cause none."""
        while self.row is not None:
            own = cause_of(self.row[1])
            if own > cause or (own == cause and id_of(self.row[1]) == row_id):
                return
            yield self.row
            self.advance()


class _Check:
    def __init__(self, at: At, expected: dict[str, _Expected]) -> None:
        self._at = at
        self.result = JournalResult(at[1])
        self._expected = expected
        self._last = next(iter(expected.values()))

    def add(self, records: Iterable[Record]) -> None:
        """Compare the next records of the journal."""
        last, rows = self._last, 0
        for record in records:
            if record.key is None and mark_of(record.value or b"") is not None:
                continue
            rows += 1
            value = record.value
            if last.row is not None and last.row[1] == value and last.row[0] == record.key:
                last.advance()  # the usual case: the rows of a transaction follow each other
                continue
            last = self._matched(record) or last
        self._last = last
        self.result.rows += rows

    def _matched(self, record: Record) -> _Expected | None:
        for expected in self._expected.values():
            row = expected.row
            if row is not None and row[1] == record.value and row[0] == record.key:
                expected.advance()
                return expected
        self._mismatch(record)
        return None

    def _mismatch(self, record: Record) -> None:
        """Name what differs: rows that are missing before it, its values, or the row itself."""
        value = record.value or b""
        row_id, cause = id_of(value), cause_of(value)
        expected = self._expected.get(row_id.rpartition("@")[0])
        replayed: bytes | None = None
        if expected is not None:
            for missing in expected.before(cause, row_id):
                self._keep(id_of(missing[1]), None, missing[1], None)
            row = expected.row
            if row is not None and id_of(row[1]) == row_id:
                replayed = row[1]
                expected.advance()
                if row == (record.key, record.value):
                    return
        place = str(Position(*self._at, record.offset))
        self._keep(row_id, value, replayed, place)

    def end(self, stop: Stop) -> None:
        """The journal is read: what is left of the included rows is missing in it."""
        for source, expected in self._expected.items():
            last = stop.vector.get(source, -1)
            for missing in expected.before(last, ""):
                self._keep(id_of(missing[1]), None, missing[1], None)

    def _keep(
        self, row_id: str, live: bytes | None, replayed: bytes | None, position: str | None
    ) -> None:
        result = self.result
        result.differing += 1
        if len(result.shown) < SHOWN:
            result.shown.append(RowMismatch(row_id, text(live), text(replayed), position))
        cause = row_id.rpartition("#")[0]
        for value in (live, replayed):
            if value is not None and len(result.firsts) < MOST_FIRSTS:
                for name, id_ in msgspec.structs.asdict(_subject(value)).items():
                    earlier(result.firsts, f"{name}/{id_}", cause)


def earlier(firsts: dict[str, str], name: str, cause: str) -> None:
    """Keep the earlier of two causes; those of two source partitions have no order."""
    try:
        known, new = position_of(firsts.setdefault(name, cause)), position_of(cause)
    except ValueError:
        return
    if (new.topic, new.partition) == (known.topic, known.partition) and new < known:
        firsts[name] = cause


def _subject(value: bytes) -> _Subject:
    try:
        return _decode_subject(value)
    except UNREADABLE:
        return _Subject()
