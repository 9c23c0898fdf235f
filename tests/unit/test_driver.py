"""Whole workers over the log in memory; a seed kills, freezes, cuts off and reassigns them.

The tables are those of an undisturbed run.
"""

from __future__ import annotations

import os
import random
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from structlog.testing import capture_logs

from operations.simulation.faults import disturbed, parse
from operations.simulation.traffic import Plan, traffic
from schemas import envelope, journal, limits
from schemas.events import topic_of
from schemas.times import DAY_MS
from streams import chunk_processor, dead_letters, recovery, transactions
from streams.assignment import Assignment
from streams.settings import Settings
from tables import catalogue
from tables.report import report
from tests import published, virtual_time
from tests.driver import TERMS, Driver, Faults, tick
from tests.flow import Flow
from tests.memory_log import MemoryLog, MemoryRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiokafka import TopicPartition

    from streams.batches import TolerantRecords
    from streams.lanes import Lane
    from streams.traced import Steps
    from tables.outcome import Outcome

SEEDS = [int(seed) for seed in os.environ.get("SEEDS", "1 2 3 4 5 6 7 8").split()]
EVENTS = 250
POISON = (b"o-bad", b"not json", [("own", b"1")])
"""A record that every decoder refuses, with its own header."""

Sends = list[tuple[bytes, bytes]]


def settings(tmp_path: Path) -> Settings:
    """Two partitions, in memory."""
    return Settings(_env_file=None, app="driven", partitions=2, data_dir=tmp_path)


def records(seed: int) -> Iterator[tuple[str, tuple[bytes | None, bytes, list[tuple[str, bytes]]]]]:
    """Events of a small marketplace with their topics.

    They are out of order; some arrive twice, and some contradict others.
    """
    plan = Plan(
        seed, f"d{seed}", 1_780_000_000_000, every_ms=DAY_MS / 2, shops=3, products=5, buyers=7
    )
    ways = parse(["duplicates=5%", "out_of_order=20%", "late=20d", "conflicts=2%"])
    for _, event in islice(
        disturbed(islice(traffic(plan), EVENTS), ways, seed=seed, day_ms=DAY_MS, live=False), EVENTS
    ):
        assert isinstance(event, dict)
        yield topic_of(str(event["type"])), envelope.encode(event)


def driven(seed: int, tmp_path: Path, faults: Faults) -> tuple[Driver, Flow]:
    """A run with these faults, and the same log through the pure stages alone."""
    driver, flow = Driver(settings(tmp_path), seed, faults), Flow(chunk=lambda: 7)
    chance = random.Random(seed)

    def feed() -> Iterator[None]:
        for number, (topic, record) in enumerate(records(seed)):
            partition = driver.write(topic, record)
            flow.send(topic, *record, partition)
            if number % 40 == 0:
                partition = driver.write(catalogue.ORDERS_TOPIC, POISON)
                flow.send(catalogue.ORDERS_TOPIC, *POISON, partition)
            if number % 5 == 0:
                yield
        for topic in (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC):
            for partition in range(driver.settings.partitions):
                last = tick(1_900_000_000_000 + chance.randrange(1000))
                driver.write(topic, last, partition)
                flow.send(topic, *last, partition)
        yield

    with capture_logs(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "WALKED_ROWS", 3)  # the ends of cycles have many steps
        patch.setattr(limits, "ENDED_ROWS", 2)
        virtual_time.run(driver.run(feed()))
    return driver, flow.run()


def differences(driver: Driver, flow: Flow) -> list[str]:
    """How a run's tables, journal and dead letters differ from the pure stages'."""
    found = [
        table.name
        for table in catalogue.TABLES
        if driver.table(table.name) != flow.tables[table.name]
    ]
    journal_rows = driver.committed(driver.settings.topic(catalogue.SALES_TOPIC))
    entries = [
        row
        for row in map(journal.decode, filter(None, (record.value for record in journal_rows)))
        if isinstance(row, journal.Entry)
    ]
    if sorted(entries, key=repr) != sorted(flow.entries, key=repr):
        found.append("journal")
    letters = driver.committed(driver.settings.topic(catalogue.DEAD_LETTERS_TOPIC))
    positions = {dict(letter.headers)["x-dlq-id"] for letter in letters}
    if not (
        len(letters) == len(positions) == len(flow.parked) > 0
        and all(letter.value == POISON[1] for letter in letters)
        and all(letter.headers[0] == POISON[2][0] for letter in letters)
    ):
        found.append("dead letters")
    return found + unpublished(driver)


def unpublished(driver: Driver) -> list[str]:
    """How the topics of rows and `cycles` differ from the tables, if at all."""
    logs = {
        (topic.name, number): driver.committed_of(driver.settings.topic(topic.name), number)
        for topic in catalogue.PUBLIC_TOPICS
        if topic.kind in {"rows", "cycles"}
        for number in range(driver.settings.partitions)
    }
    tables = {
        table.name: driver.table(table.name).items()
        for table in catalogue.TABLES
        if table.form in {"sales", "service", "order", "overdue"}
    }
    counted = report(TERMS, tables)
    unsent = published.unsent(logs, TERMS.calendar)
    return [*published.problems(logs, counted), *unsent]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_leaves_what_an_undisturbed_run_leaves(seed: int, tmp_path: Path) -> None:
    """Every change is made once (I1, I2), and every dead letter once (I4).

    Faults are kills, zombies, lost requests, lost answers and rebalances. `SEEDS="7 8"` repeats
    some.
    """
    assert differences(*driven(seed, tmp_path, Faults())) == []


def test_a_seed_repeats_its_run(tmp_path: Path) -> None:
    """It has the same requests at the same virtual times, and the same ends of processes."""
    one, _ = driven(3, tmp_path, Faults())
    two, _ = driven(3, tmp_path, Faults())
    assert one.trace == two.trace
    assert one.ends == two.ends
    assert one.ends


# --- mistakes planted on purpose: a run that finds none of them would prove nothing


def reads_uncommitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers count records that were never committed."""

    def read(
        log: MemoryLog, tp: TopicPartition, position: int, most: int
    ) -> tuple[list[MemoryRecord], int]:
        entries = log._partitions[tp][position : position + most]
        return [entry.record for entry in entries if entry.record is not None], position + len(
            entries
        )

    monkeypatch.setattr(MemoryLog, "read", read)


def commits_offsets_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source offset is committed outside of the transaction."""

    def add_offsets(
        log: MemoryLog, _id: str, _epoch: int, group: str, offsets: dict[TopicPartition, Any]
    ) -> None:
        log._committed |= {(group, tp): offset for tp, offset in offsets.items()}

    monkeypatch.setattr(MemoryLog, "add_offsets", add_offsets)


def fences_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zombie's writes are accepted, in a transaction of its own."""
    monkeypatch.setattr(MemoryLog, "_refuse_older", lambda *_: None)


def writes_the_store_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local store is written before the transaction is committed."""
    commit = transactions.commit

    async def early(
        lane: Lane, outcome: Outcome, fetched: TolerantRecords, settings: Settings, steps: Steps
    ) -> None:
        for name, store in lane.stores.items():
            store.write(outcome.writes.get(name, {}).items(), store.position or 0)
        await commit(lane, outcome, fetched, settings, steps)

    monkeypatch.setattr(chunk_processor, "commit", early)


def skips_a_chunk_after_a_lost_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk with an unknown outcome is skipped."""
    monkeypatch.setattr(Assignment, "doubt", lambda *_: None)


def restores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is behind its changelog is used as it is."""

    async def restore(*_: object) -> int:
        return 0

    monkeypatch.setattr(recovery, "restore", restore)


def never_aborts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next worker commits the records that a dead worker has written."""

    def init(log: MemoryLog, transactional_id: str) -> int:
        log._epochs[transactional_id] = log._epochs.get(transactional_id, -1) + 1
        return log._epochs[transactional_id]

    monkeypatch.setattr(MemoryLog, "init", init)


def _changed(monkeypatch: pytest.MonkeyPatch, change: Callable[[Outcome], dict[str, Any]]) -> None:
    """Commit every outcome with some of its fields changed."""
    commit = transactions.commit

    async def changed(
        lane: Lane, outcome: Outcome, fetched: TolerantRecords, settings: Settings, steps: Steps
    ) -> None:
        outcome = msgspec.structs.replace(outcome, **change(outcome))
        await commit(lane, outcome, fetched, settings, steps)

    monkeypatch.setattr(chunk_processor, "commit", changed)


def _sales(outcome: Outcome, change: Callable[[Sends], Sends]) -> dict[str, Any]:
    sales = outcome.sends.get(catalogue.SALES_TOPIC, [])
    return {"sends": outcome.sends | {catalogue.SALES_TOPIC: change(sales)}} if sales else {}


def writes_an_entry_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal has an entry of each chunk twice."""
    _changed(monkeypatch, lambda outcome: _sales(outcome, lambda sales: [*sales, sales[0]]))


def loses_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal lacks an entry of each chunk."""
    _changed(monkeypatch, lambda outcome: _sales(outcome, lambda sales: sales[1:]))


def loses_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums of products are sent to no store and no changelog."""
    without: dict[str, dict[bytes, bytes | None]] = {catalogue.PRODUCT_TOTALS.name: {}}
    _changed(monkeypatch, lambda outcome: {"writes": outcome.writes | without})


def parks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused record has two dead letters."""
    _changed(monkeypatch, lambda outcome: {"parked": [*outcome.parked, *outcome.parked]})


def parks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused record has no dead letter."""
    _changed(monkeypatch, lambda _: {"parked": []})


def parks_without_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead letter lacks the headers of its record."""
    made = dead_letters.parked_headers
    monkeypatch.setattr(transactions, "parked_headers", lambda *of: made(*of)[len(POISON[2]) :])


MISTAKES: list[Callable[[pytest.MonkeyPatch], None]] = [
    reads_uncommitted,
    commits_offsets_at_once,
    fences_nobody,
    writes_the_store_first,
    skips_a_chunk_after_a_lost_answer,
    restores_nothing,
    never_aborts,
    writes_an_entry_twice,
    loses_an_entry,
    loses_rows,
    parks_twice,
    parks_nothing,
    parks_without_headers,
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_planted_mistake_is_found(
    mistake: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few seeds suffice.

    The run does not end, has an impossible sum, or differs.
    """
    mistake(monkeypatch)
    for seed in range(1, 25):
        try:
            driver, flow = driven(seed, tmp_path, Faults())
        except (AssertionError, virtual_time.Deadlock):
            return
        if differences(driver, flow):
            return
    pytest.fail("24 seeds, and nothing was found")
