"""Versions on a real cluster: what is recorded, and who may record it."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import msgspec
import pytest

from schemas import envelope
from schemas.control import Act, Pointer
from streams import log, topics
from streams.versions import (
    ChangeInDoubt,
    Versions,
    VersionWriter,
    pointed,
    read_versions,
    record_diff,
)
from tests.two_versions import registered
from tests.unit.test_control import DIFF

if TYPE_CHECKING:
    from streams.settings import Settings

AT = "2026-01-02T00:00:00Z"


async def test_what_is_written_is_read(settings: Settings) -> None:
    """Registered, pointed at, pointed back, removed; handovers are in the log of chats."""
    assert await read_versions(settings) == Versions(settings.app)  # there is no topic yet
    assert await pointed(settings) is settings
    await topics.create(settings)
    base, rebuilt = registered(settings)
    chats = [(settings.topic("chats"), number) for number in range(settings.partitions)]
    async with VersionWriter(settings) as writer:
        act = Act(act="start", app=rebuilt.app, at=AT, by="ann")
        await writer.commit([base, rebuilt, act])
        difference = msgspec.structs.replace(DIFF, first=base.app, second=rebuilt.app)
        await record_diff(settings, difference)
        assert (await pointed(settings)).app == settings.app
        pointer = Pointer(rebuilt.app, AT, former=base.app)
        await writer.commit([pointer], handover_to=envelope.Handover(rebuilt.app, 7), chats=chats)
    found = await read_versions(settings)
    versions = {base.app: base, rebuilt.app: rebuilt}
    diffs = {rebuilt.app: difference}
    assert found == Versions(settings.app, versions, pointer, [act], diffs)
    now = await pointed(settings)
    assert (now.app, now.topic("chats")) == (rebuilt.app, chats[0][0])
    assert now.rules.values.cycle_days == 7
    assert await read_versions(now) == found
    spoken = [
        envelope.read_chat(one)
        async for records in log.records(settings, settings.topic("chats"))
        for one in records
    ]
    assert spoken == [envelope.Handover(rebuilt.app, 7)] * settings.partitions
    async with VersionWriter(now) as writer:
        await writer.commit([Pointer(base.app, AT, rebuilt.app)], removed=[rebuilt.app])
    found = await read_versions(settings)
    assert (list(found.registered), found.pointed, found.acts) == ([base.app], base.app, [act])
    assert found.diffs == {}


async def test_a_newer_command_fences_an_older_one(settings: Settings) -> None:
    """What the older one would write is refused in one sentence, and nothing of it is read."""
    await topics.create(settings)
    base, rebuilt = registered(settings)
    chats = [(settings.topic("chats"), number) for number in range(settings.partitions)]
    unretrieved: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: unretrieved.append(what))
    async with VersionWriter(settings) as older:
        await older.commit([base])
        async with VersionWriter(settings) as newer:
            with pytest.raises(ChangeInDoubt, match="another command changes versions now"):
                await older.commit([rebuilt], handover_to=envelope.Handover(base.app), chats=chats)
            await newer.commit([Pointer(base.app, AT)])
    found = await read_versions(settings)
    assert (list(found.registered), found.pointer) == ([base.app], Pointer(base.app, AT))
    gc.collect()
    assert not unretrieved
