"""Files as records for the log, by a mapping: read, joined, matched, sorted by time.

Memory doesn't grow with the files: what waits for its other rows is on disk (`spool`). Only the
rows of lookups are in memory, and of sales that returns may find those of one key.

With a kept spool it continues where the last one had kept: in reading, joining or matching, or
after the last event that was confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from operations.files.opening import size_bytes
from operations.mapping.joining import joined
from operations.mapping.making import EventStage, record_of
from operations.mapping.matching import matched
from operations.mapping.progress import Keeping
from operations.mapping.reading import RowStage, refusal_of
from operations.mapping.spool import Spool
from operations.mapping.values import RowUnmapped
from operations.writing.event_lines import Line
from schemas.refusals import Reason, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from operations.mapping.plan import Mapping
    from operations.writing.event_lines import Outgoing


_REPORT_EVERY: Final = 1000


class MappedFiles:
    """The events of some files. Call `refusals` to its end, then `lines` or `records_by_order`."""

    def __init__(
        self, mapping: Mapping, files: Sequence[str], most_ahead_s: int, kept: Path | None = None
    ) -> None:
        """`kept` is the spool's file; without one nothing outlasts this process.

        Raises EventFileUnreadable, ExtraMissing, MappingUnfit, SpoolFull.
        """
        self._spool = Spool(kept)
        self._keeping = Keeping(self._spool)
        self._progress = self._keeping.now
        self.counts = self._progress.counts
        self.confirmed_before = self._progress.written
        """Events that an interrupted import wrote, which this one leaves out."""

        self._rows = RowStage(mapping, files, self._spool, self.counts)
        self._events = EventStage(self._spool, self.counts, self._rows.at, most_ahead_s)
        self._refused = 0
        self.report: Callable[[int], None] = lambda _: None
        """Gets, while files are read, how many bytes of all were."""

    def close(self) -> None:
        """Release the files."""
        self._spool.close()

    def refusals(self) -> Iterator[Line]:
        """Read everything; the rows and events of which nothing is made.

        Raises EventFileUnreadable, ExtraMissing, MappingUnfit, SpoolFull.
        """
        for place, reason, detail in self._spool.refusals():
            yield self._line(place, 0, Refusal(Reason(reason), detail))
        if self._progress.phase == "reading":
            yield from self._read()
            self._keeping.begin("joining")
        done = sum(size_bytes(path) or 0 for path in self._rows.files)
        if self._progress.phase == "joining":
            yield from self._join(done)
            self._spool.forget_parts()
            self._keeping.begin("matching")
        if self._progress.phase == "matching":
            yield from self._match(done)
            self._keeping.begin("writing")

    def lines(self) -> Iterator[Line]:
        """All events by time, without those that are confirmed."""
        done = sum(size_bytes(path) or 0 for path in self._rows.files)
        for _, _, place, record in self._spool.events(self._progress.written):
            yield Line(self._rows.at(place), done, record_of(record))

    def confirmed(self, lines: int) -> None:
        """Keep that so many lines, of `refusals` and then of `lines`, are written or refused."""
        if self._progress.phase == "writing":
            self._progress.written = max(0, lines - self._refused) + self.confirmed_before
            self._keeping.keep()

    def records_by_order(self) -> Iterator[tuple[str, str, Outgoing]]:
        """(order, place, record) of all events, those of an order together."""
        for _, order_id, place, record in self._spool.events_by_order():
            yield order_id, self._rows.at(place), record_of(record)

    # --- rows → parts → events

    def _refuse(self, place: int, refusal: Refusal, done: int) -> Line:
        self._spool.add_refusal((place, refusal.reason.value, refusal.detail))
        return self._line(place, done, refusal)

    def _line(self, place: int, done: int, refusal: Refusal) -> Line:
        self._refused += 1
        return Line(self._rows.at(place), done, refusal)

    def _read(self) -> Iterator[Line]:
        progress, order = self._progress, self._rows.order()
        before = 0
        for count, number in enumerate(order):
            done_rows = progress.rows if count == progress.files else 0
            if count < progress.files:
                self._rows.recall(number)
            else:
                for rows in self._rows.read(number, done_rows):
                    refused = [
                        self._refuse(place, refusal_of(why), before + read_bytes)
                        for place, read_bytes, why in rows
                        if why is not None
                    ]
                    progress.rows = self._rows.done_rows
                    if not progress.rows % _REPORT_EVERY:
                        self.report(before + rows[-1][1])
                    self._keeping.at_times()
                    yield from refused
                progress.files, progress.rows = count + 1, 0
            before += size_bytes(self._rows.files[number]) or 0

    def _join(self, done: int) -> Iterator[Line]:
        progress = self._progress
        last = progress.group
        parts = self._spool.parts(progress.group)
        for one in joined(parts, self._rows.events, self._rows.at):
            if one.group != last:
                progress.group = last
                self._keeping.at_times()
                last = one.group
            refusal = self._events.add(one)
            if refusal is not None:
                yield self._refuse(one.place, refusal, done)

    def _match(self, done: int) -> Iterator[Line]:
        progress = self._progress
        last = progress.key
        for key, place, events in matched(self._spool.sales(progress.key)):
            if key != last:
                progress.key = last
                self._keeping.at_times()
                last = key
            if isinstance(events, RowUnmapped):
                yield self._refuse(place, refusal_of(str(events)), done)
                continue
            for event in events:
                refusal = self._events.add_event(place, event)
                if refusal is not None:
                    yield self._refuse(place, refusal, done)
