"""The first record of each source partition that is not applied yet, and when it was written.

By it a reader knows for how long events wait for the tables.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.positions import offset_after
from streams import log
from streams.broker_access import BROKER_AWAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.log import At
    from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class UnappliedRecord:
    """The first record of a partition that is not applied.

    `written_ms` is None where it cannot be read yet: its writer's transaction is open.
    """

    offset: int
    written_ms: int | None


class FirstUnapplied:
    """Reads the first unapplied record of each partition; one that was found is not read again.

    A reading takes at most twice `request_s`.
    """

    def __init__(self, settings: Settings, request_s: float) -> None:
        self._settings = settings
        self._request_s = request_s
        self._found: dict[tuple[At, int], tuple[int, UnappliedRecord | None]] = {}
        """By partition and position: the log's end at the reading, and the record."""

    async def read(
        self, applied: Mapping[At, int], beginnings: Mapping[At, int], ends: Mapping[At, int]
    ) -> dict[At, UnappliedRecord | None]:
        """The record of each partition that has offsets behind its applied one.

        None where those are control records alone.
        """
        following = {at: offset_after(applied.get(at, -1)) for at in ends}
        positions = {
            at: max(offset, beginnings.get(at, 0))
            for at, offset in following.items()
            if offset < ends[at]
        }
        known = {}
        for at, position in positions.items():
            end, first = self._found.get((at, position), (-1, None))
            if end == ends[at] if first is None else first.written_ms is not None:
                known[at] = end, first
        left = {
            at: position
            for at, position in positions.items()
            if at not in known and position < ends[at]
        }
        known |= await self._read(left, ends)
        self._found = {(at, positions[at]): answer for at, answer in known.items()}
        return {at: first for at, (_, first) in known.items()}

    async def _read(
        self, starts: Mapping[At, int], ends: Mapping[At, int]
    ) -> dict[At, tuple[int, UnappliedRecord | None]]:
        if not starts:
            return {}
        try:
            async with asyncio.timeout(2 * self._request_s):
                found = await log.first(self._settings, starts, ends, self._request_s)
        except BROKER_AWAY:
            found = {}
        read = {
            at: None if record is None else UnappliedRecord(record.offset, record.timestamp)
            for at, record in found.items()
        }
        unread = {
            at: UnappliedRecord(start, None) for at, start in starts.items() if at not in found
        }
        return {at: (ends[at], first) for at, first in (read | unread).items()}
