"""Every story on real Kafka, through worker processes.

Stories with the same rules of service share an application: each has a prefix on its ids, and their
events are written in the order of their times. Event time ends after all of them. A story that ends
at a time of its own has its own partition, since event time is kept by partition.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

import pytest

from schemas import envelope
from schemas.events import topic_of
from schemas.times import parse_ms
from streams import log, topics
from streams.settings import Kafka, Settings
from tables import catalogue
from tables.service_hours import ServiceRules
from tests.faults.evidence import MARK, Evidence, last_values
from tests.faults.runner import Run
from tests.flow import Flow
from tests.stories.outcomes import differences
from tests.story import Story, stories

if TYPE_CHECKING:
    from pathlib import Path

    from operations.local.kafka import LocalKafka

pytestmark = pytest.mark.kafka

WITHIN_S = 60.0
END_MS = parse_ms("2030-01-01T00:00:00Z")
"""After all stories."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A story in the log of an application: the prefix of its ids, and its partition."""

    story: Story
    prefix: str
    partition: int


@dataclass(slots=True)
class Application:
    """The stories of one application, and what it leaves."""

    placed: list[Placed]
    tables: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    alerts: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def partitions(self) -> int:
        """Of each topic."""
        return max(place.partition for place in self.placed) + 1

    def end_ms(self, partition: int) -> int:
        """Where event time ends in a partition."""
        if partition == 0:
            return END_MS
        (as_of,) = [place.story.as_of for place in self.placed if place.partition == partition]
        return parse_ms(as_of)


def ends_at_its_own_time(story: Story) -> bool:
    """Whether its tables would change if event time went on."""
    flow = Flow(rules=story.rules).take(story.events).tick(END_MS)
    return bool(differences(story, flow.tables))


def application(of: list[Story]) -> Application:
    """Most stories in partition 0, the others in one of their own."""
    placed, last = [], 0
    for number, story in enumerate(of):
        own = ends_at_its_own_time(story)
        last += own
        placed.append(Placed(story, f"{number}.", last if own else 0))
    return Application(placed)


def configured(rules: ServiceRules, partitions: int, directory: Path, bootstrap: str) -> Settings:
    """Settings of an application that no other test has."""
    app = f"stories-{uuid.uuid4().hex[:10]}"
    return Settings(
        _env_file=None,
        app=app,
        topic_prefix=f"{app}.",
        partitions=partitions,
        data_dir=directory,
        kafka=Kafka(bootstrap_servers=bootstrap),
        reply_within_seconds=rules.reply_within_ms // 1000,
        service_hours=rules.hours,
        service_zone=rules.zone,
        count_inquiries_per=rules.count_per,
    )


async def write(settings: Settings, one: Application) -> None:
    """Write all events in the order of their times, and then time ticks to every partition."""
    events = [
        (parse_ms(event["occurred_at"]), event, place.partition)
        for place in one.placed
        for event in place.story.prefixed(place.prefix)
    ]
    async with log.Writer(settings) as writer:
        for _, event, partition in sorted(events, key=itemgetter(0)):
            topic = settings.topic(topic_of(event["type"]))
            await writer.send(topic, *envelope.encode(event), partition)
        for source in (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC):
            for partition in range(settings.partitions):
                value, headers = envelope.tick(one.end_ms(partition))
                await writer.send(settings.topic(source), None, value, headers, partition)


def keep(application: Application, evidence: Evidence) -> None:
    """Keep the tables by their changelogs, and the alerts; no record may be parked."""
    for table in catalogue.TABLES:
        rows: dict[bytes, bytes] = {}
        for (name, _), records in evidence.changelogs.items():
            if name == table.name:
                rows |= last_values(records)
        rows.pop(MARK, None)
        application.tables[table.name] = rows
    for (topic, _), records in evidence.logs.items():
        assert topic != topics.DEAD_LETTERS or not records
        if topic == catalogue.ALERTS_TOPIC:
            alerts = [json.loads(record.value) for record in records]
            application.alerts += [
                (alert["type"], alert["shop_id"], alert["buyer_id"]) for alert in alerts
            ]


async def apply(one: Application, settings: Settings) -> None:
    """Write the stories of an application, and let a worker apply them."""
    environment = {
        "REPLY_WITHIN_SECONDS": str(settings.reply_within_seconds),
        "SERVICE_HOURS": settings.service_hours,
        "SERVICE_ZONE": settings.service_zone,
        "COUNT_INQUIRIES_PER": settings.count_inquiries_per,
    }
    with Run(settings, settings.data_dir, **environment) as run:
        await topics.create(settings)
        await write(settings, one)
        run.workers.start("a")
        await run.caught_up(WITHIN_S, restart=False)
        keep(one, await run.evidence())


@pytest.fixture(scope="module")
async def applications(
    kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Application, Placed]]:
    """By title, each story with its application, which has applied everything."""
    by_rules: dict[ServiceRules, list[Story]] = {}
    for story in stories():
        by_rules.setdefault(story.rules, []).append(story)
    bootstrap = str(kafka.status().bootstrap)
    found = {}
    for rules, some in by_rules.items():
        one = application(some)
        directory = tmp_path_factory.mktemp("stories")
        await apply(one, configured(rules, one.partitions, directory, bootstrap))
        found |= {place.story.title: (one, place) for place in one.placed}
    return found


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.title)
async def test_story(applications: dict[str, tuple[Application, Placed]], story: Story) -> None:
    """The changelogs end as the story has the tables, and the alerts are those of the story."""
    one, place = applications[story.title]
    found = differences(story, one.tables, place.prefix)
    assert not found, "\n".join(found)
    alerts = [
        (name, shop_id.removeprefix(place.prefix), buyer_id.removeprefix(place.prefix))
        for name, shop_id, buyer_id in one.alerts
        if shop_id.startswith(place.prefix)
    ]
    assert sorted(alerts) == sorted(story.alerts)
