"""The opening of lanes: all producers start or none, and state must fit its source."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata
from structlog.testing import capture_logs

from schemas.columns import RULES
from streams import first_lane, recovery, standstill
from streams.build import this_build
from streams.errors import StateUnfit
from streams.marks import MARK_KEY, Mark, decode_mark, encode_mark
from streams.recovery import Opener
from streams.settings import Kafka, Settings
from streams.stores import Identity, PartitionStore, StoreDamaged, StoreUnopened
from streams.topics import changelog, declared
from tables.stages import stages
from tables.terms import Terms
from tables.watermarks import Progress
from tests.damage import flip_bits, raise_stuck
from tests.driver import MemoryCluster, MemoryStores
from tests.memory_log import MemoryLog, MemoryRecord
from tests.terms import by_terms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.lanes import Lane

SETTINGS = Settings(_env_file=None, kafka=Kafka(bootstrap_servers="unused"))
IDS = {topic.name: f"id of {topic.name}" for topic in declared(SETTINGS)}
STAGES = stages(Terms(), 1000)
ORDERS, CHATS = TopicPartition("orders", 0), TopicPartition("chats", 0)
TERMS = {stage.spec.source: f"{stage.terms}; keys by murmur2" for stage in STAGES}
CHAT_TABLES = ("chats", "reply_timers", "overdue")


def mark(offset: int, topic: str = "orders", **other: object) -> Mark:
    """The mark of a table that contains everything up to an offset."""
    fields: dict[str, Any] = {
        "topic": topic,
        "topic_id": IDS[topic],
        "partition": 0,
        "offset": offset,
        "watermark_ms": 5,
        "sources": {},
        "refused_in_a_row": 0,
        "terms": TERMS[topic],
        "partitions": SETTINGS.partitions,
    }
    return Mark(**(fields | other))


class Machine:
    """A log in memory with the state of an earlier worker; its requests take no time."""

    def __init__(self, end: int = 1000) -> None:
        self.log = MemoryLog()
        self.driver = SimpleNamespace(log=self.log, settings=SETTINGS)
        for tp in (ORDERS, CHATS):
            for _ in range(end):
                self.log.write(tp, MemoryRecord(0, 0, b"k", b"v"))

    async def step(self, what: str) -> None: ...

    async def request(self, what: str) -> None: ...

    def put_mark(self, table: str, value: bytes) -> None:
        tp = TopicPartition(changelog(SETTINGS, table), 0)
        self.log.write(tp, MemoryRecord(0, 0, MARK_KEY, value))

    def commit(self, tp: TopicPartition, offset: int) -> None:
        epoch = self.log.init("earlier worker")
        self.log.add_offsets(
            "earlier worker", epoch, SETTINGS.app, {tp: OffsetAndMetadata(offset, "")}
        )
        self.log.end("earlier worker", epoch, commit=True)


class OnMachine(MemoryCluster):
    """The cluster; its logs begin at `beginning`, and `late` is committed at the second reading."""

    def __init__(self, machine: Machine, beginning: int, late: int | None) -> None:
        super().__init__(cast("Any", machine))
        self.machine, self.beginning, self.late = machine, beginning, late
        self.readings = 0

    async def bounds(
        self, names: Iterable[str]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        beginnings, ends = await super().bounds(names)
        sources = {tp: self.beginning for tp in beginnings if tp.topic == ORDERS.topic}
        return beginnings | sources, ends

    async def committed(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int | None]:
        self.readings += 1
        if self.readings == 2 and self.late is not None:
            self.machine.commit(ORDERS, self.late)
        return await super().committed(partitions)


async def opened(
    machine: Machine,
    source: TopicPartition = ORDERS,
    beginning: int = 0,
    late: int | None = None,
) -> tuple[Lane, OnMachine]:
    """The lane of a source partition, opened by a worker with an empty disk."""
    kafka = OnMachine(machine, beginning, late)
    disk = MemoryStores(random.Random(1))
    opener = Opener(
        SETTINGS, STAGES, Path("state"), "cluster", IDS, cast("Any", kafka), cast("Any", disk.open)
    )
    (lane,) = await opener.open([source])
    return lane, kafka


def left_by(marks: dict[str, Mark | None], committed: int | None) -> tuple[Machine, TopicPartition]:
    """The state of an earlier worker: marks by table, and its committed offset."""
    machine = Machine()
    source = CHATS if "chats" in marks else ORDERS
    for table, one in marks.items():
        if one is not None:
            machine.put_mark(table, encode_mark(one))
    if committed is not None:
        machine.commit(source, committed)
    return machine, source


async def test_it_continues_after_the_mark() -> None:
    """The committed offset is the next one to read, and the progress is the mark's."""
    lane, _ = await opened(left_by({"orders": mark(41)}, 42)[0])
    assert lane.position == 42
    assert lane.progress == Progress(41, 5)


async def test_a_first_start_commits_the_beginning_of_the_log() -> None:
    """Mark and committed offset name it before any record is applied."""
    machine = Machine()
    lane, _ = await opened(machine)
    assert lane.position == 0
    assert machine.log.committed(SETTINGS.app, ORDERS) == 0
    (record, *_), _ = machine.log.read(TopicPartition("netsold-orders-changelog", 0), 0, 10)
    assert record.key == MARK_KEY
    first = decode_mark(record.value or b"")
    assert first.offset == -1
    assert first.build == str(this_build())


@pytest.mark.parametrize(
    ("marks", "committed", "words"),
    [
        ({"orders": mark(41)}, 43, ["43", "orders is at 41", "count twice or lose"]),
        ({"orders": mark(41)}, 41, ["41"]),
        ({"orders": None}, 42, ["the committed offset is 42", "orders is at nothing"]),
        (
            {"orders": mark(41)},
            None,
            ["no offset is committed", "put back offset 42", "netsold doctor --mend"],
        ),
        (
            {
                "chats": mark(41, "chats"),
                "reply_timers": mark(40, "chats"),
                "overdue": mark(41, "chats"),
            },
            42,
            ["chats is at 41", "reply_timers is at 40"],
        ),
        (
            {"chats": mark(41, "chats"), "reply_timers": None, "overdue": mark(41, "chats")},
            42,
            ["reply_timers is at nothing"],
        ),
        ({"orders": mark(41, topic_id="id-0")}, 42, ["deleted and created again", "id-0"]),
        ({"orders": mark(41, rules=RULES + 1)}, 42, [f"rules {RULES + 1}"]),
        (
            {"orders": mark(41, partitions=6)},
            42,
            ["made with 6 partitions, now there are 4", "count a copy of the log"],
        ),
        (
            {"orders": mark(41, terms=f"{STAGES[0].terms}; keys by crc32")},
            42,
            ["keys by crc32", "keys by murmur2", "set NETSOLD_PARTITIONER back, or"],
        ),
        ({"orders": mark(2000)}, 2001, ["outside of the log 0-1000"]),
    ],
)
async def test_it_stops_where_state_and_offsets_disagree(
    marks: dict[str, Mark | None],
    committed: int | None,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence has both numbers and the remedy; nothing is guessed."""
    monkeypatch.setattr(recovery, "OFFSETS_SECONDS", 0.0)
    machine, source = left_by(marks, committed)
    with pytest.raises(StateUnfit) as stopped:
        await opened(machine, source)
    message = str(stopped.value)
    assert f"{source.topic}-0" in message
    assert "docs/runbook.md, Rebuild" in message
    for word in words:
        assert word in message


async def test_state_of_another_build_is_used() -> None:
    """The build is information, and earlier marks have none.

    The rules are the condition.
    """
    lane, _ = await opened(left_by({"orders": mark(41, build="0.0.1+abc")}, 42)[0])
    assert lane.position == 42
    older = json.loads(encode_mark(mark(41)))
    del older["build"]
    machine, _ = left_by({}, 42)
    machine.put_mark("orders", json.dumps(older).encode())
    lane, _ = await opened(machine)
    assert lane.position == 42
    machine, _ = left_by({}, 42)
    machine.put_mark("orders", json.dumps(older | {"rules": RULES - 1}).encode())
    with pytest.raises(StateUnfit, match=f"made by rules {RULES - 1}, this worker has .* {RULES}"):
        await opened(machine)


@pytest.mark.parametrize("before", [41, None])
async def test_offsets_that_arrive_late_are_waited_for(
    before: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that has just restarted may lack the group's last transaction."""
    monkeypatch.setattr(recovery, "RETRY_SECONDS", 0.0)
    lane, kafka = await opened(left_by({"orders": mark(41)}, before)[0], late=42)
    assert lane.position == 42
    assert kafka.readings >= 2


async def test_offsets_that_cannot_arrive_are_not_waited_for() -> None:
    """If a table has no mark, the offsets are not merely late.

    The worker stops at once.
    """
    machine, _ = left_by(dict.fromkeys(CHAT_TABLES) | {"chats": mark(41, "chats")}, None)
    async with asyncio.timeout(recovery.OFFSETS_SECONDS / 2):
        with pytest.raises(StateUnfit, match="no offset is committed"):
            await opened(machine, CHATS)


async def test_it_stops_where_retention_has_passed_the_offset() -> None:
    """Records that were deleted before they were read are lost.

    The worker must not continue silently.
    """
    with pytest.raises(StateUnfit, match="outside of the log 50-1000"):
        await opened(left_by({"orders": mark(41)}, 42)[0], beginning=50)


async def test_a_new_application_keeps_out_of_a_journal_with_records() -> None:
    """The journal would have every sale twice.

    The sentence names the settings that separate them.
    """
    machine = Machine()
    machine.log.write(TopicPartition("sales", 3), MemoryRecord(0, 0, b"p", b"v"))
    with pytest.raises(StateUnfit, match=r"sales already has .* NETSOLD_ORDERS_TOPIC=orders"):
        await opened(machine)


def _compacted(path: Path, identity: Identity) -> PartitionStore:
    """The store, once a compaction has read all of its files."""
    store = PartitionStore(path, identity)
    store._db.compact_range(None, None)
    return store


async def test_a_damaged_store_is_restored_from_its_changelog(tmp_path: Path) -> None:
    """Its damage is found by a compaction, while it is restored; the next try opens it, empty."""
    machine, _ = left_by({"orders": mark(41)}, 42)
    opener = Opener(
        SETTINGS, STAGES, tmp_path, "cluster", IDS,
        cast("Any", OnMachine(machine, 0, None)), _compacted,
    )  # fmt: skip
    (lane,) = await opener.open([ORDERS])
    store, ids = lane.stores["orders"], random.Random(1)
    for _ in range(3):
        rows = [(b"o-%04d" % ids.randrange(9000), ids.randbytes(200)) for _ in range(2000)]
        store.write(rows, store.position or 0)
        store._db.flush()
    await lane.close()
    assert flip_bits(store.path)
    machine.put_mark("orders", encode_mark(mark(41)))
    with capture_logs() as lines, pytest.raises(StoreDamaged, match="Corruption"):
        await opener.open([ORDERS])
    assert [line["path"] for line in lines if "store wiped" in line["event"]] == [str(store.path)]
    (lane,) = await opener.open([ORDERS])
    assert lane.position == 42
    assert list(lane.stores["orders"].items()) == []
    await lane.close()


async def test_producers_are_closed_where_a_damaged_store_cannot_be_wiped(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the last lines of the log would be about them, and not the reason."""
    monkeypatch.setattr(opener, "_read_offsets", raise_stuck)
    Producer.let.set()
    with pytest.raises(StoreUnopened, match=r"stuck can't be opened \(stuck: Corruption\)"):
        await opener.open([ORDERS])
    assert [producer.abandoned for producer in Producer.made] == [True]


class Producer:
    """A producer whose start waits for `let`, ends at once (`ready`), or fails at once."""

    made: list[Producer]
    let = asyncio.Event()
    ready: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()

    def __init__(self, transactional_id: str) -> None:
        self.id, self.runs, self.abandoned = transactional_id, False, False
        Producer.made.append(self)

    async def start(self) -> None:
        self.runs = True
        try:
            if self.id in Producer.refused:
                raise KafkaConnectionError
            if self.id not in Producer.ready:
                await Producer.let.wait()
        finally:
            self.runs = False

    async def abandon(self) -> None:
        assert not self.runs, "a start that continues connects again, which nobody closes"
        self.abandoned = True


class OnlyProducers:
    """A cluster that gives such producers, and answers no request after that."""

    def producer(self, transactional_id: str) -> Producer:
        return Producer(transactional_id)

    async def bounds(self, _names: object) -> None:
        raise KafkaConnectionError


@pytest.fixture
def opener(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """An opener with such a cluster."""
    Producer.made, Producer.let = [], asyncio.Event()
    Producer.ready = Producer.refused = frozenset()
    monkeypatch.setattr(recovery, "INIT_SECONDS", 0.01)
    kafka = cast("Any", OnlyProducers())
    return Opener(SETTINGS, STAGES, Path("unused"), "cluster", IDS, kafka)


async def test_none_is_left_starting_when_one_fails(opener: Opener) -> None:
    """The first failure ends the other starts.

    All producers are closed before the failure is raised.
    """
    Producer.refused = frozenset({"netsold-order-0"})
    with pytest.raises(KafkaConnectionError):
        await opener.open([TopicPartition("orders", number) for number in range(3)])
    assert [producer.id for producer in Producer.made] == [
        "netsold-order-0",
        "netsold-order-1",
        "netsold-order-2",
    ]
    assert all(producer.abandoned for producer in Producer.made)


async def test_ids_that_the_broker_keeps_waiting_are_logged(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that have started are not logged.

    Once all have started, nothing is.
    """
    monkeypatch.setattr(standstill, "STILL_SECONDS", -1.0)
    Producer.ready = frozenset({"netsold-order-0"})
    asyncio.get_running_loop().call_later(0.1, Producer.let.set)
    with capture_logs() as lines, pytest.raises(KafkaConnectionError):
        await opener.open([TopicPartition("orders", number) for number in (0, 1)])
    assert "docs/runbook.md, Transactional ids kept waiting" in lines[0]["event"]
    assert lines[0]["transactional_ids"] == ["netsold-order-1"]
    assert lines[-1]["phase"] == "committed"
    assert opener.waits_for() == "the group's committed offsets, and the ends of all logs"


async def test_a_partition_that_was_added_is_refused_before_anything_starts(
    opener: Opener,
) -> None:
    """One sentence has topic and remedy.

    Partitions of topics that are not ours are skipped.
    """
    with pytest.raises(
        StateUnfit,
        match=r"topic orders now has more than the 4 partitions that netsold needs, .* rebuild",
    ):
        await opener.open(
            [TopicPartition("orders", 3), TopicPartition("orders", 4), TopicPartition("other", 9)]
        )
    assert Producer.made == []


class OtherWorker(Machine):
    """A worker with settings of its own on the log of another one."""

    def __init__(self, log: MemoryLog, settings: Settings) -> None:
        self.log, self.settings = log, settings
        self.driver = SimpleNamespace(log=log, settings=settings)

    async def open(self, *sources: TopicPartition) -> list[Lane]:
        opener = Opener(
            self.settings,
            stages(self.settings.terms, 1000),
            Path("state"),
            "cluster",
            IDS,
            cast("Any", MemoryCluster(cast("Any", self))),
            cast("Any", MemoryStores(random.Random(1)).open),
        )
        return await opener.open(sources)


@pytest.mark.parametrize("step", [1, -1])
async def test_two_workers_with_different_terms_cannot_begin_one_group(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At one instant, on an empty group: the worker of the first partition decides the terms.

    The other one begins no lane, whichever was quicker.
    """
    monkeypatch.setattr(first_lane, "EVERY_SECONDS", 0.001)
    log = Machine(end=0).log
    one, other = (
        OtherWorker(log, settings)
        for settings in (SETTINGS, by_terms(SETTINGS, sold_monthly_basis="refund"))
    )
    begins = [other.open(CHATS), one.open(ORDERS)]
    async with asyncio.timeout(10):
        found = await asyncio.gather(*begins[::step], return_exceptions=True)
    (refused,) = [error for error in found if isinstance(error, BaseException)]
    assert isinstance(refused, StateUnfit)
    assert f"workers count by terms {SETTINGS.terms.name}, this one has" in str(refused)
    assert set(log.group_offsets(SETTINGS.app)) == {ORDERS}


async def test_workers_with_the_same_terms_begin_a_group_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker without the first partition waits for the one that has it, and says so."""
    monkeypatch.setattr(first_lane, "EVERY_SECONDS", 0.001)
    monkeypatch.setattr(standstill, "STILL_SECONDS", -1.0)
    log = Machine(end=0).log
    with capture_logs() as lines:
        waiting = asyncio.create_task(OtherWorker(log, SETTINGS).open(CHATS))
        while not any("a new group begins with" in line["event"] for line in lines):
            assert not waiting.done()
            await asyncio.sleep(0)
    await OtherWorker(log, SETTINGS).open(ORDERS)
    async with asyncio.timeout(10):
        assert [lane.name for lane in await waiting] == ["chats-0"]
    assert set(log.group_offsets(SETTINGS.app)) == {ORDERS, CHATS}
