"""Files by a mapping, for tests: what is refused, and the events in bare JSON form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from operations.mapping.mapped import MappedFiles
from operations.mapping.plan import read_mapping
from operations.mapping.preview import Preview, received
from operations.mapping.reading import Counts
from schemas.refusals import Refusal
from schemas.times import DAY_MS, format_ms
from tables.cycles import Calendar
from tables.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operations.writing.event_lines import Outgoing

SAMPLES = Path(__file__).parents[1] / "docs" / "samples" / "mappings"
CYCLE_MS = 30 * DAY_MS
AHEAD_S = 300


class Made(NamedTuple):
    """What a mapping made: events by time, refusals by place, and the tables that would result."""

    events: list[dict[str, Any]]
    refused: dict[str, str]
    counts: Counts
    tables: dict[str, list[dict[str, Any]]]
    names: list[tuple[bytes, bytes | None]]


def made(mapping: Path, files: Sequence[Path]) -> Made:
    """Everything that a mapping makes of files."""
    mapped = MappedFiles(read_mapping(mapping), [str(path) for path in files], AHEAD_S)
    try:
        refused: dict[str, str] = {}
        for line in mapped.refusals():
            assert isinstance(line.event, Refusal)
            at = line.at.removeprefix(f"{Path(line.at).parent}/")
            refused[at] = refused.get(at, "") + line.event.detail
        records = [line.event for line in mapped.lines() if not isinstance(line.event, Refusal)]
        preview = Preview(Terms(Calendar(CYCLE_MS, 0)))
        preview.add(mapped.records_by_order())
        return Made(
            [event_of_record(record) for record in records if record.occurred_at_ms is not None],
            refused,
            mapped.counts,
            preview.tables(),
            [(record.key, record.value) for record in records if record.occurred_at_ms is None],
        )
    finally:
        mapped.close()


def event_of_record(record: Outgoing) -> dict[str, Any]:
    """A record as a bare event."""
    found = received(record)
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found.body))
    return {
        **{name: value for name, value in body.items() if value is not None},
        "type": found.type,
        "id": found.id,
        "source": found.source,
        "order_id": found.order_id,
        "occurred_at": format_ms(found.occurred_at_ms),
    }
