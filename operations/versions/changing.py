"""Moves the pointer of a family, and drops versions: each act is one transaction and recorded."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from operations.output import escaped
from schemas.control import Act, Pointer
from schemas.envelope import Handover
from schemas.errors import NetsoldError
from schemas.times import parse_any_ms
from streams import removing, topics
from streams.copier import Copier
from streams.last_marks import last_marks
from streams.observe import Observer
from streams.topics import changelog
from streams.versions import VersionWriter, read_versions
from tables.catalogue import CHATS, STAGES
from tables.watermarks import latest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from operations.versions.comparison import Comparison
    from operations.versions.registering import Signature
    from schemas.control import ActName
    from streams.log import At
    from streams.settings import Settings
    from streams.versions import Versions


_MOVES: Final = frozenset({"promote", "rollback"})
"""The acts that move the pointer."""

READERS_MOVE_MS: Final = 60_000
"""How long readers may need until they answer from the version that the pointer names."""


class ChangeRefused(NetsoldError):
    """The change must not be made now."""


class VersionBehind(NetsoldError):
    """The version is behind, or no worker of it runs."""

    exit_code = 5


class Different(NetsoldError):
    """The version differs from the one that is answered."""

    exit_code = 3


class Uncompared(NetsoldError):
    """Rows of the version could not be compared with those of the one that is answered."""

    exit_code = 5


class PointerMoved(NetsoldError):
    """The pointer is no longer where it was when the change was shown."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Removal:
    """What would be deleted of a version."""

    app: str
    topics: Collection[str]
    groups: Sequence[str]
    directory: Path | None
    warning: str | None = None

    def lines(self) -> list[str]:
        """A line for each kind, after the warning if there is one."""
        names = sorted(self.topics)
        found = [self.warning] if self.warning else []
        found += [f"delete {len(names)} topics: {', '.join(names)}"]
        found += [f"delete group {group}" for group in self.groups]
        return [*found, *([f"delete {self.directory}"] if self.directory else [])]

    def as_json(self) -> dict[str, Any]:
        """The same with stable names."""
        return {
            "topics": sorted(self.topics),
            "groups": list(self.groups),
            "directory": self.directory and str(self.directory),
        }


async def members(settings: Settings) -> list[str]:
    """The names of an application's running workers. Raises KafkaError where that is unknown."""
    observer = Observer(settings)
    try:
        group = (await observer.observe({})).group
    finally:
        await observer.close()
    if group is None:
        raise ChangeRefused(f"the coordinator of group {settings.app} gave no answer: try again")
    return [member.name for member in group.members]


async def missing_topics(of_version: Settings) -> list[str]:
    """The topics that an application's workers read and that don't exist. Raises KafkaUnreachable.

    Reading one of these would wait for it. Names are those on the cluster.
    """
    read = {of_version.topic(stage.source) for stage in STAGES}
    return sorted(read - (await topics.topic_ids(of_version)).keys())


async def require_topics(of_version: Settings) -> None:
    """Raise ChangeRefused where topics of a version are missing, as after a `drop` that was killed.

    And KafkaUnreachable.
    """
    missing = await missing_topics(of_version)
    if missing:
        app = of_version.app
        raise ChangeRefused(
            f"topics of {app} are missing ({', '.join(missing)}): `netsold rebuild drop {app}` "
            "deletes what is left"
        )


def still_answering(versions: Versions, app: str, now_ms: int) -> str | None:
    """The warning that readers may still answer from a version; None where they have moved."""
    pointer = versions.pointer
    if pointer is None or pointer.former != app:
        return None
    since_ms = parse_any_ms(pointer.since)
    if now_ms - since_ms >= READERS_MOVE_MS:
        return None
    return (
        f"readers may still answer from {app}: the pointer left it at {pointer.since}, less than a "
        "minute ago; `/v1/versions` of each reader shows from which version it answers"
    )


def promotable(versions: Versions, name: str) -> str:
    """The application of a name that may be promoted. Raises NoSuchVersion or ChangeRefused."""
    app = versions.app_of(name)
    if app == versions.pointed:
        raise ChangeRefused(f"version {app} is promoted already")
    return app


def only_rebuild(versions: Versions) -> str:
    """The one version that readers do not answer from.

    Raises ChangeRefused where there is none, or more than one.
    """
    others = [app for app in versions.registered if app != versions.pointed]
    if len(others) != 1:
        found = f"there are {', '.join(others)}: name one" if others else "there is no rebuild"
        raise ChangeRefused(found)
    return others[0]


def former_of(versions: Versions) -> str:
    """The version to roll back to. Raises ChangeRefused.

    A second rollback is refused: it would move forward again, to what was found wrong.
    """
    pointer = versions.pointer
    if pointer is None or pointer.former is None:
        raise ChangeRefused("there is no former version: nothing was promoted yet")
    last = next((act for act in reversed(versions.acts) if act.act in _MOVES), None)
    is_dropped = pointer.former not in versions.registered
    if last is not None and last.act == "rollback":
        forward = (
            f"{pointer.former} was dropped since"
            if is_dropped
            else f"`netsold rebuild promote {pointer.former}` moves forward again"
        )
        raise ChangeRefused(
            f"rolled back to {last.app} already, by {escaped(last.by)} at {last.at}; {forward}"
        )
    if is_dropped:
        raise ChangeRefused(f"the former version {pointer.former} was dropped")
    return pointer.former


def require_same(found: Comparison, name: str) -> None:
    """Refuse a version unless all its rows were compared, and are the same.

    Raises Different and Uncompared.
    """
    see, accept = f"see `netsold rebuild diff {name}`", "give --accept-diff and --why"
    if found.differences():
        raise Different(
            f"{found.second} differs from {found.first}: {see}; if it is right, {accept}"
        )
    if found.left_out:
        lists = ", ".join(found.left_out)
        raise Different(
            f"{lists} can't be compared: {see}; if that is what the rebuild is for, {accept}"
        )
    if found.uncompared:
        raise Uncompared(
            f"{found.uncompared:,} of the rows could not be compared within {found.waited_s:g} s:"
            f" give more by --within, or, to accept what is not known, {accept}"
        )


async def point_at(
    settings: Settings,
    app: str,
    *,
    shown: str,
    act: ActName,
    sign: Signature,
    comparison: Comparison | None = None,
) -> Act:
    """Move the pointer from the version `shown` to another one, with handovers; what is recorded.

    Raises PointerMoved, NoSuchVersion, ChangeInDoubt and KafkaUnreachable.
    """
    async with VersionWriter(settings) as writer:
        versions = await read_versions(settings)
        if versions.pointed != shown or app not in versions.registered:
            raise PointerMoved(
                "versions have changed meanwhile, so nothing was changed: see "
                "`netsold rebuild status`"
            )
        differences: Mapping[str, int] = comparison.differences() if comparison else {}
        record = Act(
            act=act,
            app=app,
            at=sign.at,
            by=sign.by,
            why=sign.why,
            former=shown,
            vector=comparison.vector if comparison else {},
            differences=dict(differences),
            accepted=comparison is not None and not comparison.is_whole,
        )
        await writer.commit(
            [Pointer(app, sign.at, former=shown), record],
            handover_to=Handover(app, await _newest_ms(versions, settings, [shown, app])),
            chats=written_chats(versions),
        )
    return record


async def _newest_ms(versions: Versions, settings: Settings, apps: Sequence[str]) -> int | None:
    """The newest confirmed event time of these versions' conversations; None if there is none.

    With it in each handover, no partition of a log or of its copy is behind another one there.
    """
    newest = None
    for of_version in (versions.settings_of(app, settings) for app in apps):
        found = await last_marks(of_version, [changelog(of_version, CHATS.name)])
        for mark in found.marks.values():
            newest = latest(newest, None if mark is None else mark.confirmed_ms)
    return newest


def written_chats(versions: Versions) -> list[At]:
    """The partitions of all logs of chats that the family's versions count.

    Of a copied log they are those that producers write: copiers bring handovers into copies.
    """
    logs = [one.copied or one for one in versions.registered.values()]
    return sorted({(one.chats_topic, number) for one in logs for number in range(one.partitions)})


async def removal(settings: Settings, versions: Versions, name: str, now_ms: int) -> Removal:
    """What would be deleted of a version that nobody points to and no worker runs of.

    `now_ms` are epoch milliseconds.

    Raises NoSuchVersion or ChangeRefused.
    """
    app = versions.app_of(name)
    if app == versions.pointed:
        raise ChangeRefused(
            f"readers answer from {app}: promote another version, or roll back, first"
        )
    of_version = versions.settings_of(app, settings)
    running = await members(of_version)
    if running:
        raise ChangeRefused(
            f"group {app} has members ({', '.join(running)}): stop its workers first; one that was"
            f" stopped stays a member for {settings.session_timeout_ms / 1000:.0f} s"
        )
    others = [one for one in versions.registered.values() if one.app != app]
    shared = {one.orders_topic for one in others} | {one.chats_topic for one in others}
    copiers = {one.copied.by for one in others if one.copied is not None}
    copier = {of_version.copied_by} - {None, *copiers}
    directory = settings.data_dir / app
    return Removal(
        app,
        await removing.own_topics(of_version, shared),
        [app, *filter(None, copier)],
        directory if directory.is_dir() else None,
        still_answering(versions, app, now_ms),
    )


async def drop(settings: Settings, found: Removal, sign: Signature) -> Act:
    """Delete what a removal names, and at last the version's record; what is recorded.

    So after a failure the same command again deletes what is left. Raises PointerMoved,
    ChangeInDoubt, KafkaUnreachable and KafkaError.
    """
    async with VersionWriter(settings) as writer:
        versions = await read_versions(settings)
        if found.app == versions.pointed:
            raise PointerMoved(f"readers answer from {found.app} now, so nothing was changed")
        of_version = versions.settings_of(found.app, settings)
        if of_version.copied_by in found.groups:
            async with Copier(of_version):  # one that still runs is fenced, and ends
                pass
        await removing.delete_topics(of_version, found.topics)
        for group in found.groups:
            await removing.delete_group(of_version, group)
        if found.directory is not None:
            shutil.rmtree(found.directory)
        act = Act(act="drop", app=found.app, at=sign.at, by=sign.by, why=sign.why)
        await writer.commit([act], removed=[found.app])
    return act
