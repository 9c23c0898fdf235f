"""Every story through whole workers over the log in memory, which a seed disturbs.

Kills, frozen workers, lost requests, lost answers and rebalances. `SEEDS="7 8"` repeats some.
"""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from operations.stories.outcomes import differences
from schemas import envelope
from schemas.events import topic_of
from schemas.times import parse_ms
from streams.settings import Settings
from tables import catalogue
from tables.terms import Terms
from tests import driver as driver_module
from tests import virtual_time
from tests.driver import Driver, Faults, tick
from tests.story import Story, stories

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEEDS = [int(seed) for seed in os.environ.get("SEEDS", "1 2").split()]
FAULTS = Faults(kill_every_s=0.5, freeze_every_s=0.7, rebalance_every_s=0.6)
FAULTS_S = 1.0
"""Virtual seconds with faults: a story is short, so they are frequent."""


def feed(driver: Driver, story: Story, seed: int) -> Iterator[None]:
    """Write the events in an order given by the seed; the first seed keeps the story's order.

    With all other seeds, some events arrive twice.
    """
    arrival = list(story.events)
    if seed != SEEDS[0]:
        chance = random.Random(seed)
        arrival += chance.sample(arrival, chance.randint(0, len(arrival)))
        chance.shuffle(arrival)
    for event in arrival:
        driver.write(topic_of(event["type"]), envelope.encode(event))
        yield
    if story.as_of:
        for topic in (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC):
            for partition in range(driver.settings.partitions):
                driver.write(topic, tick(parse_ms(story.as_of)), partition)
    yield


def driven_by(story: Story, seed: int, directory: Path) -> Driver:
    """A run that has ended, with everything applied."""
    settings = Settings(_env_file=None, app="story", partitions=2, data_dir=directory)
    driver = Driver(settings, seed, FAULTS)
    with capture_logs():
        virtual_time.run(driver.run(feed(driver, story, seed), FAULTS_S))
    return driver


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.title)
def test_story(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The changelogs end with the story's tables, whatever happens to the workers (I1)."""
    terms = Terms(service=story.rules)
    monkeypatch.setattr(driver_module, "TERMS", terms)
    monkeypatch.setattr(Settings, "terms", terms)
    states = None
    for seed in SEEDS:
        driver = driven_by(story, seed, tmp_path)
        tables = {table.name: driver.table(table.name) for table in catalogue.TABLES}
        found = differences(story, terms, tables)
        assert not found, "\n".join([f"seed {seed}", *found])
        if seed == SEEDS[0]:
            assert alerts(driver) == sorted(story.alerts)
        states = states or tables[catalogue.ORDERS.name]
        assert tables[catalogue.ORDERS.name] == states  # equal facts are equal bytes


def alerts(driver: Driver) -> list[tuple[str, str, str]]:
    """The committed alerts; alerts of different conversations have no order."""
    records = driver.committed(driver.settings.topic(catalogue.ALERTS_TOPIC))
    return sorted(
        (alert["type"], alert["shop_id"], alert["buyer_id"])
        for alert in (json.loads(record.value or b"") for record in records)
    )


def test_workers_are_disturbed(tmp_path: Path) -> None:
    """Of ten seeds, some kill a worker, and some fence one.

    Otherwise the runs above would show little.
    """
    story = stories()[1]
    ends = [end for seed in range(10) for end in driven_by(story, seed, tmp_path).ends]
    assert len(ends) > 5
    assert len(set(ends)) > 1
