"""Where the stores of a reader's versions are: the base's in one directory, others below it.

reader/store-1  reader/events/store-1             the base
reader/versions/netsold.r1/store-1  …/events/…    another version
reader/answered                                   the version that was answered last
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Final

import structlog

from serving.event_index import EVENTS
from serving.reader import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from streams.settings import Settings

logger = structlog.get_logger()

_ANSWERED: Final = "answered"
_VERSIONS: Final = "versions"


class VersionStores:
    """The directories of all versions of a family; `settings` are of its base."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.app
        self._root = settings.data_dir / DIRECTORY

    def directory_of(self, version: str) -> Path:
        """The directory of a version's stores."""
        return self._root if version == self._base else self._root / _VERSIONS / version

    def answered_last(self) -> str:
        """The version that was answered last; empty if there was none."""
        try:
            return (self._root / _ANSWERED).read_text("utf-8").strip()
        except FileNotFoundError:
            return ""

    def note_answered(self, version: str) -> None:
        """Keep the version that is answered, for the next process."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            (self._root / _ANSWERED).write_text(version, "utf-8")
        except OSError as error:  # no store can be written then, and the reader ends by that
            logger.warning("the version that is answered can't be kept", error=str(error))

    async def delete_others(self, kept: Collection[str]) -> None:
        """Delete the stores of all versions but these."""
        dropped = [] if self._base in kept else [*self._root.glob("store-*"), self._root / EVENTS]
        dropped += [one for one in self._root.glob(f"{_VERSIONS}/*") if one.name not in kept]
        for path in dropped:
            logger.info("deletes the store of a version that was dropped", path=str(path))
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
