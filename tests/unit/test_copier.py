"""A log that is copied for another number of partitions, in memory, with kills by seed."""

from __future__ import annotations

import asyncio
import os
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from msgspec.structs import replace

from schemas import envelope, limits
from schemas.control import CopiedLog
from schemas.handover_records import handover
from streams.copied import copied_settings, copy_layout
from streams.copier import Copier, CopyInDoubt
from streams.copy_plan import COPIES_EACH, CopyPlan, Vectors, committed_beside, read_committed
from streams.log import FollowStep
from streams.partitioning import partition_of
from streams.producers import OutcomeUnknown
from streams.settings import Settings
from streams.versions import settings_of
from tests.memory_log import MemoryLog, MemoryProducer, MemoryRecord
from tests.two_versions import registered
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping

    from schemas.envelope import Record
    from streams.log import At

SEEDS = [int(seed) for seed in os.environ.get("SEEDS", "1 2 3 4").split()]
Headers = Sequence[tuple[str, bytes]]
BASE = Settings(_env_file=None, app="sold", partitions=2)


def copied(copies: int = 3, base: Settings = BASE) -> Settings:
    """The settings of a version that counts a copy of the base's log."""
    _, version = registered(base)
    log = CopiedLog(f"{version.app}-copy", version.orders_topic, version.chats_topic, 2)
    of_copy = replace(
        version,
        orders_topic=f"{version.topic_prefix}orders",
        chats_topic=f"{version.topic_prefix}chats",
        partitions=copies,
        copied=log,
    )
    return settings_of(of_copy, base)


class MemorySource:
    """The log in memory, as `KafkaSource`; each step has a random part of each partition."""

    def __init__(self, log: MemoryLog, settings: Settings, chance: random.Random) -> None:
        self.log, self.layout, self.chance = log, copy_layout(settings), chance
        self._group = copied_settings(settings).app

    async def vectors(self) -> Vectors:
        committed = {
            (tp.topic, tp.partition): (one.offset, one.metadata)
            for tp, one in self.log.group_offsets(self._group).items()
        }
        return read_committed(self.layout, dict.fromkeys(self.layout.sources, 0), committed)

    async def follow(
        self, starts: Mapping[At, int], wanted: Callable[[], Collection[At]]
    ) -> AsyncGenerator[FollowStep, None]:
        positions = dict(starts)
        while True:
            records = {}
            for at in wanted():
                found, positions[at] = self.log.read(
                    TopicPartition(*at), positions[at], self.chance.randrange(4)
                )
                if found:
                    records[at] = found
            ends = {at: self.log.high_watermark(TopicPartition(*at)) for at in starts}
            unread = frozenset(
                at
                for at, position in positions.items()
                if position < self.log.last_stable_offset(TopicPartition(*at))
            )
            yield FollowStep(records, dict(positions), ends, frozenset(), unread=unread)
            await asyncio.sleep(0.1)


class World:
    """A log with producers, a copier that is killed and started again, and what it copied."""

    def __init__(self, seed: int, settings: Settings, *, faulty: bool = True) -> None:
        self.log, self.chance, self.settings = MemoryLog(), random.Random(seed), settings
        self.layout, self.faulty = copy_layout(settings), faulty
        self.written: list[tuple[At, MemoryRecord]] = []

    def write(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Headers = ()
    ) -> None:
        """A record of a producer."""
        number = len(self.written)
        record = MemoryRecord(0, 1000 + number, key, value, tuple(headers))
        at = TopicPartition(topic, partition)
        self.log.write(at, record)
        self.written.append(((topic, partition), record))

    def write_event(self, number: int, keys: int = 7) -> None:
        """A record with a key, in the partition that producers choose."""
        topic = self.chance.choice(list(self.layout.topics))
        key = b"k-%d" % self.chance.randrange(keys)
        self.write(topic, partition_of(key, 2), key, b"v-%d" % number, [("h", b"%d" % number)])

    def hand_over(self, speaker: str) -> None:
        """A handover in each partition of chats, in one transaction."""
        epoch = self.log.init("versions")
        value, headers = handover(speaker, None)
        for number in range(2):
            tp = TopicPartition(self.layout.chats, number)
            record = MemoryRecord(0, 5, None, value, tuple(headers))
            self.log.append("versions", epoch, tp, [record])
        self.log.end("versions", epoch, commit=True)

    async def _step(self, what: str) -> None:
        await asyncio.sleep(self.chance.expovariate(100))
        if self.faulty and "init" not in what and self.chance.random() < 0.02:
            raise (KafkaConnectionError if what.startswith("before") else OutcomeUnknown)(what)

    async def copy(self) -> None:
        """Copy all that is written now, through kills and lost answers."""
        until = {at: self.log.high_watermark(TopicPartition(*at)) for at in self.layout.sources}
        while True:
            source = MemorySource(self.log, self.settings, self.chance)
            at = (await source.vectors()).positions
            if all(at[one] >= end - self._control(one, at[one]) for one, end in until.items()):
                return
            stop = asyncio.Event()
            copier = Copier(
                self.settings,
                source,
                lambda _, transactional_id: MemoryProducer(self.log, transactional_id, self._step),
            )

            async def life(copier: Copier = copier, stop: asyncio.Event = stop) -> None:
                async with copier:
                    await copier.run(stop, self._pause)

            task = asyncio.ensure_future(life())
            if self.faulty and self.chance.random() < 0.5:
                await asyncio.wait([task], timeout=self.chance.uniform(0, 3))
                task.cancel()  # as kill -9: whatever is open stays open
            else:
                await asyncio.wait([task], timeout=5)
                stop.set()
            await asyncio.wait([task])
            if not task.cancelled():
                assert task.exception() is None or isinstance(task.exception(), CopyInDoubt)

    def _control(self, at: At, position: int) -> int:
        """How many offsets behind a position are none of records."""
        found, _ = self.log.read(TopicPartition(*at), position, 1000)
        return 0 if found else self.log.high_watermark(TopicPartition(*at)) - position

    async def _pause(self, _records: int) -> None:
        await asyncio.sleep(self.chance.uniform(0, 0.05))

    def copies(self, topic: str) -> dict[int, list[MemoryRecord]]:
        """The committed records of a copied topic, by partition."""
        name = self.layout.topics[topic]
        return {
            number: self.log.read(TopicPartition(name, number), 0, 100_000)[0]
            for number in range(self.layout.copies)
        }


def content(record: Record) -> tuple[object, ...]:
    """What is copied of a record: all but its offset."""
    return record.key, record.value, tuple(record.headers), record.timestamp


def by_key(records: Iterable[MemoryRecord]) -> dict[bytes | None, list[tuple[object, ...]]]:
    """What is copied of records, by key and in order."""
    found = defaultdict(list)
    for record in records:
        found[record.key].append(content(record))
    return dict(found)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("copies", [1, 3])
def test_each_record_is_copied_once_whenever_the_copier_is_killed(seed: int, copies: int) -> None:
    """In the order of its key, to the partition of its key, with its headers and its time."""
    world = World(seed, copied(copies))

    async def story() -> None:
        for number in range(100):
            world.write_event(number)
            if number % 50 == 25:
                await world.copy()
        world.hand_over("sold.r1")
        for number in range(100, 140):
            world.write_event(number)
        await world.copy()

    run(story())
    for topic in world.layout.topics:
        expected = by_key(record for (name, _), record in world.written if name == topic)
        found: dict[bytes | None, list[tuple[object, ...]]] = {}
        for number, records in world.copies(topic).items():
            of_keys = by_key(record for record in records if record.key is not None)
            assert all(partition_of(key or b"", copies) == number for key in of_keys)
            found |= of_keys
        assert found == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_a_handover_parts_the_copy_as_it_parts_the_log(seed: int) -> None:
    """What stands before it in any partition of the log stands before it in each of the copy."""
    world = World(seed, copied())
    sides: list[set[bytes]] = []

    async def story() -> None:
        number = 0
        for speaker in ("sold.r1", "sold", "sold.r1"):
            side = set()
            for _ in range(40):
                world.write_event(number)
                (topic, _), record = world.written[-1]
                if topic == world.layout.chats:
                    side.add(record.value or b"")
                number += 1
            sides.append(side)
            world.hand_over(speaker)
        await world.copy()

    run(story())
    found: list[set[bytes]] = [set(), set(), set()]
    for records in world.copies(world.layout.chats).values():
        speakers = []
        for record in records:
            if record.key is None:
                speakers.append(envelope.read_chat(record).speaker)  # type: ignore[union-attr]
            else:
                found[len(speakers)].add(record.value or b"")
        assert speakers == ["sold.r1", "sold", "sold.r1"]
    assert found == sides
    orders = world.copies(next(iter(world.layout.topics)))
    assert all(record.key is not None for records in orders.values() for record in records)


def test_ticks_and_handovers_of_other_families_are_not_copied() -> None:
    """Nor does anything wait for them: they may stand in another order in each partition."""
    world = World(1, copied(), faulty=False)

    async def story() -> None:
        for topic in world.layout.topics:
            value, headers = envelope.tick(1_782_900_000_000)
            world.write(topic, 1, None, value, headers)
        value, headers = handover("other", None)
        world.write(world.layout.chats, 0, None, value, headers)
        world.write_event(0)
        await world.copy()

    run(story())
    found = [
        content(record)
        for topic in world.layout.topics
        for records in world.copies(topic).values()
        for record in records
    ]
    assert found == [content(world.written[-1][1])]


def test_records_are_left_out_by_their_position() -> None:
    """And no others."""
    settings = copied().model_copy(update={"copied_without": ("orders-1@1",)})
    world = World(1, settings, faulty=False)

    async def story() -> None:
        for number in range(3):
            world.write("orders", 1, None, b"%d" % number)
        await world.copy()

    run(story())
    found = [record.value for records in world.copies("orders").values() for record in records]
    assert found == [b"0", b"2"]


def test_what_has_no_key_or_another_partition_is_copied() -> None:
    """With its bytes: to a partition by its own one's number, or to that of its key."""
    world = World(1, copied(), faulty=False)
    orders = next(iter(world.layout.topics))
    elsewhere = 1 - partition_of(b"o-1", 2)

    async def story() -> None:
        world.write(orders, 1, None, b"{}")
        world.write(orders, elsewhere, b"o-1", b"[1]")
        await world.copy()

    run(story())
    found = world.copies(orders)
    assert content(found[1][0]) == content(world.written[0][1])
    assert content(found[partition_of(b"o-1", 3)][-1]) == content(world.written[1][1])


@pytest.mark.parametrize("seed", SEEDS)
def test_partitions_are_copied_by_the_times_of_their_records(seed: int) -> None:
    """However little of each is read at once: a partition that is read later waits for no time."""
    world = World(seed, copied(1), faulty=False)

    async def story() -> None:
        for number in range(200):
            world.write_event(number)
        await world.copy()

    run(story())
    for topic in world.layout.topics:
        times = [record.timestamp for record in world.copies(topic)[0]]
        assert len(times) > 50
        assert times == sorted(times)


def test_what_is_read_waits_for_a_partition_that_is_behind() -> None:
    """And is left to copy; none of a partition is read while some of it waits."""
    layout = copy_layout(copied())
    first, second = layout.sources[:2]
    plan = CopyPlan(layout, Vectors(dict.fromkeys(layout.sources, 0)))
    later = [MemoryRecord(number, 100 + number, b"k", b"v") for number in range(3)]
    plan.add({first: later}, {first: 3}, {second})
    assert not list(plan.pieces())
    assert plan.wanted() == set(layout.sources) - {first}
    assert plan.left({first: 3, second: 1}) == 4
    plan.add({second: [MemoryRecord(0, 101, b"k", b"w")]}, {second: 1}, {second})
    (piece,) = plan.pieces()
    (found,) = piece.records.values()
    assert [record.value for record in found] == [b"v", b"v", b"w"]
    plan.done(piece, {})
    plan.add({}, {second: 2}, ())  # a control record
    (piece,) = plan.pieces()
    assert piece.positions == dict.fromkeys(layout.sources, 0) | {first: 3, second: 2}


def test_a_piece_is_bounded() -> None:
    """By records and by bytes: a transaction is as large as both allow, and one record more."""
    layout = copy_layout(copied())
    plan = CopyPlan(layout, Vectors(dict.fromkeys(layout.sources, 0)))
    at = layout.sources[0]
    many = [
        MemoryRecord(number, 0, b"k", b"v" * (1000 if number < 5000 else 250_000))
        for number in range(5040)
    ]
    pieces = []
    plan.add({at: many}, {at: 5040}, ())
    for piece in plan.pieces():
        pieces.append(piece)
        plan.done(piece, {})
    assert sum(piece.count for piece in pieces) == len(many)
    assert max(piece.count for piece in pieces) == limits.COPY_RECORDS
    assert max(piece.size for piece in pieces) <= limits.COPY_BYTES + 250_001
    assert [piece.count for piece in pieces[:2]] == [2000, 2000]
    assert len(pieces) == 5
    assert plan.vectors.positions[at] == 5040


def test_what_is_committed_beside_offsets_is_read_again() -> None:
    """Both vectors, in whatever partition they are committed; a bound says how much fits."""
    layout = copy_layout(copied(5))
    positions = {at: 10 * number for number, at in enumerate(layout.sources)}
    targets = [(topic, number) for topic in layout.topics.values() for number in range(5)]
    written = {at: 100 + number for number, at in enumerate(targets) if number != 3}
    vectors = Vectors(positions, {layout.sources[0]: 7}, written)
    committed = {
        at: (positions[at], committed_beside(layout, vectors, at)) for at in layout.sources
    }
    assert read_committed(layout, dict.fromkeys(layout.sources, 0), committed) == vectors
    begun = dict.fromkeys(layout.sources, 3)
    assert read_committed(layout, begun, {}) == Vectors(begun)
    largest = [limits.INT64_MAX // 10**6] * COPIES_EACH
    assert len(str(largest)) < 4000
