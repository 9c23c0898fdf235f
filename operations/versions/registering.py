"""The registration of a rebuild: its name, terms and topics."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from schemas import control
from schemas.columns import RULES
from schemas.control import Act, Version
from schemas.errors import NetsoldError
from streams import topics
from streams.build import this_build
from streams.settings import RuleSettings
from streams.versions import VersionWriter, read_versions, recorded_terms, settings_of
from tables.catalogue import CHATS_TOPIC, ORDERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings import Settings
    from streams.versions import Versions

_NAME: Final = re.compile(r"[a-z0-9-]{1,20}")


class Unregistrable(NetsoldError):
    """A rebuild cannot be registered like this."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Signature:
    """Who changes something, when (epoch milliseconds) and why."""

    by: str
    at_ms: int
    why: str

    @property
    def at(self) -> str:
        """When, as it is recorded."""
        return control.instant(self.at_ms)


@dataclass(frozen=True, slots=True)
class Registration:
    """A rebuild as it would be registered; `known` if it is already.

    `base` is the record of the family's base where that is not registered yet.
    """

    version: Version
    base: Version | None
    known: bool

    def lines(self) -> list[str]:
        """What would be made."""
        one = self.version
        named = f"version {one.app}: topics {one.topic_prefix}…, changelogs {one.app}-…"
        log = f"counts {one.orders_topic} and {one.chats_topic} from their beginning"
        return [f"{named}; {log}", f"  {terms_line(one)}"]


def terms_line(version: Version) -> str:
    """The terms of a version in one line."""
    terms = version.terms
    return (
        f"cycles of {terms.cycle_days} days from {terms.cycle_anchor}, reply within "
        f"{terms.reply_within_seconds} s, service {terms.service_hours} {terms.service_zone}, "
        f"counted per {terms.count_inquiries_per}"
    )


async def plan(
    settings: Settings, name: str | None, terms: Mapping[str, Any], sign: Signature
) -> Registration:
    """The registration of a rebuild; without a name it is the next of r1, r2 and so on.

    `terms` are settings that differ from those of the version that is answered. Raises
    Unregistrable.
    """
    versions = await read_versions(settings)
    pointed = versions.settings_of(versions.pointed, settings)
    app = f"{versions.base}.{_checked(name) if name else _next(versions)}"
    wanted = with_terms(pointed, terms)
    prefix = pointed.topic_prefix if pointed.base_prefix is None else pointed.base_prefix
    version = _record(wanted, sign, app, versions.base, prefix)
    known = versions.registered.get(app)
    if known is not None:
        if terms and known.terms != version.terms:
            raise Unregistrable(
                f"version {app} is registered with other terms ({terms_line(known)}): "
                "give the rebuild another name"
            )
        return Registration(known, None, known=True)
    base = None if versions.registered else _record(settings, replace(sign, why=""))
    return Registration(version, base, known=False)


async def register(settings: Settings, found: Registration, sign: Signature) -> None:
    """Create a rebuild's topics, and record it. Raises ChangeInDoubt and KafkaUnreachable."""
    version = found.version
    if not found.known:
        await topics.create(settings)  # `control` may be missing
    await topics.create(settings_of(version, settings))
    if found.known:
        return
    act = Act(act="start", app=version.app, at=sign.at, by=sign.by, why=sign.why)
    async with VersionWriter(settings) as writer:
        await writer.commit([*filter(None, [found.base]), version, act])


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise Unregistrable(f"{name!r} is no name: use 1 to 20 of a-z, 0-9 and -")
    return name


def _next(versions: Versions) -> str:
    """The first name that was never used: a dropped version's is not used again."""
    used = {*versions.registered, *(act.app for act in versions.acts)}
    number = 1
    while f"{versions.base}.r{number}" in used:
        number += 1
    return f"r{number}"


def with_terms(settings: Settings, terms: Mapping[str, Any]) -> Settings:
    """Settings with other terms. Raises Unregistrable where they are no terms."""
    names = RuleSettings.model_fields
    try:
        checked = RuleSettings.model_validate(
            {name: getattr(settings, name) for name in names} | dict(terms)
        )
    except ValidationError as error:
        first = error.errors()[0]
        text = first["msg"].removeprefix("Value error, ")
        for name in names:
            text = text.replace(f"NETSOLD_{name.upper()}", _option(name))
        place = "".join(f"{_option(str(name))}: " for name in first["loc"][:1])
        raise Unregistrable(f"{place}{text}") from error
    return settings.model_copy(update={name: getattr(checked, name) for name in names})


def _option(name: str) -> str:
    return f"--{name}".replace("_", "-")


def _record(
    settings: Settings,
    sign: Signature,
    app: str | None = None,
    base_app: str | None = None,
    base_prefix: str | None = None,
) -> Version:
    """The record of an application; with `app` that of a rebuild of these settings' log."""
    own_prefix = settings.topic_prefix if app is None else f"{base_prefix}{app}."
    return Version(
        app=settings.app if app is None else app,
        base_app=base_app,
        base_prefix=base_prefix,
        topic_prefix=own_prefix,
        orders_topic=settings.topic(ORDERS_TOPIC),
        chats_topic=settings.topic(CHATS_TOPIC),
        partitions=settings.partitions,
        terms=recorded_terms(settings),
        rules=RULES,
        build=str(this_build()),
        created_at=sign.at,
        by=sign.by,
        why=sign.why,
    )
