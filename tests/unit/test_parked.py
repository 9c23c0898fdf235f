"""Dead letters as a reader counts them, over topics in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from schemas import decisions, limits
from schemas.decisions import Decision
from schemas.positions import Position
from streams import log, topics
from streams.parked import DeadLetters
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SETTINGS = Settings(_env_file=None, partitions=1)
LETTERS, DECISIONS = "dead-letters", "dead-letter-decisions"


class Record(NamedTuple):
    """A record as it is read."""

    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Cluster:
    """Two topics of one partition; a topic without an id is missing."""

    def __init__(self) -> None:
        self.ids = {LETTERS: "id-1", DECISIONS: "id-2"}
        self.logs: dict[str, list[Record]] = {LETTERS: [], DECISIONS: []}
        self.beginnings = {LETTERS: 0, DECISIONS: 0}
        self.readings = 0

    def park(self, *reasons: str) -> None:
        """Write letters."""
        for reason in reasons:
            offset = len(self.logs[LETTERS])
            headers = [("__streams.errors.topic", b"orders"), ("x-dlq-reason", reason.encode())]
            self.logs[LETTERS].append(Record(0, offset, offset, b"", headers))

    def decide(self, offset: int, what: Any, topic_id: str = "id-1") -> None:  # noqa: ANN401 - a decision
        """Write a decision about the letter at an offset."""
        letter = Position(LETTERS, 0, offset)
        one = Decision(letter, topic_id, what, "orders", "", None, 1, "ann", "", "")
        number = len(self.logs[DECISIONS])
        self.logs[DECISIONS].append(Record(0, number, 0, decisions.encode(one)[1], []))

    async def topic_ids(self, _: Settings) -> dict[str, str]:
        return dict(self.ids)

    async def bounds(self, _: Settings, names: Any) -> tuple[Any, Any]:  # noqa: ANN401 - as log.bounds
        return (
            {(name, 0): self.beginnings[name] for name in names},
            {(name, 0): len(self.logs[name]) for name in names},
        )

    async def records(
        self, _: Settings, name: str, start: dict[int, int], end: dict[int, int], most: int
    ) -> AsyncIterator[list[Record]]:
        self.readings += 1
        found = self.logs[name][start[0] : end.get(0, len(self.logs[name]))]
        for at in range(0, len(found), most):
            yield found[at : at + most]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster that `DeadLetters` reads."""
    found = Cluster()
    monkeypatch.setattr(topics, "topic_ids", found.topic_ids)
    monkeypatch.setattr(log, "bounds", found.bounds)
    monkeypatch.setattr(log, "records", found.records)
    return found


async def counts(letters: DeadLetters) -> dict[str, tuple[int, int, int]]:
    """Open, requeued and discarded letters by reason, after reading on."""
    await letters.read_on()
    return {one.reason: (one.open, one.requeued, one.discarded) for one in letters.counts()}


async def test_letters_are_counted_by_state(cluster: Cluster) -> None:
    """A letter is decided about once; decisions about another topic of this name don't count."""
    letters = DeadLetters(SETTINGS)
    cluster.park("not_json", "not_json", "missing_key")
    cluster.decide(0, "requeued")
    cluster.decide(1, "discarded", topic_id="former")
    assert await counts(letters) == {"not_json": (1, 1, 0), "missing_key": (1, 0, 0)}
    cluster.decide(0, "discarded")
    cluster.decide(2, "discarded")
    cluster.decide(99, "discarded")
    cluster.logs[DECISIONS].append(Record(0, len(cluster.logs[DECISIONS]), 0, b"?", []))
    assert await counts(letters) == {"not_json": (1, 1, 0), "missing_key": (0, 0, 1)}
    before = cluster.readings
    assert await counts(letters) == {"not_json": (1, 1, 0), "missing_key": (0, 0, 1)}
    assert cluster.readings == before, "nothing is new"


async def test_the_newest_open_letters_of_a_group_are_known(cluster: Cluster) -> None:
    """At most `limits.RECENT_LETTERS`; a decision about one takes it away."""
    letters = DeadLetters(SETTINGS)
    cluster.park("b", *["a"] * (limits.RECENT_LETTERS + 2))
    cluster.decide(4, "discarded")
    await letters.read_on()
    a, b = letters.counts()
    assert [one.offset for one in a.recent] == [3, 5, 6, 7]
    assert list(b.recent) == [Position(LETTERS, 0, 0)]


async def test_letters_that_are_deleted_by_age_are_no_longer_counted(cluster: Cluster) -> None:
    """Whatever their state was; later ones keep theirs."""
    letters = DeadLetters(SETTINGS)
    cluster.park("a", "b", "a", "a")
    cluster.decide(0, "requeued")
    cluster.decide(3, "discarded")
    assert await counts(letters) == {"a": (1, 1, 1), "b": (1, 0, 0)}
    cluster.beginnings[LETTERS] = 2
    cluster.decide(2, "requeued")
    cluster.decide(1, "requeued")
    assert await counts(letters) == {"a": (0, 1, 1)}
    cluster.beginnings[LETTERS] = 4
    cluster.park("b")
    assert await counts(letters) == {"b": (1, 0, 0)}


async def test_a_topic_that_is_created_again_is_counted_from_its_beginning(
    cluster: Cluster,
) -> None:
    """Also if it has as many records as before; without decisions all are open."""
    letters = DeadLetters(SETTINGS)
    cluster.park("a")
    cluster.decide(0, "requeued")
    assert await counts(letters) == {"a": (0, 1, 0)}
    cluster.ids[LETTERS] = "id-3"
    assert await counts(letters) == {"a": (1, 0, 0)}
    del cluster.ids[DECISIONS]
    assert await counts(letters) == {"a": (1, 0, 0)}
    del cluster.ids[LETTERS]
    assert await counts(letters) == {}


async def test_groups_are_bounded(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program may write any reason."""
    monkeypatch.setattr(limits, "LETTER_GROUPS", 2)
    letters = DeadLetters(SETTINGS)
    cluster.park("a", "b", "c", "d", "a")
    cluster.decide(3, "discarded")
    assert await counts(letters) == {"a": (2, 0, 0), "b": (1, 0, 0), "unknown": (1, 0, 1)}


async def test_the_oldest_open_letter_is_the_first_that_is_not_decided(cluster: Cluster) -> None:
    """Decided and deleted letters are none, whichever comes first; letters are a second apart."""
    letters = DeadLetters(SETTINGS)
    cluster.park("a", "a", "a", "a")
    cluster.logs[LETTERS] = [
        record._replace(timestamp=1000 * (at + 1))
        for at, record in enumerate(cluster.logs[LETTERS])
    ]
    await letters.read_on()
    assert letters.oldest_open_ms() == 1000
    cluster.decide(1, "requeued")
    await letters.read_on()
    assert letters.oldest_open_ms() == 1000
    cluster.decide(0, "discarded")
    await letters.read_on()
    assert letters.oldest_open_ms() == 3000
    cluster.beginnings[LETTERS] = 3
    await letters.read_on()
    assert letters.oldest_open_ms() == 4000
    cluster.decide(3, "discarded")
    await letters.read_on()
    assert letters.oldest_open_ms() is None
