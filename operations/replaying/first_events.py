"""The first event from which on an order or a conversation differs, found by reading the log again.

Only for the rows that are shown: each partition with one is read once more.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from schemas.envelope import ChatMessage, Received
from schemas.positions import Position
from tables.catalogue import (
    CHAT_STAGE,
    CHATS,
    ORDER_STAGE,
    ORDERS,
    split_conversation_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from operations.replaying.differences import RowDifference
    from operations.replaying.work import Report, Work

_STAGES: Final = {ORDERS.name: ORDER_STAGE, CHATS.name: CHAT_STAGE}


async def add_first_events(work: Work, rows: Iterable[RowDifference], report: Report) -> None:
    """Set `first` of differing orders and conversations to their first differing event's position.

    It stays None where no event of the log has what differs.
    """
    wanted: defaultdict[tuple[str, int], dict[bytes, RowDifference]] = defaultdict(dict)
    for row in rows:
        if row.table in _STAGES:
            wanted[row.table, row.partition][_record_key(row)] = row
    plan = work.known_plan()
    for (table, partition), by_key in wanted.items():
        spec = _STAGES[table]
        stage, topic = work.stage(spec.name), work.settings.topic(spec.source)
        at = (topic, partition)
        last = max(stop.offset for stop in plan.stops[f"{spec.name}-{partition}"])
        first = plan.beginnings[f"{topic}-{partition}"]
        reading = work.log.spans({at: first}, {at: last + 1})
        async with aclosing(reading) as steps:
            async for step in steps:
                records = step.records.get(at, [])
                found = [one for one in records if one.key in by_key]
                await asyncio.sleep(0)
                for record in found:
                    row = by_key[record.key or b""]
                    if row.first is None and _event_id(stage.read(record)) in row.facts:
                        row.first = str(Position(topic, partition, record.offset))
                report(len(records))


def _record_key(row: RowDifference) -> bytes:
    """The key of the records that a row is made of."""
    if row.table == CHATS.name:
        return "/".join(split_conversation_key(row.key.encode())).encode()
    return row.key.encode()


def _event_id(reading: object) -> tuple[str, str] | None:
    """(source, id) of an event."""
    if isinstance(reading, Received):
        return reading.source, reading.id
    if isinstance(reading, ChatMessage):
        return reading.message.source, reading.message.id
    return None
