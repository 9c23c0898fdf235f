"""Versions on a real cluster: what is recorded, and who may record it."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from operations.versions import registering
from operations.versions.registering import Signature, Unregistrable
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
from tests.commands import netsold
from tests.terms import changed
from tests.two_versions import registered
from tests.unit.test_control import DIFF

if TYPE_CHECKING:
    from streams.settings import Settings

AT = "2026-01-02T00:00:00Z"
WITHIN_S = 60.0
"""Four commands, each of which waited 40 s for topics; with room for a slow machine."""


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


async def test_a_version_without_its_topics_keeps_no_command_waiting(settings: Settings) -> None:
    """As after a `drop` that was killed: it is named at once, and `drop` deletes what is left."""
    await topics.create(settings)
    base, rebuilt = registered(settings)
    async with VersionWriter(settings) as writer:
        await writer.commit([base, rebuilt, Pointer(base.app, AT, former=rebuilt.app)])
    began_s = time.monotonic()
    code, out, err = await netsold(settings, "rebuild", "status", "--json")
    if "gave no answer: try again" in err:  # on a new cluster, whose first group this is
        code, out, err = await netsold(settings, "rebuild", "status", "--json")
    assert code == 0, err
    missing = [one["missing_topics"] for one in json.loads(out)["versions"]]
    assert missing[0] == []
    assert f"{rebuilt.topic_prefix}sales" in missing[1]
    for command in (("diff", "r1"), ("promote", "r1", "--yes"), ("rollback", "--yes")):
        code, out, err = await netsold(settings, "rebuild", *command)
        assert (code, out) == (1, ""), err
        assert f"topics of {rebuilt.app} are missing ({rebuilt.topic_prefix}" in err
    assert time.monotonic() - began_s < WITHIN_S, err
    code, out, err = await netsold(settings, "rebuild", "drop", "r1", "--yes")
    assert code == 0, (out, err)
    code, out, err = await netsold(settings, "rebuild", "start", "r1", "--yes", "--no-worker")
    assert (code, out) == (2, ""), err
    assert f"version {rebuilt.app} was dropped, and its name is not used again" in err


async def test_an_answer_does_not_overwrite_what_was_registered_since(settings: Settings) -> None:
    """Both planned r1 before either had registered it: the second one is refused, or goes on."""
    await topics.create(settings)
    sign = Signature("ann", 1_767_225_600_000, "")
    weekly = changed(settings.rules, cycle_days=7)
    first, second, same = [
        await registering.plan(settings, "r1", rules, sign) for rules in (weekly, None, weekly)
    ]
    done = await registering.register(settings, first, sign)
    with pytest.raises(Unregistrable, match="was registered meanwhile by ann"):
        await registering.register(settings, second, sign)
    assert (await registering.register(settings, same, sign)).known
    versions = await read_versions(settings)
    assert versions.registered[done.version.app] == done.version
    assert [act.act for act in versions.acts] == ["start"]
    beyond = f"{settings.topic('orders')}-0@99999999"
    with pytest.raises(Unregistrable, match=r"ends before offset 0$"):
        await registering.plan(settings, None, None, sign, without=[beyond])
