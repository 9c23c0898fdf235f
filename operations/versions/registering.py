"""The registration of a rebuild: its name, terms and topics."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from operations.output import escaped
from schemas import control
from schemas.columns import RULES
from schemas.control import Act, CopiedLog, Version
from schemas.errors import NetsoldError
from schemas.positions import position_of
from schemas.wording import name_list
from streams import log, topics
from streams.build import this_build
from streams.copied import copied_settings, is_copied
from streams.copy_plan import COPIES_EACH
from streams.versions import VersionWriter, read_versions, settings_of
from tables.catalogue import CHATS_TOPIC, EVENT_TOPICS, ORDERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.rules import Rules
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
        if one.copied is not None:
            log += (
                f", {one.partitions} partitions each, into which {one.copied.orders_topic} and "
                f"{one.copied.chats_topic} are copied"
            )
            if one.copied.without:
                log += f" without {name_list(one.copied.without)}"
        return [f"{named}; {log}", f"  {terms_line(one)}"]


def terms_line(version: Version) -> str:
    """The terms of a version in one line."""
    terms = version.terms
    return (
        f"cycles of {terms.cycle_days} days from {terms.cycle_anchor}, sold_monthly by "
        f"{terms.sold_monthly_basis}, reply within "
        f"{terms.reply_within_seconds} s, service {terms.service_hours} {terms.service_zone}, "
        f"counted per {terms.count_inquiries_per}"
    )


async def plan(
    settings: Settings,
    name: str | None,
    rules: Rules | None,
    sign: Signature,
    *,
    partitions: int | None = None,
    without: Sequence[str] = (),
) -> Registration:
    """The registration of a rebuild; without a name it is the next of r1, r2 and so on.

    Without `rules` it has the terms of the version that is answered. With another
    number of `partitions` than that one's, or `without` records of some positions, it counts a copy
    of the log. Raises Unregistrable, and KafkaUnreachable.
    """
    versions = await read_versions(settings)
    pointed = versions.settings_of(versions.pointed, settings)
    app = f"{versions.base}.{_checked(name) if name else _next(versions)}"
    _require_unused(versions, app)
    wanted = with_rules(pointed, rules)
    prefix = pointed.topic_prefix if pointed.base_prefix is None else pointed.base_prefix
    if without or partitions not in {None, pointed.partitions}:
        count = pointed.partitions if partitions is None else partitions
        left_out = without or pointed.copied_without
        wanted = _with_log(wanted, app, f"{prefix}{app}.", count, left_out)
        await _require_in_log(_written(pointed), without)
    version = _record(wanted, sign, app, versions.base, prefix)
    known = versions.registered.get(app)
    if known is not None:
        if rules is not None and known.terms != version.terms:
            raise Unregistrable(
                f"version {app} is registered with other terms ({terms_line(known)}): "
                "give the rebuild another name"
            )
        before = () if known.copied is None else known.copied.without
        if partitions not in {None, known.partitions} or (without and tuple(without) != before):
            records = f" and without {name_list(before)}" if before else ""
            raise Unregistrable(
                f"version {app} is registered with {known.partitions} partitions{records}: give "
                "the rebuild another name"
            )
        return Registration(known, None, known=True)
    base = None if versions.registered else _record(settings, replace(sign, why=""))
    return Registration(version, base, known=False)


async def register(settings: Settings, found: Registration, sign: Signature) -> Registration:
    """Create a rebuild's topics, and record it; what is recorded.

    That is `known` where another command has recorded the same since it was planned. Raises
    Unregistrable, ChangeInDoubt and KafkaUnreachable.
    """
    if found.known:
        await topics.create(settings_of(found.version, settings))
        return found
    if found.base is not None:
        await topics.create(settings)  # `control` may be missing
    act = Act(act="start", app=found.version.app, at=sign.at, by=sign.by, why=sign.why)
    async with VersionWriter(settings) as writer:
        found = _as_of_now(await read_versions(settings), found)
        await topics.create(settings_of(found.version, settings))
        if not found.known:
            await writer.commit([*filter(None, [found.base]), found.version, act])
    return found


def _as_of_now(versions: Versions, found: Registration) -> Registration:
    """A registration after what other commands have recorded since. Raises Unregistrable."""
    app = found.version.app
    _require_unused(versions, app)
    now = versions.registered.get(app)
    if now is None:
        return replace(found, base=None if versions.registered else found.base)
    if _content(now) != _content(found.version):
        terms = terms_line(now)
        if now.copied:
            terms += f", with {now.partitions} partitions"
        raise Unregistrable(
            f"version {app} was registered meanwhile by {escaped(now.by)}, and differs "
            f"({terms}), so nothing was changed: give the rebuild another name"
        )
    return Registration(now, None, known=True)


def _content(version: Version) -> Version:
    """A record without who made it, when, why, and by which build."""
    return msgspec.structs.replace(version, build="", created_at="", by="", why="")


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


def _require_unused(versions: Versions, app: str) -> None:
    """Raise Unregistrable if this is the name of a version that was dropped.

    A pointer may name it as the former one, and people remember what it was.
    """
    if app not in versions.registered and app in {act.app for act in versions.acts}:
        raise Unregistrable(
            f"version {app} was dropped, and its name is not used again: name the rebuild "
            f"{_next(versions)}"
        )


def with_rules(settings: Settings, rules: Rules | None) -> Settings:
    """Settings with other rules; the same without them."""
    return settings if rules is None else settings.model_copy(update={"rules": rules})


def _with_log(
    settings: Settings, app: str, prefix: str, partitions: int, without: Sequence[str]
) -> Settings:
    """The settings with a copy of the written log for a number of partitions.

    They have that log itself where the number is its own and no record is left out. Raises
    Unregistrable.
    """
    written = _written(settings)
    _check_positions(written, without)
    if partitions > COPIES_EACH * written.partitions:
        raise Unregistrable(
            f"--partitions: a copy has at most {COPIES_EACH} partitions for each of the "
            f"log's {written.partitions}"
        )
    log = {name: written.topic(name) for name in EVENT_TOPICS}
    is_own = partitions == written.partitions and not without
    copied: tuple[str | int | None, ...] = (None, None, None, None)
    if not is_own:
        copied = (f"{app}-copy", log[ORDERS_TOPIC], log[CHATS_TOPIC], written.partitions)
        log = {name: prefix + name for name in EVENT_TOPICS}
    names = ("copied_by", "copied_orders_topic", "copied_chats_topic", "copied_partitions")
    return settings.model_copy(
        update={
            "partitions": partitions,
            "orders_topic": log[ORDERS_TOPIC],
            "chats_topic": log[CHATS_TOPIC],
            **dict(zip(names, copied, strict=True)),
            "copied_without": tuple(without),
        }
    )


def _written(settings: Settings) -> Settings:
    """The settings with the log that producers write."""
    return copied_settings(settings) if is_copied(settings) else settings


async def _require_in_log(written: Settings, without: Sequence[str]) -> None:
    """Raise Unregistrable unless the written log has reached all of these positions."""
    positions = [position_of(text) for text in without]
    ends = await log.ends(written, {one.topic for one in positions}) if positions else {}
    for one in positions:
        end = ends.get((one.topic, one.partition), 0)
        if one.offset >= end:
            raise Unregistrable(
                f"--without: the log has no {one} yet: {one.topic}-{one.partition} ends before "
                f"offset {end}"
            )


def _check_positions(written: Settings, without: Sequence[str]) -> None:
    """Raise Unregistrable unless all of these are positions of the written log."""
    topics_of = {written.topic(name) for name in EVENT_TOPICS}
    for text in without:
        try:
            position = position_of(text)
        except ValueError as error:
            raise Unregistrable(f"--without: {error}") from error
        if position.topic not in topics_of or position.partition >= written.partitions:
            raise Unregistrable(
                f"--without: {text} is no position of {name_list(sorted(topics_of))} with their "
                f"{written.partitions} partitions"
            )


def _copied(settings: Settings) -> CopiedLog | None:
    """The record of the log that an application's own is a copy of."""
    if settings.copied_by is None:
        return None
    source = copied_settings(settings)
    topics_of = source.topic(ORDERS_TOPIC), source.topic(CHATS_TOPIC)
    return CopiedLog(source.app, *topics_of, source.partitions, settings.copied_without)


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
        terms=settings.rules.values.written(),
        rules=RULES,
        build=str(this_build()),
        created_at=sign.at,
        by=sign.by,
        why=sign.why,
        copied=_copied(settings),
    )
