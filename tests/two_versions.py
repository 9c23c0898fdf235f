"""Two versions of one family on one log, which differ by the length of their cycles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.control import Pointer, Version
from streams.versions import VersionWriter, settings_of
from tests.terms import changed, rules_file

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

AT = "2026-07-12T00:00:00Z"
WEEK_DAYS = 7


def registered(settings: Settings) -> tuple[Version, Version]:
    """The records of a base and of a version of it with weeks as cycles."""
    base = Version(
        app=settings.app,
        base_app=None,
        base_prefix=None,
        topic_prefix=settings.topic_prefix,
        orders_topic=settings.topic("orders"),
        chats_topic=settings.topic("chats"),
        partitions=settings.partitions,
        terms=settings.rules.values.written(),
        rules=1,
        build="b",
        created_at=AT,
        by="ann",
        why="weeks",
    )
    weekly = Version(
        app=f"{settings.app}.r1",
        base_app=settings.app,
        base_prefix=settings.topic_prefix,
        topic_prefix=f"{settings.topic_prefix}{settings.app}.r1.",
        orders_topic=base.orders_topic,
        chats_topic=base.chats_topic,
        partitions=settings.partitions,
        terms=changed(settings.rules, cycle_days=WEEK_DAYS).values.written(),
        rules=1,
        build="b",
        created_at=AT,
        by="ann",
        why="weeks",
    )
    return base, weekly


def weekly_settings(settings: Settings) -> Settings:
    """The settings of that version."""
    return settings_of(registered(settings)[1], settings)


def in_environment(version: Settings, directory: Path) -> dict[str, str]:
    """What the environment of a version's processes has beyond that of its base.

    Its rules are in a file of the directory.
    """
    return {
        "BASE_APP": str(version.base_app),
        "BASE_PREFIX": str(version.base_prefix),
        "ORDERS_TOPIC": version.topic("orders"),
        "CHATS_TOPIC": version.topic("chats"),
        "RULES": str(rules_file(directory / f"{version.app}.toml", version.rules)),
    }


async def register(settings: Settings) -> None:
    """Record both versions; the pointer stays where it is."""
    async with VersionWriter(settings) as writer:
        await writer.commit(registered(settings))


async def point(settings: Settings, version: Settings, former: Settings) -> None:
    """Move the pointer of the family of `settings`."""
    async with VersionWriter(settings) as writer:
        await writer.commit([Pointer(version.app, AT, former.app)])
