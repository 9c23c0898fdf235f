"""How `netsold export` runs: once, or again and again until a signal, with progress on stderr."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from operations.exporting.following import Follower, Source
from operations.exporting.running import OF_KAFKA, export
from operations.exporting.table_rows import table_rows
from operations.exporting.threads import in_thread
from operations.failures import explained
from operations.local.kafka import named_cluster
from operations.output import print_error
from operations.progress import Steps
from operations.replaying.live_tables import require_tables
from operations.replaying.processes import quiet
from operations.replaying.source_log import KafkaLog
from operations.waiting import REPORT_EVERY_S, Interrupted, Waiting
from streams.versions import read_versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from operations.exporting.iceberg import IcebergTables
    from operations.exporting.places import Place
    from operations.exporting.running import Exported
    from operations.exporting.table_rows import TableRows


class ExportRun:
    """Exports of the version that is named, or else of the one that readers answer from.

    `shown` gets each export, once `tables` have it, too. Kafka may be without an answer for
    `give_up_s`.
    """

    def __init__(
        self,
        place: Place,
        version: str | None,
        give_up_s: float,
        shown: Callable[[Exported], None],
        tables: IcebergTables | None = None,
    ) -> None:
        self._place, self._version, self._shown = place, version, shown
        self._tables = tables
        self._give_up_s = give_up_s
        quiet()
        self._settings = named_cluster()
        self._steps = Steps()
        self._waits_for_kafka = True

    def _begin(self, what: str, total: int | None) -> Callable[[int], None]:
        self._waits_for_kafka = what in OF_KAFKA
        return self._steps.begin(what, total)

    def _pending(self) -> tuple[object, str] | None:
        """What is waited for: nothing while files are written, however long that takes."""
        return self._steps.pending() if self._waits_for_kafka else None

    def once(self) -> None:
        """Export what is new. Raises Interrupted, and what exporting raises."""
        with self._steps:
            self._waiting().run(self._once(), self._pending)

    async def _once(self) -> None:
        source = await self._source()
        with table_rows(source.settings, source.log) as rows:
            await self._export(rows, source)

    async def _export(self, rows: TableRows, source: Source) -> None:
        found = await export(rows, source.log, self._place, self._begin, source.family)
        if self._tables is not None:
            report = self._begin("rows of Iceberg tables", None)
            await in_thread(self._tables.write, self._place, found.complete, report)
        self._shown(found)

    def follow(self, every_s: float) -> None:
        """Export every `every_s` seconds until a signal, which is no error."""

        async def run() -> None:
            waiting = self._waiting()
            follower = Follower(self._source, self._export, every_s, self._give_up_s, waiting.stop)
            await waiting.bounded(
                follower.run(self._failed),
                lambda: None if follower.is_waiting else self._pending(),
            )

        try:
            with self._steps:
                asyncio.run(run())
        except Interrupted:
            print_error(
                "netsold: ended within an export; the next one to the same place continues it"
            )

    def _waiting(self) -> Waiting:
        return Waiting(self._settings, self._give_up_s, print_error, REPORT_EVERY_S)

    async def _source(self) -> Source:
        """What is exported now. An export of a version that is named replaces no other one."""
        self._waits_for_kafka = True
        versions = await read_versions(self._settings)
        name = versions.pointed if self._version is None else self._version
        settings = versions.settings_of(name, self._settings)
        await require_tables(settings)
        family = () if self._version is not None else versions.apps
        return Source(settings, KafkaLog(settings), family)

    def _failed(self, error: Exception) -> None:
        found = explained(error)
        sentence = str(error) if found is None else found[0]
        print_error(f"netsold: {sentence}; it is tried again")
