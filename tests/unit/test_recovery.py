"""The opening of lanes: producers begin together or not at all.

Go on only where committed = mark + 1, else a loud stop.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from schemas.journal import RULES
from streams import recovery
from streams.lanes import Lane
from streams.marks import Mark, encode_mark
from streams.partitioning import Partitioner
from streams.recovery import Opener, StateUnfit, _is_behind, _Opening
from streams.settings import Kafka, Settings
from tables.cycles import Calendar
from tables.service_hours import ServiceRules
from tables.stages import stages
from tables.watermarks import Progress

IDS = {"orders": "id-1"}
FOLDS = stages(Calendar(30 * 86_400_000, 0), ServiceRules(), 1000)
ORDERS = TopicPartition("orders", 0)


TERMS = f"{FOLDS[0].terms}; keys by murmur2"


def mark(
    offset: int, topic_id: str = "id-1", rules: int = RULES, terms: str = TERMS, partitions: int = 4
) -> Mark:
    """The mark of a table that holds everything up to an offset."""
    return Mark("orders", topic_id, 0, offset, 5, {}, 0, rules, terms, partitions)


def checked(
    marks: dict[str, Mark | None],
    committed: int | None,
    beginning: int = 0,
    end: int = 1000,
    partitioner: Partitioner = "murmur2",
) -> Lane:
    """The lane after the check."""
    nobody = cast("Any", None)
    opener = Opener(Settings(_env_file=None), FOLDS, Path("unused"), "cluster", IDS, nobody)
    opening = _Opening(FOLDS[0], ORDERS, nobody, committed=committed, beginning=beginning, end=end)
    lane = Lane(
        FOLDS[0],
        "orders",
        "id-1",
        0,
        nobody,
        {},
        Progress(),
        0,
        partitions=4,
        partitioner=partitioner,
    )
    opener._check(lane, marks, opening)
    return lane


def test_it_goes_on_behind_the_mark() -> None:
    """The committed offset is the next one to read, and the progress is the mark's."""
    lane = checked({"orders": mark(41)}, 42)
    assert lane.position == 42
    assert lane.progress == Progress(41, 5)


@pytest.mark.parametrize(
    ("marks", "committed", "words"),
    [
        ({"orders": mark(41)}, 43, ["43", "orders is at 41", "count twice or lose"]),
        ({"orders": mark(41)}, 41, ["41"]),
        ({"orders": None}, 42, ["the committed offset is 42", "orders is at nothing"]),
        (
            {"orders": mark(41)},
            None,
            ["no offset is committed", "put back offset 42", "kafka-consumer-groups.sh"],
        ),
        ({"a": mark(41), "b": mark(40)}, 42, ["a is at 41", "b is at 40"]),
        ({"a": mark(41), "b": None}, 42, ["b is at nothing"]),
        ({"orders": mark(41, topic_id="id-0")}, 42, ["deleted and created again", "id-0"]),
        ({"orders": mark(41, rules=RULES + 1)}, 42, [f"rules {RULES + 1}"]),
        (
            {"orders": mark(41, partitions=6)},
            42,
            ["made with 6 partitions, now there are 4", "copy the log and rebuild"],
        ),
        (
            {"orders": mark(41, terms=f"{FOLDS[0].terms}; keys by crc32")},
            42,
            ["keys by crc32", "keys by murmur2", "set them back, or"],
        ),
        ({"orders": mark(2000)}, 2001, ["outside of the log 0-1000"]),
    ],
)
def test_it_stops_where_state_and_offsets_disagree(
    marks: dict[str, Mark | None], committed: int | None, words: list[str]
) -> None:
    """One sentence with both numbers and the remedy; nothing is guessed."""
    with pytest.raises(StateUnfit) as stopped:
        checked(marks, committed)
    said = str(stopped.value)
    assert "orders-0" in said
    assert "NETSOLD_APP" in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("marks", "committed", "behind"),
    [([41], 42, False), ([41], 41, True), ([41], None, True), ([41, None], None, False)],
)
def test_offsets_that_may_still_come_are_known(
    marks: list[int | None],
    committed: int | None,
    behind: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A coordinator that has just come back may answer without the group's last transaction, or as if it knew nothing of the group."""
    stores = {
        str(at): SimpleNamespace(mark=None if at is None else encode_mark(mark(at))) for at in marks
    }
    opening = _Opening(
        FOLDS[0], ORDERS, cast("Any", None), stores=cast("Any", stores), committed=committed
    )
    assert _is_behind(opening) is behind


def test_it_stops_where_retention_has_passed_the_offset() -> None:
    """Records that were deleted before they were read are a loss that must be said."""
    with pytest.raises(StateUnfit, match="outside of the log 50-1000"):
        checked({"orders": mark(41)}, 42, beginning=50)


class Producer:
    """A producer that begins when the broker lets it, or fails at once."""

    made: list[Producer]
    let = asyncio.Event()

    def __init__(self, _: Settings, transactional_id: str) -> None:
        self.id, self.runs, self.abandoned = transactional_id, False, False
        Producer.made.append(self)

    async def start(self) -> None:
        self.runs = True
        try:
            if self.id.endswith("order-0") and not Producer.let.is_set():
                raise KafkaConnectionError
            await Producer.let.wait()
        finally:
            self.runs = False

    async def abandon(self) -> None:
        assert not self.runs, "a start that goes on connects again, and nobody closes that"
        self.abandoned = True


class Cluster:
    """One that gives such producers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def producer(self, transactional_id: str) -> Producer:
        return Producer(self.settings, transactional_id)


@pytest.fixture
def opener(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """One whose producers are fakes."""
    Producer.made, Producer.let = [], asyncio.Event()
    monkeypatch.setattr(recovery, "LOOK_SECONDS", 0.01)
    settings = Settings(_env_file=None, kafka=Kafka(bootstrap_servers="unused"))
    return Opener(settings, FOLDS, Path("unused"), "cluster", IDS, cast("Any", Cluster(settings)))


async def test_none_is_left_starting_when_one_fails(opener: Opener) -> None:
    """The first failure ends the other starts, and all producers are closed before it is told."""
    with pytest.raises(KafkaConnectionError):
        await opener.open([TopicPartition("orders", number) for number in range(3)])
    assert [producer.id for producer in Producer.made] == [
        "netsold-order-0",
        "netsold-order-1",
        "netsold-order-2",
    ]
    assert all(producer.abandoned for producer in Producer.made)


async def test_ids_that_the_broker_keeps_waiting_are_told(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that have begun, and nothing once all have."""
    monkeypatch.setattr(recovery, "STILL_SECONDS", -1.0)
    openings = [
        _Opening(
            FOLDS[0], TopicPartition("orders", number), cast("Any", Producer(opener.settings, "id"))
        )
        for number in (0, 1)
    ]

    async def begun() -> None: ...

    monkeypatch.setattr(openings[0].producer, "start", begun)
    with capture_logs() as lines:
        asyncio.get_running_loop().call_later(0.1, Producer.let.set)
        await opener._init(openings)
    assert "docs/runbook.md, Transactional ids kept waiting" in lines[0]["event"]
    assert lines[0]["transactional_ids"] == ["netsold-order-1"]


async def test_a_partition_that_was_added_is_refused_before_anything_begins(opener: Opener) -> None:
    """One sentence with topic and remedy.

    Partitions of topics that aren't ours to fold are passed over.
    """
    Producer.let.set()
    with pytest.raises(
        StateUnfit,
        match=r"topic orders now has more than the 4 partitions that netsold needs, .* rebuild",
    ):
        await opener.open(
            [TopicPartition("orders", 3), TopicPartition("orders", 4), TopicPartition("other", 9)]
        )
    assert Producer.made == []
