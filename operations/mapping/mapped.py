"""Files as records for the log, by a mapping: read, joined, matched, sorted by time.

Memory doesn't grow with the files: what waits for its other rows is on disk (`spool`). Only the
rows of lookups are in memory, and of sales that returns may find those of one key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.files.opening import size_bytes
from operations.mapping.joining import joined
from operations.mapping.matching import RETURN, SALE, Returned, SoldLine, encode, matched
from operations.mapping.reading import Counts, RowStage
from operations.mapping.spool import Spool
from operations.mapping.values import RowUnmapped
from operations.writing.event_lines import Line, Outgoing, event_of
from schemas.refusals import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from operations.mapping.joining import Joined
    from operations.mapping.plan import Mapping

_DIFFERENCES: Final = 20

_encode_json: Final = msgspec.json.Encoder().encode
_encode_record: Final = msgspec.msgpack.Encoder().encode
_decode_record: Final = msgspec.msgpack.Decoder(
    tuple[str, bytes, bytes | None, list[tuple[str, bytes]], int | None]
).decode


class MappedFiles:
    """The events of some files. Call `refusals` to its end, then `lines` or `records_by_order`."""

    def __init__(self, mapping: Mapping, files: Sequence[str], directory: Path) -> None:
        self.counts = Counts()
        self._spool = Spool(directory)
        self._rows = RowStage(mapping, files, self._spool, self.counts)

    def close(self) -> None:
        """Release the files."""
        self._spool.close()

    def refusals(self) -> Iterator[Line]:
        """Read everything; the rows and events of which nothing is made.

        Raises EventFileUnreadable, MappingUnfit, ExtraMissing, SpoolFull.
        """
        done = 0
        for number in self._rows.order():
            yield from self._rows.read(number, done)
            done += size_bytes(self._rows.files[number]) or 0
        yield from self._join(done)
        yield from self._match(done)

    def lines(self) -> Iterator[Line]:
        """All events by time."""
        done = sum(size_bytes(path) or 0 for path in self._rows.files)
        for _, _, place, record in self._spool.events():
            yield Line(self._rows.at(place), done, Outgoing(*_decode_record(record)))

    def records_by_order(self) -> Iterator[tuple[str, str, Outgoing]]:
        """(order, place, record) of all events, those of an order together."""
        for _, order_id, place, record in self._spool.events_by_order():
            yield order_id, self._rows.at(place), Outgoing(*_decode_record(record))

    # --- parts → events

    def _join(self, done: int) -> Iterator[Line]:
        for one in joined(self._spool.parts(), self._rows.events, self._rows.at):
            if isinstance(one.event, RowUnmapped):
                yield self._rows.refused(one.place, str(one.event), done)
            elif one.reader.plan.match is not None:
                self._add_return(one, one.event)
            else:
                refusal = self._made(one.place, one.event)
                if refusal is not None:
                    yield Line(self._rows.at(one.place), done, refusal)
                elif one.event["type"] == "order_placed":
                    self._placed(one, one.event)
        self._spool.forget_parts()

    def _made(self, place: int, event: dict[str, Any]) -> Refusal | None:
        """Keep an event, or why the log's decoder refuses it."""
        found = event_of(_encode_json(event))
        if isinstance(found, Refusal):
            return found
        self.counts.events[event["type"]] += 1
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
        for place, _, events in matched(self._spool.sales()):
            if isinstance(events, RowUnmapped):
                yield self._rows.refused(place, str(events), done)
                continue
            for event in events:
                refusal = self._made(place, event)
                if refusal is not None:
                    yield Line(self._rows.at(place), done, refusal)
