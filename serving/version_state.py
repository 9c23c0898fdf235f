"""Which version a reader process answers from, and which one it prepares.

A version is an application of a family that counts the same log. The process follows the pointer
(serving/switch.py) and changes this; routes read it. All of it is of one event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from schemas import times
from schemas.status import (
    BesideVersion,
    Difference,
    LastAudit,
    PreparedVersion,
    VersionsStatus,
)
from serving.findings import notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.control import Diff
    from schemas.status import Finding
    from serving.pointer import Pointing
    from serving.reader import Reader
    from streams.settings import Settings

_STORE: Final = "/store-"
"""In each error that names a file of a store."""


@dataclass(slots=True)
class VersionState:
    """The reader that answers, and since when it does (epoch ms); None before the first one runs.

    `preparing` follows beside it until it answers, `finishing` until the requests are answered that
    began on it. `pointing` is where the pointer is, as last read; `unread` is why it can't be read
    now, `unprepared` why the reader of the pointed version failed. `behind` are the records that
    workers of other versions have not applied, of those where that is known.
    """

    answering: Reader
    since_ms: int | None = None
    preparing: Reader | None = None
    finishing: Reader | None = None
    pointing: Pointing | None = None
    unread: str | None = None
    unprepared: str | None = None
    behind: dict[str, int] = field(default_factory=dict)

    def report_damage(self, error: Exception) -> None:
        """Report a damaged block to the reader whose store has it, as the error names it."""
        readers = (self.answering, self.preparing, self.finishing)
        owners = [one for one in readers if one is not None and one.has_file_of(error)]
        if not owners and _STORE not in str(error):
            owners = [self.answering]
        for one in owners:
            one.report_damage(error)

    def status(self) -> VersionsStatus:
        """The versions as they are answered."""
        pointing, audit = self.pointing, self.answering.audits.found
        return VersionsStatus(
            answered=self.answering.settings.app,
            answered_since=None if self.since_ms is None else times.format_ms(self.since_ms),
            pointed=pointing and pointing.pointed,
            pointed_since=pointing and pointing.since,
            former=pointing and pointing.former,
            preparing=self._prepared(),
            beside=list(self._beside()),
            audit=audit
            and LastAudit(
                at=audit.at,
                build=audit.build,
                mismatches=audit.mismatches,
                succeeded_at=audit.succeeded_at,
            ),
        )

    def findings(self) -> Iterator[Finding]:
        """What keeps the process from answering the pointed version: notices, as it goes on."""
        answered = self.answering.settings.app
        if self.unread is not None:
            yield notice(
                "pointer_unread",
                f"the pointer to a version can't be read, {answered} is answered: {self.unread}",
                "see docs/runbook.md, Kafka unreachable",
            )
        prepared = self._prepared()
        if prepared is not None and prepared.waiting_for is not None:
            yield notice(
                "version_unprepared",
                f"the version {prepared.app} can't be prepared, {answered} is answered:"
                f" {prepared.waiting_for}",
                "see `netsold rebuild status`, and docs/runbook.md, Rebuild",
            )

    def others(self) -> dict[str, Settings]:
        """The settings of the versions that are not answered, by name."""
        known = {} if self.pointing is None else self.pointing.versions
        return {app: one for app, one in known.items() if app != self.answering.settings.app}

    def _beside(self) -> Iterator[BesideVersion]:
        for app in self.others():
            pair = {app, self.answering.settings.app}
            found = next((one for one in self._diffs() if {one.first, one.second} == pair), None)
            yield BesideVersion(
                app=app,
                records_behind=self.behind.get(app),
                difference=found and Difference.model_validate(msgspec.to_builtins(found)),
            )

    def _diffs(self) -> list[Diff]:
        """The last differences, the newest first."""
        known = () if self.pointing is None else self.pointing.diffs.values()
        return sorted(known, key=lambda one: one.at, reverse=True)

    def _prepared(self) -> PreparedVersion | None:
        if self.preparing is not None:
            reader = self.preparing
            return PreparedVersion(
                app=reader.settings.app,
                records_to_read=to_read(reader),
                waiting_for=why_waiting(reader),
            )
        if self.unprepared is None or self.pointing is None:
            return None
        pointed = self.pointing.pointed
        return PreparedVersion(app=pointed, records_to_read=None, waiting_for=self.unprepared)


def to_read(reader: Reader) -> int | None:
    """The records of tables and event index that a reader has to read; None before any contact."""
    if not reader.behind() or not reader.index.behind():
        return None
    return reader.remaining() + reader.index.remaining()


def why_waiting(reader: Reader) -> str | None:
    """Why a reader that is being prepared reads nothing; None while it reads."""
    if not reader.behind():
        return reader.waiting_for
    if reader.live and not reader.index.behind():
        return f"event index: {reader.index.waiting_for}"
    return None
