"""Exports that continue: one every so often, until a signal ends them.

Each is one export. The rows of tables are kept between them, so that changelogs are read on. What
is over after a while, such as a broker that restarts, is reported and tried again. A version that
was promoted is exported from the next one on, and replaces all files.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from operations.exporting.iceberg import CatalogueFailed
from operations.exporting.places import ExportRuns, PlaceFailed
from operations.exporting.table_rows import LanesApart, table_rows
from operations.replaying.live_tables import NoTables
from streams.broker_access import BROKER_AWAY, WITHOUT_RIGHTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from operations.exporting.table_rows import TableRows
    from operations.replaying.source_log import ReplayLog
    from streams.settings import Settings

    Export = Callable[[TableRows, "Source"], Awaitable[None]]

RETRY_S: Final = 10.0
"""The most time between an export that failed and the next one, in seconds."""

TRIED_AGAIN: Final = (*BROKER_AWAY, NoTables, LanesApart, ExportRuns, PlaceFailed, CatalogueFailed)
"""What may be over after a while. `GaveUp` is not: nothing had answered for long."""


class Source(NamedTuple):
    """What is exported now: the log, and the applications of its family."""

    settings: Settings
    log: ReplayLog
    family: Collection[str]


class Follower:
    """One run of exports at intervals of `every_s`; it ends when `stop` is set.

    `source` finds the version that is answered now, `export` makes one export of it. An error is
    tried again, but not before the first export, and not if none was complete for `give_up_s`;
    `failed` gets it.
    """

    def __init__(
        self,
        source: Callable[[], Awaitable[Source]],
        export: Export,
        every_s: float,
        give_up_s: float,
        stop: asyncio.Event,
    ) -> None:
        self._source, self._export, self._stop = source, export, stop
        self._every_s, self._give_up_s = every_s, give_up_s
        self._kept = ExitStack()
        self._rows: TableRows | None = None
        self.is_waiting = False

    async def run(self, failed: Callable[[Exception], None]) -> None:
        """Export until `stop` is set. Raises what is not tried again, or was for too long."""
        complete_at_s: float | None = None
        with self._kept:
            while not self._stop.is_set():
                began_s = time.monotonic()
                wait_s = self._every_s
                try:
                    await self._once()
                    complete_at_s = time.monotonic()
                except WITHOUT_RIGHTS:
                    raise
                except TRIED_AGAIN as error:
                    self._forget()
                    if complete_at_s is None or began_s - complete_at_s >= self._give_up_s:
                        raise
                    failed(error)
                    wait_s = min(wait_s, RETRY_S)
                await self._wait(began_s + wait_s - time.monotonic())

    async def _once(self) -> None:
        source = await self._source()
        if self._rows is not None and self._rows.settings != source.settings:
            self._forget()
        if self._rows is None:
            self._rows = self._kept.enter_context(table_rows(source.settings, source.log))
        await self._export(self._rows, source)

    def _forget(self) -> None:
        """Read the tables from their beginning next time."""
        self._kept.close()
        self._rows = None

    async def _wait(self, left_s: float) -> None:
        self.is_waiting = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), max(left_s, 0))
        self.is_waiting = False
