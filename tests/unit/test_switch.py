"""Which reader answers while the pointer moves: with fake readers, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from serving import pointer, switch
from serving.audits import AuditWatch
from serving.catch_up import CatchUp
from serving.pointer import PointerReader, Pointing
from serving.reader import Reader as RealReader
from serving.store import StoreUnusable
from serving.switch import Switch
from serving.version_state import VersionState
from serving.version_stores import VersionStores
from streams.errors import KafkaUnreachable
from tests import virtual_time
from tests.reading import settings_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from serving.reader import Reader
    from streams.settings import Settings

BASE, R1, R2 = "netsold", "netsold.r1", "netsold.r2"
FILL_S = 10.0
"""How long a fake reader fills its tables, and after that its index."""

AT = ("log", 0)
SINCE = "2026-07-01T00:00:00Z"


class FakeIndex:
    """The index of a fake reader."""

    def __init__(self, reader: FakeReader) -> None:
        self.reader = reader
        self.waiting_for = ""

    @property
    def live(self) -> bool:
        return self.reader.age_s >= self.reader.world.index_s

    def behind(self) -> dict[tuple[str, int], tuple[int, int]]:
        return {("events", 0): (1, 1)} if self.reader.live else {}

    def remaining(self) -> int:
        return 0 if self.live else 5


class FakeReader:
    """A reader whose tables are live FILL_S after its start, and its index as long after that."""

    def __init__(self, settings: Settings, world: World) -> None:
        self.settings = settings
        self.world = world
        self.is_beside = False
        self.waiting_for = "it has just started"
        self.failure: Exception | None = None
        self.missing = False
        self.began_s: float | None = None
        self.lag = 0
        self.index = FakeIndex(self)
        self.audits = AuditWatch(settings)

    @property
    def age_s(self) -> float:
        """Seconds since it began."""
        return -1 if self.began_s is None else asyncio.get_running_loop().time() - self.began_s

    @property
    def live(self) -> bool:
        return self.age_s >= FILL_S and not self.missing

    def behind(self) -> dict[tuple[str, int], tuple[int, int]]:
        if self.began_s is None or self.missing:
            return {}
        end = int(asyncio.get_running_loop().time() * 1000)
        return {AT: (end - self.lag, end)}

    def remaining(self) -> int:
        return 0 if self.live else 7

    async def run(self) -> None:
        self.began_s = asyncio.get_running_loop().time()
        self.world.began(self)
        try:
            while True:
                await asyncio.sleep(0.5)
                if self.failure is not None:
                    raise self.failure
        finally:
            self.world.running.remove(self)


class World:
    """The pointer, as records have it, and all readers that were made."""

    def __init__(self, directory: Path, *, last: str | None = None) -> None:
        base = settings_in(directory)
        names = (BASE, R1, R2)
        self.versions = {name: base.model_copy(update={"app": name}) for name in names}
        self.pointed = BASE
        self.unreachable = False
        self.index_s = 2 * FILL_S
        self.made: list[FakeReader] = []
        self.running: list[FakeReader] = []
        self.most_running = 0
        self.answered: list[str] = []
        self.stores = VersionStores(base)
        if last is not None:
            self.stores.note_answered(last)
        self.state = VersionState(cast("Reader", FakeReader(base, self)))
        self.pointer = PointerReader(self.read)
        self.switch = Switch(self.state, self.pointer, self.stores, self.make, self.swapped)

    async def read(self) -> Pointing:
        await asyncio.sleep(0)
        if self.unreachable:
            raise KafkaUnreachable("no Kafka answers at nowhere")
        orders = {"orders_topic": "orders"}  # a record names what settings leave to defaults
        named = {name: one.model_copy(update=orders) for name, one in self.versions.items()}
        return Pointing(self.pointed, named, SINCE, BASE)

    def make(self, settings: Settings) -> Reader:
        self.made.append(FakeReader(settings, self))
        return cast("Reader", self.made[-1])

    def began(self, reader: FakeReader) -> None:
        self.running.append(reader)
        self.most_running = max(self.most_running, len(self.running))

    def swapped(self) -> None:
        self.answered.append(self.state.answering.settings.app)

    @property
    def preparing(self) -> FakeReader:
        """The reader that is being prepared."""
        assert self.state.preparing is not None
        return cast("FakeReader", self.state.preparing)

    def names(self) -> list[str]:
        """The versions whose readers run."""
        return [one.settings.app for one in self.running]

    def codes(self) -> list[str]:
        """The codes of the findings."""
        return [one.code for one in self.state.findings()]


def lived(world: World, *acts: tuple[float, Callable[[], Any]]) -> None:
    """Run the switch; each act happens so many seconds after the one before."""

    async def run() -> None:
        task = asyncio.create_task(world.switch.run())
        try:
            for after_s, act in acts:
                await asyncio.wait([task], timeout=after_s)
                if task.done():
                    task.result()
                act()
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert world.running == []

    virtual_time.run(run())


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread takes real time, in which virtual time would jump."""

    async def at_once(function: Callable[..., Any], *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as to_thread
        return function(*args, **named)

    monkeypatch.setattr("serving.version_stores.asyncio.to_thread", at_once)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A family whose pointer is at its base."""
    return World(tmp_path)


def pointed(world: World, version: str) -> Callable[[], None]:
    """An act: the pointer moves."""

    def move() -> None:
        world.pointed = version

    return move


def answers(world: World, *versions: str) -> Callable[[], None]:
    """An act: so far these versions answered, one after the other."""

    def check() -> None:
        assert world.answered == list(versions)

    return check


def test_the_pointed_version_is_answered_once_it_has_caught_up(world: World) -> None:
    """Tables and index come first; the former one runs on for FINISH_S, and is stopped then."""

    def is_prepared() -> None:
        assert world.names() == [BASE, R1]
        assert world.preparing.is_beside
        status = world.state.status()
        assert status.preparing is not None
        assert (status.answered, status.pointed, status.preparing.app) == (BASE, R1, R1)
        assert status.preparing.records_to_read is None  # the index has had no contact yet
        assert (status.pointed_since, status.former) == (SINCE, BASE)

    def has_contact() -> None:
        preparing = world.state.status().preparing
        assert preparing is not None
        assert (preparing.records_to_read, preparing.waiting_for) == (5, None)

    def is_answered() -> None:
        answers(world, BASE, R1)()
        assert world.names() == [BASE, R1]
        assert not cast("FakeReader", world.state.answering).is_beside
        assert world.state.status().preparing is None

    lived(
        world,
        (2 * FILL_S + 1, answers(world, BASE)),
        (0, pointed(world, R1)),
        (pointer.READ_S + 1, is_prepared),
        (FILL_S, has_contact),
        (FILL_S - 4, answers(world, BASE)),  # the tables are live, and the index is not
        (6, is_answered),
        (switch.FINISH_S, lambda: None),
        (2, lambda: (world.names() == [R1]) or pytest.fail(str(world.names()))),
    )
    assert world.most_running == 2


def test_an_index_that_never_was_complete_is_not_waited_for(world: World) -> None:
    """Nobody loses an answer that there was."""
    world.index_s = float("inf")
    lived(
        world,
        (1, pointed(world, R1)),
        (pointer.READ_S + FILL_S + 2, answers(world, BASE, R1)),
    )


def test_a_reader_that_falls_behind_does_not_answer(world: World) -> None:
    """It is live, but it doesn't read within a second what the log had before."""

    def slow() -> None:
        world.preparing.lag = 3000  # three seconds

    def quick() -> None:
        world.preparing.lag = 0

    lived(
        world,
        (2 * FILL_S, pointed(world, R1)),
        (pointer.READ_S + 1, slow),
        (60, answers(world, BASE)),
        (0, quick),
        (5, answers(world, BASE, R1)),
    )


def test_the_pointer_is_followed_to_its_latest_value(world: World) -> None:
    """A version that is no longer pointed at is no longer prepared."""

    def is_other() -> None:
        assert world.names() == [BASE, R2]

    lived(
        world,
        (2 * FILL_S, pointed(world, R1)),
        (5, pointed(world, R2)),
        (5, is_other),
        (2 * FILL_S, answers(world, BASE, R2)),
        (1, pointed(world, R1)),  # before the base is finished: two are followed at most
        (5, lambda: world.names() == [BASE, R2] or pytest.fail(str(world.names()))),
        (switch.FINISH_S + 2 * FILL_S, answers(world, BASE, R2, R1)),
    )
    assert world.most_running == 2


def test_a_pointer_that_moves_back_meanwhile_changes_nothing(world: World) -> None:
    """The reader that answers goes on, and the other one is stopped."""
    lived(
        world,
        (2 * FILL_S, pointed(world, R1)),
        (5, pointed(world, BASE)),
        (100, answers(world, BASE)),
        (0, lambda: world.names() == [BASE] or pytest.fail(str(world.names()))),
    )


def test_a_rollback_at_once_answers_from_the_reader_that_still_runs(world: World) -> None:
    """It needs no second start."""
    lived(
        world,
        (2 * FILL_S, pointed(world, R1)),
        (2 * FILL_S + 4, answers(world, BASE, R1)),
        (1, pointed(world, BASE)),
        (pointer.READ_S + 1, answers(world, BASE, R1, BASE)),
    )
    assert len(world.made) == 1


def test_a_version_that_fails_is_tried_again_and_the_former_goes_on(world: World) -> None:
    """Health says why."""

    def fail() -> None:
        world.preparing.failure = StoreUnusable("the disk is full")

    def is_reported() -> None:
        assert world.names() == [BASE]
        assert world.codes() == ["version_unprepared"]
        (finding,) = world.state.findings()
        assert finding.severity == "notice"
        assert "netsold.r1 can't be prepared, netsold is answered: the disk" in finding.sentence

    lived(
        world,
        (2 * FILL_S, pointed(world, R1)),
        (5, fail),
        (2, is_reported),
        (switch.RETRY_S, lambda: None),
        (2 * FILL_S + 2, answers(world, BASE, R1)),
        (0, lambda: world.codes() == [] or pytest.fail(str(world.codes()))),
    )


def test_a_version_without_topics_is_waited_for(world: World) -> None:
    """It is followed, and says what it waits for."""

    def lose() -> None:
        world.preparing.missing = True
        world.preparing.waiting_for = "there is no topic x"

    def find() -> None:
        (finding,) = world.state.findings()
        assert "there is no topic x" in finding.sentence
        world.preparing.missing = False

    lived(
        world,
        (2 * FILL_S, pointed(world, R1)),
        (pointer.READ_S + 1, lose),
        (100, find),
        (2, answers(world, BASE, R1)),
    )


def test_the_reader_that_answers_ends_the_process_when_it_fails(world: World) -> None:
    """As a reader alone does."""

    def fail() -> None:
        cast("FakeReader", world.state.answering).failure = StoreUnusable("the disk is full")

    with pytest.raises(StoreUnusable, match="disk is full"):
        lived(world, (5, fail), (5, lambda: None))


def test_an_unread_pointer_changes_nothing_but_health(world: World) -> None:
    """At the start it is waited for; later the reader goes on with what it has."""
    world.unreachable = True

    def reach(*, is_up: bool) -> Callable[[], None]:
        def change() -> None:
            world.unreachable = not is_up

        return change

    def waits() -> None:
        assert world.running == []
        assert "no Kafka answers" in world.state.answering.waiting_for

    lived(
        world,
        (5, waits),
        (0, reach(is_up=True)),
        (3, answers(world, BASE)),
        (0, reach(is_up=False)),
        (5, lambda: world.codes() == ["pointer_unread"] or pytest.fail(str(world.codes()))),
        (0, answers(world, BASE)),
        (0, reach(is_up=True)),
        (5, lambda: world.codes() == [] or pytest.fail(str(world.codes()))),
    )


def test_a_process_begins_with_the_version_that_it_answered_last(tmp_path: Path) -> None:
    """It is complete already, and the pointed one is prepared beside it."""
    world = World(tmp_path, last=R1)
    world.pointed = R2

    def begun() -> None:
        assert world.names() == [R1, R2]
        assert world.state.answering.settings.app == R1

    lived(world, (2, begun), (2 * FILL_S + 2, answers(world, R1, R2)))
    assert world.stores.answered_last() == R2


def test_a_version_that_was_dropped_is_not_begun_with(tmp_path: Path) -> None:
    """The pointed one is."""
    world = World(tmp_path, last="netsold.r9")
    world.pointed = R1
    lived(world, (2, answers(world, R1)))


def test_stores_of_dropped_versions_are_deleted(world: World) -> None:
    """Those that a reader still follows are deleted once it is stopped, the base's too."""

    def stores() -> list[str]:
        root = world.stores.directory_of(BASE)
        return sorted(path.parent.relative_to(root).as_posix() for path in root.rglob("store-1"))

    for name in world.versions:
        for below in ("store-1", "events/store-1"):
            (world.stores.directory_of(name) / below).mkdir(parents=True)

    def drop(*names: str) -> Callable[[], None]:
        def change() -> None:
            for name in names:
                del world.versions[name]

        return change

    both = ["versions/netsold.r1", "versions/netsold.r1/events"]

    def kept(*wanted: str) -> Callable[[], None]:
        def check() -> None:
            assert stores() == [*wanted]

        return check

    lived(
        world,
        (2 * FILL_S, pointed(world, R1)),
        (5, drop(R2)),
        (3, kept(".", "events", *both)),
        (2 * FILL_S, answers(world, BASE, R1)),
        (0, drop(BASE)),
        (5, kept(".", "events", *both)),  # its reader is finishing
        (switch.FINISH_S + 1, kept(*both)),
    )


def test_an_answered_version_must_be_absent_for_a_while(world: World) -> None:
    """A cluster that has just started may not show the topic of the records."""
    known = dict(world.versions)

    def vanish() -> None:
        world.versions = {BASE: known[BASE]}
        world.pointed = BASE

    def appear() -> None:
        world.versions, world.pointed = known, R1

    lived(
        world,
        (1, pointed(world, R1)),
        (pointer.READ_S + 2 * FILL_S + 2, answers(world, BASE, R1)),
        (0, vanish),
        (pointer.ABSENT_S - 5, answers(world, BASE, R1)),
        (0, appear),
        (10, answers(world, BASE, R1)),
        (0, vanish),
        (pointer.ABSENT_S + 2 * FILL_S + switch.FINISH_S, answers(world, BASE, R1, BASE)),
    )


def test_damage_is_reported_to_the_reader_whose_file_it_is(tmp_path: Path) -> None:
    """Another one's store stays, also where the owner is stopped.

    Without a file it is the one that answers.
    """
    settings = settings_in(tmp_path)
    stores = VersionStores(settings)
    base, other = (RealReader(settings, stores.directory_of(name)) for name in (BASE, R1))
    state = VersionState(base, preparing=other)
    for path, owner in (
        (base.directory / "store-1" / "000012.sst", base),
        (other.directory / "store-3" / "000012.sst", other),
        (other.index.directory / "store-1" / "000012.sst", other.index),
        (stores.directory_of(R2) / "store-1" / "000012.sst", None),
        (None, base),
    ):
        readers = (base, base.index, other, other.index)
        for one in readers:
            one._damage = None
        state.report_damage(Exception(f"Corruption: block checksum mismatch in {path}"))
        assert [one for one in readers if one._damage] == [owner] * (owner is not None)


def test_rounds_of_catching_up_shorten() -> None:
    """A round is what the log had at its beginning; the last one takes at most a second."""
    catch_up = CatchUp()
    assert not catch_up.is_done({AT: (0, 100)}, 0.0)
    assert not catch_up.is_done({AT: (99, 150)}, 9.0)
    assert not catch_up.is_done({AT: (100, 160)}, 10.0)  # it took ten seconds
    assert not catch_up.is_done({AT: (159, 161)}, 10.5)
    assert catch_up.is_done({AT: (160, 162)}, 10.9)
