"""Progress marks in the journals: with every row, and everywhere at intervals and at rest."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition

from operations.simulation.traffic import Plan, traffic
from schemas import envelope, journal, limits
from schemas.events import topic_of
from schemas.times import DAY_MS
from streams.settings import Settings
from tables import catalogue
from tests import virtual_time
from tests.driver import NONE, Driver, Faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = 300
PARTITIONS = 2 * limits.FEW_PARTITIONS
JOURNALS = (catalogue.SALES_TOPIC, catalogue.SHOP_ACTIVITY_TOPIC)


def driven(tmp_path: Path, marks_every_ms: int, faults: Faults = NONE) -> Driver:
    """Two workers that have applied simulated events, with these faults."""
    settings = Settings(
        _env_file=None,
        app="driven",
        partitions=PARTITIONS,
        data_dir=tmp_path,
        marks_every_ms=marks_every_ms,
    )
    driver = Driver(settings, 1, faults)
    plan = Plan(1, "m", 1_780_000_000_000, DAY_MS / 2, shops=3, products=5, buyers=7)

    def feed() -> Iterator[None]:
        for _, event in islice(traffic(plan), EVENTS):
            driver.write(topic_of(str(event["type"])), envelope.encode(event))
            yield

    virtual_time.run(driver.run(feed(), fault_s=4 if faults is not NONE else 0))
    return driver


def journals(driver: Driver) -> dict[TopicPartition, list[journal.Entry | journal.ProgressMark]]:
    """The rows and marks of each partition of the journals, in order."""
    found = {}
    for name in JOURNALS:
        for number in range(PARTITIONS):
            place = TopicPartition(driver.settings.topic(name), number)
            records, _ = driver.log.read(place, 0, 10**9)
            found[place] = [journal.decode(record.value or b"") for record in records]
    return found


def marks(driver: Driver) -> int:
    """How many marks the journals have."""
    rows = (row for some in journals(driver).values() for row in some)
    return sum(isinstance(row, journal.ProgressMark) for row in rows)


@pytest.mark.parametrize("faults", [NONE, Faults(kill_every_s=0.5)], ids=["calm", "kills"])
def test_at_rest_every_partition_has_the_progress_of_every_source(
    tmp_path: Path, faults: Faults
) -> None:
    """Also those that got no row: a reader's answer may wait for the progress there.

    A worker that dies before it has written its marks leaves that to the next owner.
    """
    driver = driven(tmp_path, 1000, faults)
    ends = {
        f"{source.topic}-{source.partition}": driver.log.high_watermark(source) - 1
        for source in driver.sources
        if source.topic in {driver.settings.topic(name) for name in catalogue.EVENT_TOPICS}
    }
    for place, rows in journals(driver).items():
        found = {
            f"{row.topic}-{row.partition}": row.offset
            for row in rows
            if isinstance(row, journal.ProgressMark)
        }
        wanted = {
            source: end
            for source, end in ends.items()
            if end >= 0 and (place.topic.endswith(JOURNALS[1]) or "orders" in source)
        }
        assert found == wanted, place


def test_every_row_has_its_mark_behind_it(tmp_path: Path) -> None:
    """Within the partition: a table that includes a row's mark includes the row."""
    driver = driven(tmp_path, marks_every_ms=5000)
    entries = 0
    for rows in journals(driver).values():
        for at, row in enumerate(rows):
            if isinstance(row, journal.Entry):
                entries += 1
                source, _, offset = row.id.partition("#")[0].rpartition("@")
                assert any(
                    isinstance(mark, journal.ProgressMark)
                    and f"{mark.topic}-{mark.partition}" == source
                    and mark.offset >= int(offset)
                    for mark in rows[at:]
                )
    assert entries > EVENTS / 10


def test_marks_go_everywhere_no_more_often_than_set(tmp_path: Path) -> None:
    """Rarer marks are fewer records, and the tables are the same."""
    often, rarely = driven(tmp_path / "often", 0), driven(tmp_path / "rarely", 1000)
    assert marks(rarely) < marks(often) / 2
    for table in catalogue.TABLES:
        assert rarely.table(table.name) == often.table(table.name)
