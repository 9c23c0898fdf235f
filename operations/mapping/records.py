"""Records of another system's topic as events, one record at a time, by a mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from operations.mapping.joining import encode_part, joined
from operations.mapping.parts import FileReader
from operations.mapping.plan import MappingUnfit
from operations.mapping.rows import json_row
from operations.mapping.values import RowUnmapped
from operations.writing.event_lines import by_now, event_of
from schemas import limits
from schemas.refusals import Reason, Refusal
from streams.bridge import Bridged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operations.mapping.plan import FilePlan, Mapping
    from operations.mapping.spool import PartRow
    from schemas.envelope import Record

_encode: Final = msgspec.json.Encoder().encode


class RecordMapper:
    """Makes the events of each record of a topic.

    Beside the members of its value, a record's row has `kafka.key`, `kafka.timestamp` (epoch ms)
    and `kafka.headers.NAME`. Raises MappingUnfit for a mapping that needs other rows, too.
    """

    def __init__(self, mapping: Mapping, topic: str, most_ahead_s: int) -> None:
        plan = mapping.plan_of(topic)
        _check(plan)
        self._topic, self._most_ahead_s = topic, most_ahead_s
        self._reader = FileReader(plan, 0)

    def convert(self, record: Record) -> Sequence[Bridged] | Refusal:
        """All events of a record, or why there are none; a record without a value makes none."""
        if record.value is None:
            return ()
        try:
            return self._converted(record)
        except RowUnmapped as error:
            return Refusal(Reason.NOT_MAPPED, str(error)[: limits.DETAIL_CHARS])

    def _converted(self, record: Record) -> Sequence[Bridged] | Refusal:
        plan = self._reader.plan
        row = json_row(record.value, plan.json_columns)
        if isinstance(row, RowUnmapped):
            raise row
        row["kafka.key"] = None if record.key is None else record.key.decode(errors="replace")
        row["kafka.timestamp"] = record.timestamp
        row["#row"], row["#file"] = record.offset, self._topic
        for name, value in record.headers:
            row[f"kafka.headers.{name}"] = (value or b"").decode(errors="replace")
        if self._reader.skipped(row) is not None:
            return ()
        parts: list[PartRow] = [
            (event.number, id_, 0, element, encode_part(part))
            for element, (event, id_, part) in enumerate(self._reader.parts(row))
        ]
        parts.sort(key=lambda part: part[:4])
        made = []
        for one in joined(parts, self._reader.events, lambda _: "this record"):
            if isinstance(one.event, RowUnmapped):
                raise one.event
            found = by_now(event_of(_encode(one.event)), self._most_ahead_s)
            if isinstance(found, Refusal):
                return found
            made.append(Bridged(found.topic, found.key, found.value, found.headers))
        return made


def _check(plan: FilePlan) -> None:
    """Raise MappingUnfit for what a single record can't have."""
    if plan.format != "jsonl":
        raise MappingUnfit('a bridged topic has records of JSON: give format = "jsonl"')
    if plan.fill_down:
        raise MappingUnfit("a bridge has one record at a time: fill_down needs the row above")
    if plan.join or plan.lookup is not None:
        raise MappingUnfit("a bridge has no lookups: let the record have the column")
    for event in FileReader(plan, 0).events:
        if event.plan.match is not None or event.is_numbered:
            raise MappingUnfit(
                "a bridge has one record at a time: match and {#n} need all rows of a file"
            )
