"""Files as records for the log, by a mapping: read, joined, matched, sorted by time.

Memory doesn't grow with the files: what waits for its other rows is on disk (`spool`). Only the
rows of lookups are in memory, and of sales that returns may find those of one key.

With a kept spool it continues where the last one had kept: in reading, joining or matching, or
after the last event that was confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from operations.files.opening import size_bytes
from operations.mapping.joining import joined
from operations.mapping.matching import RETURN, SALE, Returned, SoldLine, encode, matched
from operations.mapping.reading import Counts, RowStage, refusal_of
from operations.mapping.spool import Spool
from operations.mapping.values import RowUnmapped
from operations.writing.event_lines import Line, Outgoing, by_now, event_of
from schemas.refusals import Reason, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from operations.mapping.joining import Joined
    from operations.mapping.plan import Mapping

KEEP_EVERY: Final = 20_000
"""Rows or events after which progress is kept: what an interruption costs at most."""

_DIFFERENCES: Final = 20

_encode_json: Final = msgspec.json.Encoder().encode
_encode_record: Final = msgspec.msgpack.Encoder().encode
_decode_record: Final = msgspec.msgpack.Decoder(
    tuple[str, bytes, bytes | None, list[tuple[str, bytes]], int | None]
).decode


class Progress(msgspec.Struct):
    """How far it is: the phase, and what is done of it.

    In reading: files read whole, in the stage's order, and rows of the next one. In joining and
    matching: the last group and key. In writing: events confirmed without a gap.
    """

    phase: Literal["reading", "joining", "matching", "writing"] = "reading"
    files: int = 0
    rows: int = 0
    group: tuple[int, str] = (-1, "")
    key: str | None = None
    written: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)


_encode_progress: Final = msgspec.msgpack.Encoder().encode
_decode_progress: Final = msgspec.msgpack.Decoder(Progress).decode


class MappedFiles:
    """The events of some files. Call `refusals` to its end, then `lines` or `records_by_order`."""

    def __init__(
        self, mapping: Mapping, files: Sequence[str], most_ahead_s: int, kept: Path | None = None
    ) -> None:
        """`kept` is the spool's file; without one nothing outlasts this process.

        Raises EventFileUnreadable, ExtraMissing, MappingUnfit, SpoolFull.
        """
        self._spool = Spool(kept)
        known = self._spool.progress()
        self._progress = Progress() if known is None else _decode_progress(known)
        self.counts = self._progress.counts
        self.confirmed_before = self._progress.written
        """Events that an interrupted import wrote, which this one leaves out."""

        self._most_ahead_s = most_ahead_s
        self._rows = RowStage(mapping, files, self._spool, self.counts)
        self._since_kept = self._refused = 0

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
            self._next("joining")
        done = sum(size_bytes(path) or 0 for path in self._rows.files)
        if self._progress.phase == "joining":
            yield from self._join(done)
            self._spool.forget_parts()
            self._next("matching")
        if self._progress.phase == "matching":
            yield from self._match(done)
            self._next("writing")

    def lines(self) -> Iterator[Line]:
        """All events by time, without those that are confirmed."""
        done = sum(size_bytes(path) or 0 for path in self._rows.files)
        for _, _, place, record in self._spool.events(self._progress.written):
            yield Line(self._rows.at(place), done, Outgoing(*_decode_record(record)))

    def confirmed(self, lines: int) -> None:
        """Keep that so many lines, of `refusals` and then of `lines`, are written or refused."""
        if self._progress.phase == "writing":
            self._progress.written = max(0, lines - self._refused) + self.confirmed_before
            self._spool.keep(_encode_progress(self._progress))

    def records_by_order(self) -> Iterator[tuple[str, str, Outgoing]]:
        """(order, place, record) of all events, those of an order together."""
        for _, order_id, place, record in self._spool.events_by_order():
            yield order_id, self._rows.at(place), Outgoing(*_decode_record(record))

    # --- progress

    def _next(self, phase: Literal["joining", "matching", "writing"]) -> None:
        self._progress.phase = phase
        self._keep()

    def _keep_at_times(self) -> None:
        self._since_kept += 1
        if self._since_kept >= KEEP_EVERY:
            self._keep()

    def _keep(self) -> None:
        self._since_kept = 0
        self._spool.keep(_encode_progress(self._progress))

    def _refuse(self, place: int, refusal: Refusal, done: int) -> Line:
        self._spool.add_refusal((place, refusal.reason.value, refusal.detail))
        return self._line(place, done, refusal)

    def _line(self, place: int, done: int, refusal: Refusal) -> Line:
        self._refused += 1
        return Line(self._rows.at(place), done, refusal)

    # --- rows → parts → events

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
                    self._keep_at_times()
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
                self._keep_at_times()
                last = one.group
            if isinstance(one.event, RowUnmapped):
                yield self._refuse(one.place, refusal_of(str(one.event)), done)
            elif one.reader.plan.match is not None:
                self._add_return(one, one.event)
            else:
                refusal = self._made(one.place, one.event)
                if refusal is not None:
                    yield self._refuse(one.place, refusal, done)
                elif one.event["type"] == "order_placed":
                    self._placed(one, one.event)

    def _made(self, place: int, event: dict[str, Any]) -> Refusal | None:
        """Keep an event, or why the log's decoder refuses it."""
        found = by_now(event_of(_encode_json(event)), self._most_ahead_s)
        if isinstance(found, Refusal):
            return found
        events = self.counts.events
        events[event["type"]] = events.get(event["type"], 0) + 1
        at_ms = found.occurred_at_ms
        record = _encode_record((found.topic, found.key, found.value, found.headers, at_ms))
        order_id = event.get("order_id", "")
        self._spool.add_event((-(2**62) if at_ms is None else at_ms, order_id, place, record))
        return None

    def _placed(self, one: Joined, event: dict[str, Any]) -> None:
        total = 0
        for line, (key, at_ms) in zip(event["lines"], one.keys, strict=True):
            amount = line["quantity"] * line["unit_price"] - line.get("discount", 0)
            total += amount
            if key is not None:
                sold = SoldLine(event["order_id"], line["line_id"], line["quantity"], amount)
                self._spool.add_sale((key, at_ms, SALE, one.place, encode(sold)))
        if one.check is None:
            return
        checked = self.counts.checked
        if one.check == total:
            checked.agree += 1
            return
        checked.differ += 1
        if len(checked.differences) < _DIFFERENCES:
            checked.differences.append(
                f"{self._rows.at(one.place)}: order {event['order_id']}: its lines are {total}"
                f" minor units of {event['currency']}, and the file's own total is {one.check}"
            )

    def _add_return(self, one: Joined, event: dict[str, Any]) -> None:
        (line,) = event.pop("lines")
        ((key, at_ms),) = one.keys
        match = one.reader.plan.match
        returned = Returned(
            event,
            one.reader.number,
            "earliest" if match is None else match.sale,
            line["quantity"],
            line.get("each"),
            line.get("amount"),
            one.unmatched,
        )
        self._spool.add_sale((key or "", at_ms, RETURN, one.place, encode(returned)))

    def _match(self, done: int) -> Iterator[Line]:
        progress = self._progress
        last = progress.key
        for key, place, events in matched(self._spool.sales(progress.key)):
            if key != last:
                progress.key = last
                self._keep_at_times()
                last = key
            if isinstance(events, RowUnmapped):
                yield self._refuse(place, refusal_of(str(events)), done)
                continue
            for event in events:
                refusal = self._made(place, event)
                if refusal is not None:
                    yield self._refuse(place, refusal, done)
