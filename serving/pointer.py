"""Reads again and again which version the pointer of a family names."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from schemas.errors import NetsoldError
from streams.broker_access import BROKER_AWAY
from streams.versions import read_versions
from tables.catalogue import PUBLIC_TOPICS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from schemas.control import Diff
    from streams.settings import Settings

logger = structlog.get_logger()

READ_S: Final = 2.0
"""From one reading to the next."""

WITHIN_S: Final = 20.0
"""How long one reading may take."""

ABSENT_S: Final = 30.0
"""How long the version that is answered must be absent from the records before that is believed:
a cluster that has just started may not show the topic."""


class Pointing(NamedTuple):
    """Where the pointer is, and the settings of each version of the family, by name.

    `since` is when it was moved there (RFC 3339), `former` which version it named before; None
    where it was never moved. `diffs` has the last difference of each rebuild that was compared.
    """

    pointed: str
    versions: Mapping[str, Settings]
    since: str | None = None
    former: str | None = None
    diffs: Mapping[str, Diff] = MappingProxyType({})


def have_same_tables(one: Settings, other: Settings) -> bool:
    """Whether two settings are of one version: a record names what settings leave to defaults."""

    def tables(settings: Settings) -> tuple[object, ...]:
        topics = tuple(settings.topic(topic.name) for topic in PUBLIC_TOPICS)
        return settings.app, topics, settings.partitions, settings.terms

    return tables(one) == tables(other)


class PointerReader:
    """The pointer as it was last read; `unread` is why it can't be read now, if it can't."""

    def __init__(self, read: Callable[[], Awaitable[Pointing]]) -> None:
        self.pointing: Pointing | None = None
        self.unread: str | None = None
        self.answered: str | None = None
        """The version that is answered."""

        self._read = read
        self._absent_since_s: float | None = None

    async def run(self) -> None:
        """Read until cancelled; a failure is in `unread`, and the attempt is repeated."""
        while True:
            why: str | None = None
            try:
                async with asyncio.timeout(WITHIN_S):
                    self._note(await self._read())
            except TimeoutError:
                why = f"Kafka gave no answer within {WITHIN_S:g} s"
            except (*BROKER_AWAY, NetsoldError) as error:
                why = str(error) or repr(error)
            except Exception as error:  # the reader goes on with what it has
                why = f"{error!r}: a fault of ours, report it"
                logger.exception("the pointer can't be read: a fault of ours, report it")
            if why is not None and why != self.unread:
                logger.warning("the pointer to a version can't be read", error=why)
            self.unread = why
            await asyncio.sleep(READ_S)

    def _note(self, found: Pointing) -> None:
        now_s = asyncio.get_running_loop().time()
        if self.answered is None or self.answered in found.versions:
            self._absent_since_s = None
        elif self._absent_since_s is None:
            self._absent_since_s = now_s
        if self._absent_since_s is None or now_s - self._absent_since_s >= ABSENT_S:
            self.pointing = found


async def pointing(settings: Settings) -> Pointing:
    """The pointer of a family as recorded; `settings` are of its base.

    Raises NoSuchVersion, and as `read_versions`.
    """
    found = await read_versions(settings)
    pointed = found.settings_of(found.pointed, settings).app
    versions = {name: found.settings_of(name, settings) for name in found.registered or (pointed,)}
    if found.pointer is None:
        return Pointing(pointed, versions, diffs=found.diffs)
    return Pointing(pointed, versions, found.pointer.since, found.pointer.former, found.diffs)
