"""Joined events as records for the log, stored on disk, or why the log would refuse them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.mapping.matching import RETURN, SALE, Returned, SoldLine, encode
from operations.mapping.reading import refusal_of
from operations.mapping.values import RowUnmapped
from operations.writing.event_lines import Outgoing, by_now, event_of
from schemas.money import shown
from schemas.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from operations.mapping.joining import Joined
    from operations.mapping.reading import Counts
    from operations.mapping.spool import Spool

_DIFFERENCES: Final = 20
_encode_json: Final = msgspec.json.Encoder().encode
_encode_record: Final = msgspec.msgpack.Encoder().encode
_decode_record: Final = msgspec.msgpack.Decoder(
    tuple[str, bytes, bytes | None, list[tuple[str, bytes]], int | None]
).decode


def record_of(stored: bytes) -> Outgoing:
    """A record as it was stored."""
    return Outgoing(*_decode_record(stored))


class EventStage:
    """Makes records of joined events; `counts` gets what was made, and `at` names a row's place."""

    def __init__(
        self, spool: Spool, counts: Counts, at: Callable[[int], str], most_ahead_s: int
    ) -> None:
        self._spool, self._counts, self._at = spool, counts, at
        self._most_ahead_s = most_ahead_s

    def add(self, one: Joined) -> Refusal | None:
        """Store an event, or a return that looks for its sale; or why nothing is made of it."""
        if isinstance(one.event, RowUnmapped):
            return refusal_of(str(one.event))
        if one.reader.plan.match is not None:
            self._add_return(one, one.event)
            return None
        refusal = self.add_event(one.place, one.event)
        if refusal is None and one.event["type"] == "order_placed":
            self._placed(one, one.event)
        return refusal

    def add_event(self, place: int, event: dict[str, Any]) -> Refusal | None:
        """Store an event; or why the log's decoder refuses it."""
        found = by_now(event_of(_encode_json(event)), self._most_ahead_s)
        if isinstance(found, Refusal):
            return found
        events = self._counts.events
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
        checked = self._counts.checked
        if one.check == total:
            checked.agree += 1
            return
        checked.differ += 1
        if len(checked.differences) < _DIFFERENCES:
            checked.differences.append(
                f"{self._at(one.place)}: order {event['order_id']}: its lines are"
                f" {shown(event['currency'], total)}, and the file's own total is"
                f" {shown(event['currency'], one.check)}"
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
