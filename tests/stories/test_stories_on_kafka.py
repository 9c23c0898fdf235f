"""Every story on real Kafka, through worker processes.

Stories with the same rules of service and the same end of event time share an application. Each has
a prefix on its ids, and their events are written in the order of their times.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from operations.stories.outcomes import differences
from schemas import envelope
from schemas.events import topic_of
from schemas.times import parse_ms
from streams import topics
from streams.log_writer import Writer
from streams.rules import built_in
from streams.settings import Kafka, Settings
from tables import catalogue
from tables.service_hours import ServiceRules
from tables.terms import Terms
from tests.applications import new_application
from tests.faults.evidence import MARK, Evidence, last_values
from tests.faults.runner import Run
from tests.flow import Flow
from tests.story import Story, prefixed, stories
from tests.terms import changed, rules_file

if TYPE_CHECKING:
    from pathlib import Path

    from operations.local.kafka import LocalKafka

pytestmark = pytest.mark.kafka

WITHIN_S = 60.0
END_MS = parse_ms("2030-01-01T00:00:00Z")
"""An instant after all stories."""


@dataclass(slots=True)
class Application:
    """Stories with the same rules and end of event time, and the state of their application."""

    rules: ServiceRules
    end_ms: int
    prefixes: dict[str, str] = field(default_factory=dict)
    """The prefix of a story's ids, by title."""

    stories: list[Story] = field(default_factory=list)
    tables: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    alerts: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, story: Story) -> None:
        """Let a story share the application."""
        self.prefixes[story.title] = f"{len(self.stories)}."
        self.stories.append(story)


def end_ms(story: Story) -> int:
    """The end of event time: the story's own end if its tables change after it."""
    flow = Flow(rules=story.rules).take(story.events).tick(END_MS)
    return parse_ms(story.as_of) if differences(story, flow.terms, flow.tables) else END_MS


def configured(rules: ServiceRules, directory: Path, bootstrap: str) -> Settings:
    """Settings of an application that no other test uses."""
    return new_application(
        directory,
        kafka=Kafka(bootstrap_servers=bootstrap),
        rules=changed(
            built_in(),
            reply_within_seconds=rules.reply_within_ms // 1000,
            service_hours=rules.hours,
            service_zone=rules.zone,
            count_inquiries_per=rules.count_per,
        ),
    )


async def write(settings: Settings, one: Application) -> None:
    """Write all events in the order of their times, and then time ticks to every partition."""
    events = [
        event for story in one.stories for event in prefixed(story, one.prefixes[story.title])
    ]
    value, headers = envelope.tick(one.end_ms)
    async with Writer(settings) as writer:
        for event in sorted(events, key=lambda event: parse_ms(event["occurred_at"])):
            await writer.send(settings.topic(topic_of(event["type"])), *envelope.encode(event))
        for source in (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC):
            for partition in range(settings.partitions):
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
        assert topic != catalogue.DEAD_LETTERS_TOPIC or not records
        if topic == catalogue.ALERTS_TOPIC:
            alerts = [json.loads(record.value) for record in records]
            application.alerts += [
                (alert["type"], alert["shop_id"], alert["buyer_id"]) for alert in alerts
            ]


async def apply(one: Application, directory: Path, bootstrap: str) -> None:
    """Write the stories of an application, and let a worker apply them."""
    settings = configured(one.rules, directory, bootstrap)
    rules = rules_file(directory / "rules.toml", settings.rules)
    with Run(settings, directory, RULES=str(rules)) as run:
        await topics.create(settings)
        await write(settings, one)
        run.workers.start("a")
        await run.caught_up(WITHIN_S, restart=False)
        keep(one, await run.evidence())


@pytest.fixture(scope="module")
async def applications(
    kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Application]:
    """Each story's application, by title, after everything is applied. All run at once."""
    found: dict[tuple[ServiceRules, int], Application] = {}
    for story in stories():
        key = (story.rules, end_ms(story))
        found.setdefault(key, Application(*key)).add(story)
    bootstrap = str(kafka.status().bootstrap)
    await asyncio.gather(
        *(apply(one, tmp_path_factory.mktemp("stories"), bootstrap) for one in found.values())
    )
    return {story.title: one for one in found.values() for story in one.stories}


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.title)
async def test_story(applications: dict[str, Application], story: Story) -> None:
    """The changelogs end with the story's tables, and the alerts are the story's."""
    one = applications[story.title]
    prefix = one.prefixes[story.title]
    found = differences(story, Terms(service=one.rules), one.tables, prefix)
    assert not found, "\n".join(found)
    alerts = [
        (name, shop_id.removeprefix(prefix), buyer_id.removeprefix(prefix))
        for name, shop_id, buyer_id in one.alerts
        if shop_id.startswith(prefix)
    ]
    assert sorted(alerts) == sorted(story.alerts)
