"""What other commands record between the plan of a rebuild, its registration and the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
import pytest

from operations.versions import changing, registering
from operations.versions.changing import ChangeRefused
from operations.versions.registering import Signature, Unregistrable
from schemas.control import Act, Pointer
from streams import log, topics
from streams.settings import Settings
from streams.versions import Versions
from tests.terms import changed
from tests.unit.test_control import BASE, FIRST, R1

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.control import ControlRecord, Version

SIGN = Signature("ann", 1_767_225_600_000, "a fault")
DROPPED = Act(act="drop", app=R1.app, at="2026-01-03T00:00:00.000Z", by="ann")


class Writer:
    """Keeps what would be committed; what `meanwhile` records is read from then on."""

    world: ClassVar[World]

    def __init__(self, settings: Settings) -> None: ...

    async def __aenter__(self) -> Self:
        self.world.recorded = self.world.meanwhile or self.world.recorded
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def commit(self, records: Sequence[ControlRecord], **_how: object) -> None:
        self.world.committed.extend(records)


class World:
    """A cluster's versions, what another command makes of them, and what is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, recorded: Versions) -> None:
        self.recorded = recorded
        self.meanwhile: Versions | None = None
        self.committed: list[ControlRecord] = []
        self.created: list[str] = []
        self.ends: dict[tuple[str, int], int] = {}
        Writer.world = self
        monkeypatch.setattr(registering, "VersionWriter", Writer)
        monkeypatch.setattr(registering, "read_versions", self._read)
        monkeypatch.setattr(topics, "create", self._create)
        monkeypatch.setattr(log, "ends", self._ends)

    async def _read(self, _settings: Settings) -> Versions:
        return self.recorded

    async def _create(self, settings: Settings) -> None:
        self.created.append(settings.app)

    async def _ends(self, _settings: Settings, names: set[str]) -> dict[tuple[str, int], int]:
        return {at: end for at, end in self.ends.items() if at[0] in names}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Without a rebuild."""
    return World(monkeypatch, Versions("netsold"))


def beside(version: Version, **changes: Any) -> Versions:  # noqa: ANN401 - values of any field
    """The base and a version, which another person has registered."""
    other = msgspec.structs.replace(
        version, by="bea\x1b[31m", created_at="2026-01-01T00:00:01Z", why="", **changes
    )
    return Versions("netsold", {FIRST.app: FIRST, other.app: other})


async def test_a_rebuild_is_registered_once(world: World) -> None:
    """With the base where that is not recorded, and its topics."""
    found = await registering.plan(BASE, "r1", None, SIGN)
    done = await registering.register(BASE, found, SIGN)
    assert not done.known
    assert [type(one).__name__ for one in world.committed] == ["Version", "Version", "Act"]
    assert world.created == ["netsold", "netsold.r1"]


async def test_terms_of_another_command_are_not_overwritten(world: World) -> None:
    """It has registered this name since the plan was shown: its record and topics stay."""
    found = await registering.plan(BASE, "r1", changed(BASE.rules, cycle_days=7), SIGN)
    world.meanwhile = beside(found.version, terms=R1.terms)
    with pytest.raises(
        Unregistrable, match=r"registered meanwhile by bea\\u001b\[31m, and differs"
    ):
        await registering.register(BASE, found, SIGN)
    assert world.committed == []
    assert "netsold.r1" not in world.created
    world.meanwhile = beside(found.version, partitions=6)
    with pytest.raises(Unregistrable, match="give the rebuild another name"):
        await registering.register(BASE, found, SIGN)
    assert world.committed == []


async def test_the_same_of_another_command_goes_on(world: World) -> None:
    """Its record stays, with who made it."""
    found = await registering.plan(BASE, "r1", None, SIGN)
    world.meanwhile = beside(found.version)
    done = await registering.register(BASE, found, SIGN)
    assert (done.known, done.version.by) == (True, "bea\x1b[31m")
    assert world.committed == []
    assert world.created[-1] == "netsold.r1"


async def test_the_base_of_another_command_stays(world: World) -> None:
    """It is recorded with the first rebuild, which meanwhile was another one."""
    found = await registering.plan(BASE, "r2", None, SIGN)
    world.meanwhile = beside(R1)
    await registering.register(BASE, found, SIGN)
    assert [getattr(one, "app", None) for one in world.committed] == ["netsold.r2"] * 2


async def test_topics_of_a_dropped_base_are_not_made_again(world: World) -> None:
    """Where rebuilds are recorded, the topic `control` is there."""
    pointer = Pointer(R1.app, DROPPED.at, former=FIRST.app)
    world.recorded = Versions("netsold", {R1.app: R1}, pointer)
    found = await registering.plan(BASE, None, None, SIGN)
    await registering.register(BASE, found, SIGN)
    assert world.created == ["netsold.r2"]


async def test_a_dropped_name_is_not_used_again(world: World) -> None:
    """Neither where it was dropped before, nor since the plan was shown."""
    dropped = Versions("netsold", {FIRST.app: FIRST}, None, [DROPPED])
    found = await registering.plan(BASE, "r1", None, SIGN)
    world.meanwhile = dropped
    with pytest.raises(Unregistrable, match=r"netsold\.r1 was dropped"):
        await registering.register(BASE, found, SIGN)
    assert world.committed == []
    with pytest.raises(Unregistrable, match=r"is not used again: name the rebuild r2$"):
        await registering.plan(BASE, "r1", None, SIGN)


async def test_records_that_the_log_has_not_yet_can_not_be_left_out(world: World) -> None:
    """An offset beyond its end is a slip."""
    world.ends["shop.orders", 0] = 10
    with pytest.raises(Unregistrable, match=r"the log has no shop.orders-0@99 yet: .* offset 10$"):
        await registering.plan(BASE, None, None, SIGN, without=["shop.orders-0@99"])
    found = await registering.plan(BASE, None, None, SIGN, without=["shop.orders-0@9"])
    assert found.version.copied is not None


def test_the_way_forward_is_named_while_it_is_registered() -> None:
    """After a rollback, the former version may be dropped."""
    pointer = Pointer(FIRST.app, DROPPED.at, former=R1.app)
    back = Act(act="rollback", app=FIRST.app, at=DROPPED.at, by="bea\n")
    both = Versions("netsold", {FIRST.app: FIRST, R1.app: R1}, pointer, [back])
    with pytest.raises(ChangeRefused, match=r"by bea\\u000a at .*`netsold rebuild promote netsold"):
        changing.former_of(both)
    alone = Versions("netsold", {FIRST.app: FIRST}, pointer, [back, DROPPED])
    with pytest.raises(ChangeRefused, match=r"already, .*; netsold.r1 was dropped since$"):
        changing.former_of(alone)


def test_readers_may_answer_from_what_the_pointer_has_just_left() -> None:
    """For a minute; from no other version."""
    pointer = Pointer(R1.app, "2026-01-01T00:00:00.000Z", former=FIRST.app)
    moved = Versions("netsold", {FIRST.app: FIRST, R1.app: R1}, pointer)
    warning = changing.still_answering(moved, FIRST.app, SIGN.at_ms + 59_000)
    assert warning is not None
    assert "`/v1/versions`" in warning
    assert changing.Removal(FIRST.app, ["a"], [], None, warning).lines()[0] == warning
    assert changing.still_answering(moved, FIRST.app, SIGN.at_ms + 60_000) is None
    assert changing.still_answering(moved, "netsold.r2", SIGN.at_ms) is None
    assert changing.still_answering(Versions("netsold"), FIRST.app, SIGN.at_ms) is None
