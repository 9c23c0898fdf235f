"""Which version a command reads: the one that the pointer names, or a named one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operations.local.kafka import named_cluster
from operations.waiting import answer
from streams.versions import pointed, read_versions

if TYPE_CHECKING:
    from streams.settings import Settings


def named_version(version: str | None) -> Settings:
    """The settings of a version of this process's family, by default of the pointed one.

    On a cluster without versions these are the settings themselves. Raises NoKafkaKnown,
    KafkaUnreachable and NoSuchVersion.
    """
    settings = named_cluster()
    return answer(settings, version_of(settings, version))


async def version_of(settings: Settings, version: str | None) -> Settings:
    """The same within a loop; `settings` are of any application of the family."""
    if version is None:
        return await pointed(settings)
    return (await read_versions(settings)).settings_of(version, settings)
