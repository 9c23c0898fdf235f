"""The versions of a family: read from the topic `control`, and changed there.

`read_versions` has what is recorded. `pointed` are the settings of the version that readers answer
from. A cluster without the topic has the base alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schemas import control
from schemas.control import Act, Diff, Pointer, Version
from schemas.errors import NetsoldError
from schemas.handover_records import handover
from streams import log, topics
from streams.fenced_writer import FencedWriter
from streams.log_writer import Writer
from streams.producers import StrictProducer
from streams.rules import rules_of
from streams.transactions import send_records
from tables.catalogue import CONTROL_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from schemas.control import ControlRecord
    from schemas.envelope import Handover
    from streams.log import At
    from streams.settings import Settings

CONTROL_PARTITION = 0
"""All records of `control` are in one partition, so they have one order."""

_KEYS_OF_A_VERSION = (control.diff_key, control.version_key)
"""Of the records that are removed with a version."""


class NoSuchVersion(NetsoldError):
    """No version of this name is registered."""

    exit_code = 4


class ChangeInDoubt(NetsoldError):
    """It is not known whether the last change of versions was committed."""


@dataclass(frozen=True, slots=True)
class Versions:
    """A family as recorded: its base, the registered versions, the pointer, the acts in order.

    `diffs` has, by rebuild, its last difference from the version that was answered then.
    """

    base: str
    registered: Mapping[str, Version] = field(default_factory=dict)
    pointer: Pointer | None = None
    acts: Sequence[Act] = ()
    diffs: Mapping[str, Diff] = field(default_factory=dict)

    @property
    def pointed(self) -> str:
        """The version that readers answer from."""
        return self.base if self.pointer is None else self.pointer.app

    @property
    def apps(self) -> frozenset[str]:
        """All applications that the family ever had."""
        return frozenset({self.base, self.pointed, *self.registered, *[a.app for a in self.acts]})

    def app_of(self, name: str) -> str:
        """The application that a person names: `netsold.r1` or `r1`. Raises NoSuchVersion."""
        for app in (name, f"{self.base}.{name}"):
            if app in self.registered or (app == self.base and not self.registered):
                return app
        known = ", ".join(self.registered) or self.base
        raise NoSuchVersion(f"no version {name} is registered; there are: {known}")

    def settings_of(self, name: str, settings: Settings) -> Settings:
        """The settings of a version, by any name of it. Raises NoSuchVersion.

        Before the first rebuild, that is `settings` itself.
        """
        app = self.app_of(name)
        return settings_of(self.registered[app], settings) if self.registered else settings


def settings_of(version: Version, settings: Settings) -> Settings:
    """The settings of a version; `settings` are of any application of its family."""
    names = ("app", "base_app", "base_prefix", "topic_prefix", "orders_topic", "chats_topic")
    changes = {name: getattr(version, name) for name in (*names, "partitions")}
    changes["rules"] = rules_of(version.terms, f"the record of {version.app}")
    copied = version.copied
    log_of = {
        "copied_by": copied and copied.by,
        "copied_orders_topic": copied and copied.orders_topic,
        "copied_chats_topic": copied and copied.chats_topic,
        "copied_partitions": copied and copied.partitions,
        "copied_without": () if copied is None else copied.without,
    }
    return settings.model_copy(update=changes | log_of)


async def read_versions(settings: Settings) -> Versions:
    """What is recorded now; the base alone where there is no topic `control`.

    Raises KafkaUnreachable and aiokafka's KafkaError.
    """
    base, topic = settings.family, settings.topic(CONTROL_TOPIC)
    registered: dict[str, Version] = {}
    pointer: Pointer | None = None
    acts: list[Act] = []
    diffs: dict[str, Diff] = {}
    if topic not in await topics.topic_ids(settings):
        return Versions(base)
    async for records in log.records(settings, topic):
        for one in records:
            removed = control.removed_version(one.key, one.value)
            if removed is not None:
                registered.pop(removed, None)
                diffs.pop(removed, None)
            match control.decode(one.key, one.value):
                case Version() as version:
                    registered[version.app] = version
                case Pointer() as pointer:
                    pass
                case Act() as act:
                    acts.append(act)
                case Diff() as found:
                    diffs[found.second] = found
    return Versions(base, registered, pointer, acts, diffs)


async def record_diff(settings: Settings, found: Diff) -> None:
    """Record the last difference of a rebuild; it moves nothing, so no command is fenced by it.

    Raises KafkaUnreachable and WriteFailed.
    """
    key, value = control.encode(found)
    async with Writer(settings) as writer:
        await writer.send(settings.topic(CONTROL_TOPIC), key, value, [], CONTROL_PARTITION)


async def pointed(settings: Settings) -> Settings:
    """The settings of the version that readers answer from.

    Raises as `read_versions`, and NoSuchVersion.
    """
    found = await read_versions(settings)
    return found.settings_of(found.pointed, settings)


class VersionWriter(FencedWriter):
    """The one process that changes a family's versions."""

    in_doubt = ChangeInDoubt
    rival = "another command changes versions now"
    remedy = "see `netsold rebuild status`, and run the same command again only if it was not done"

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[Settings, str], StrictProducer] = StrictProducer,
    ) -> None:
        super().__init__(settings, f"{settings.family}-versions", connect)

    async def commit(
        self,
        records: Sequence[ControlRecord],
        *,
        removed: Sequence[str] = (),
        handover_to: Handover | None = None,
        chats: Sequence[At] = (),
    ) -> None:
        """Write records, and remove versions, in one transaction.

        It includes the handover in each of the partitions `chats`. Raises ChangeInDoubt, or one of
        `broker_access.WITHOUT_RIGHTS`; then this writer is of no more use.
        """
        async with self._transaction() as producer:
            await self._commit(producer, records, removed, handover_to, chats)

    async def _commit(
        self,
        producer: StrictProducer,
        records: Sequence[ControlRecord],
        removed: Sequence[str],
        handover_to: Handover | None,
        chats: Sequence[At],
    ) -> None:
        items: list[tuple[bytes | None, bytes | None]] = [
            *map(control.encode, records),
            *((key_of(app), None) for app in removed for key_of in _KEYS_OF_A_VERSION),
        ]
        await producer.begin_transaction()
        topic = self._settings.topic(CONTROL_TOPIC)
        sent = await send_records(producer, topic, CONTROL_PARTITION, items)
        if handover_to is not None:
            value, headers = handover(handover_to.speaker, handover_to.at_ms)
            for at in chats:
                sent += await send_records(producer, *at, [(None, value)], [headers])
        await asyncio.gather(*(future for future, _ in sent))
        await producer.commit_transaction()
