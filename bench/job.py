"""The job that every engine does, by netsold's own rules: so what is compared is the engines, not the counting.

Whether an entry restates its cycle isn't asked here: it depends on watermarks, which the other engines don't keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from schemas.envelope import Received, read
from schemas.times import DAY_MS
from tables import counting, entries, orders
from tables.cycles import Calendar
from tables.sales import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.journal import Delta, Entry

CALENDAR = Calendar(30 * DAY_MS)
NO_CYCLE_MS = -(2**62)
TOTAL = "total"


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """What an engine hands over of a record, without more cost than it must have."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def fold(record: Fetched, place: str, state: bytes | None) -> tuple[bytes | None, list[Entry]]:
    """The order's state after one event of the partition `place`, None if it tells nothing new, and the entries that follow."""
    received = read(record)
    if not isinstance(received, Received):
        raise TypeError(f"all events of the bench can be read, but {record}: {received}")
    before = orders.EMPTY if state is None else orders.decode(state)
    after = orders.absorb(before, received)
    if after is before:
        return None, []
    changed: list[Entry] = []
    if counting.may_differ(after, received):
        cause = entries.Cause(received, f"{place}@{record.offset}", NO_CYCLE_MS)
        changed = entries.difference(counting.derive(before), counting.derive(after), cause, CALENDAR)
    return orders.encode(after), changed


def add(tally: Tally, delta: Delta) -> Tally:
    """The tally with one more entry."""
    tally.add(delta)
    return tally
