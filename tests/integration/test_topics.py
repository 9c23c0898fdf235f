"""Topics on a real broker: created once, checked, refused, and identified by their ids."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams import topics
from streams.errors import KafkaUnreachable
from streams.settings import Kafka, Settings
from streams.topic_policy import TopicsUnfit
from tables import catalogue

if TYPE_CHECKING:
    from operations.local.kafka import LocalKafka


async def test_what_is_created_fits(settings: Settings) -> None:
    """At first all topics are missing; then they are created once, with their policies."""
    assert {mismatch.aspect for mismatch in await topics.check(settings)} == {"missing"}
    with pytest.raises(TopicsUnfit, match="run `netsold topics create`"):
        await topics.require(settings)
    created = await topics.create(settings)
    assert sorted(created) == sorted(topic.name for topic in topics.declared(settings))
    assert await topics.check(settings) == []
    await topics.require(settings)
    assert await topics.create(settings) == []


async def test_a_topic_that_someone_else_made_is_refused(settings: Settings) -> None:
    """It is refused and not changed.

    The source topic has a finite retention and another partition count.
    """
    name = settings.topic(catalogue.ORDERS_TOPIC)
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        await admin.create_topics(
            [
                NewTopic(
                    name,
                    3,
                    1,
                    topic_configs={"retention.ms": "604800000", "cleanup.policy": "compact,delete"},
                )
            ]
        )
    finally:
        await admin.close()
    assert name not in await topics.create(settings)
    assert [
        (mismatch.topic, mismatch.aspect, mismatch.actual)
        for mismatch in await topics.check(settings)
    ] == [
        (name, "partitions", "3"),
        (name, "cleanup.policy", "compact,delete"),
        (name, "retention.ms", "604800000"),
    ]


async def test_a_topic_created_again_has_another_id(settings: Settings) -> None:
    """The id shows that marks were made from an earlier topic."""
    await topics.create(settings)
    before = await topics.topic_ids(settings)
    assert await topics.topic_ids(settings) == before
    name = settings.topic(catalogue.ORDERS_TOPIC)
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        await admin.delete_topics([name])
    finally:
        await admin.close()
    async with asyncio.timeout(10):
        while (made := await topics.create(settings)) != [
            name
        ]:  # brokers may know a deleted topic for a while
            assert made == []
    after = await topics.topic_ids(settings)
    assert {topic for topic in before if before[topic] != after[topic]} == {name}


async def test_the_cluster_is_known_by_its_id(kafka: LocalKafka, settings: Settings) -> None:
    """The cluster's id is the one that its storage was formatted with."""
    assert await topics.cluster_id(settings) == kafka.status().cluster_id


async def test_an_unreachable_cluster_is_named_by_its_address() -> None:
    """The error names the address that does not answer."""
    nobody = Settings(_env_file=None, kafka=Kafka(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(KafkaUnreachable, match=r"no Kafka answers at 127\.0\.0\.1:1"):
        await topics.check(nobody)
