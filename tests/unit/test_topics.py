"""The policy of each topic, and the differences on a cluster that are refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams import groups, topics
from streams.errors import KafkaUnreachable
from streams.metadata import request_any
from streams.settings import Kafka, Settings
from streams.topic_policy import Seen, Topic, TopicsUnfit, compare, not_parkable
from tables import catalogue

PARTITIONS = 4

FITS = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "max.message.bytes": "1048588",
}
COMPACTED = FITS | {
    "cleanup.policy": "compact",
    "retention.ms": "604800000",
    "delete.retention.ms": "86400000",
}
PARKED = FITS | {"retention.ms": str(30 * 86_400_000), "max.message.bytes": str(4 * 1024 * 1024)}


def _declared(name: str) -> Topic:
    return next(topic for topic in topics.declared(Settings(_env_file=None)) if topic.name == name)


def _faults(
    name: str, configs: dict[str, str], partitions: int = PARTITIONS
) -> list[tuple[str, str]]:
    found = compare(_declared(name), Seen("id", partitions, configs), PARTITIONS)
    return [(mismatch.aspect, mismatch.actual) for mismatch in found]


def test_every_declared_topic_is_named_once() -> None:
    """Public topics have the prefix, and changelogs the application's name.

    No name occurs twice.
    """
    settings = Settings(_env_file=None, app="a", topic_prefix="shop.")
    names = [topic.name for topic in topics.declared(settings)]
    assert len(names) == len(set(names)) == len(catalogue.PUBLIC_TOPICS) + len(catalogue.TABLES)
    assert {
        "shop.orders",
        "shop.chats",
        "shop.alerts",
        "shop.sales",
        "shop.shop-activity",
        "shop.dead-letters",
        "a-orders-changelog",
    } <= set(names)


def test_min_insync_replicas_is_that_of_the_settings() -> None:
    """All topics have the durability of the settings."""
    settings = Settings(_env_file=None, kafka=Kafka(min_insync_replicas=2, replication_factor=3))
    assert {topic.configs["min.insync.replicas"] for topic in topics.declared(settings)} == {"2"}


@pytest.mark.parametrize("name", ["orders", "sales", "shop-activity"])
def test_the_log_is_never_deleted_nor_compacted(name: str) -> None:
    """Topics of events and journals keep every record for ever."""
    assert _faults(name, FITS) == []
    assert _faults(name, FITS | {"cleanup.policy": "compact"}) == [("cleanup.policy", "compact")]
    assert _faults(name, FITS | {"cleanup.policy": "compact,delete"}) == [
        ("cleanup.policy", "compact,delete")
    ]
    assert _faults(name, FITS | {"retention.ms": "604800000"}) == [("retention.ms", "604800000")]
    assert _faults(name, FITS | {"retention.bytes": "1000000"}) == [("retention.bytes", "1000000")]


def test_a_changelog_is_only_compacted() -> None:
    """A changelog that also deletes by age would lose totals of all time (C4).

    Its retention then has no effect.
    """
    assert _faults("netsold-product_totals-changelog", COMPACTED) == []
    assert _faults(
        "netsold-product_totals-changelog", COMPACTED | {"cleanup.policy": "compact,delete"}
    ) == [("cleanup.policy", "compact,delete")]
    assert _faults("netsold-overdue-changelog", COMPACTED | {"delete.retention.ms": "1000"}) == [
        ("delete.retention.ms", "1000")
    ]


def test_dead_letters_stay_thirty_days_and_may_be_larger_than_other_records() -> None:
    """A longer retention and a larger bound are accepted.

    Shorter and smaller ones are not.
    """
    assert _faults("dead-letters", PARKED) == []
    assert (
        _faults("dead-letters", PARKED | {"retention.ms": "-1", "max.message.bytes": "9000000"})
        == []
    )
    assert _faults("dead-letters", PARKED | {"retention.ms": "604800000"}) == [
        ("retention.ms", "604800000")
    ]
    assert _faults("dead-letters", PARKED | {"max.message.bytes": "1048588"}) == [
        ("max.message.bytes", "1048588")
    ]


def test_a_source_may_not_accept_more_than_can_be_parked() -> None:
    """A refused record must fit into dead letters with its headers."""
    declared = topics.declared(Settings(_env_file=None))
    seen = {
        "orders": Seen("id", PARTITIONS, FITS),
        "dead-letters": Seen("id", PARTITIONS, PARKED),
    }
    assert not_parkable(declared, seen) == []
    seen["orders"] = Seen("id", PARTITIONS, FITS | {"max.message.bytes": "10485760"})
    (mismatch,) = not_parkable(declared, seen)
    assert str(mismatch) == (
        "topic orders has max.message.bytes 10485760 where netsold needs at most 4177920: "
        "run `kafka-configs.sh --alter --entity-type topics --entity-name dead-letters "
        "--add-config max.message.bytes=10502144`"
    )
    del seen["dead-letters"]
    assert not_parkable(declared, seen) == []


@pytest.mark.parametrize("partitions", [1, PARTITIONS - 1, PARTITIONS + 1])
def test_another_partition_count_is_refused(partitions: int) -> None:
    """More or fewer partitions separate a key from its state."""
    assert _faults("orders", FITS, partitions) == [("partitions", str(partitions))]


def test_a_mismatch_is_one_sentence_with_its_remedy() -> None:
    """It names the topic, the actual and the wanted value, and the command to run."""
    missing = compare(_declared("orders"), None, PARTITIONS)
    assert [str(mismatch) for mismatch in missing] == [
        "topic orders is missing: run `netsold topics create`"
    ]
    (finite,) = compare(
        _declared("orders"),
        Seen("id", PARTITIONS, FITS | {"retention.ms": "1000"}),
        PARTITIONS,
    )
    assert str(finite) == (
        "topic orders has retention.ms 1000 where netsold needs -1: "
        "run `kafka-configs.sh --alter --entity-type topics --entity-name orders "
        "--add-config retention.ms=-1`"
    )


def test_unfit_topics_are_named_together() -> None:
    """The exception has every mismatch, and its text all sentences."""
    mismatches = compare(
        _declared("orders"), Seen("id", 1, FITS | {"cleanup.policy": "compact"}), PARTITIONS
    )
    unfit = TopicsUnfit(mismatches)
    assert unfit.mismatches == tuple(mismatches)
    assert str(unfit).count("topic orders has ") == 2


class _Client:
    """A client of three brokers that the cluster lists; some of them are away."""

    def __init__(self, *there: int) -> None:
        self.cluster = self
        self.there = there

    def brokers(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(nodeId=number) for number in (1, 2, 3)]

    async def ready(self, node: int) -> bool:
        return node in self.there

    async def send(self, node: int, request: str) -> tuple[int, str]:
        assert node in self.there
        return node, request


async def test_a_broker_that_is_away_is_skipped() -> None:
    """Another broker answers while the cluster lists a dead one.

    If none answers, the error is one sentence.
    """
    assert await request_any(cast("Any", _Client(3)), "?") == (3, "?")
    assert await request_any(cast("Any", _Client(1, 2)), "?") == (1, "?")
    with pytest.raises(KafkaUnreachable):
        await request_any(cast("Any", _Client()), "?")


def test_no_advice_leads_from_state_to_another_partition_count() -> None:
    """The setting may follow the topics only before anything is counted."""
    seen = Seen("id", 6, FITS)
    (before,) = compare(_declared("orders"), seen, PARTITIONS)
    assert (
        before.remedy
        == "set NETSOLD_PARTITIONS=6, or use another NETSOLD_APP and NETSOLD_TOPIC_PREFIX"
    )
    (after,) = compare(_declared("orders"), seen, PARTITIONS, stateful=True)
    assert "set NETSOLD_PARTITIONS" not in str(after)
    assert "count a copy of the log" in after.remedy


def test_committed_offsets_record_what_the_state_was_made_with() -> None:
    """Partition count and terms are in the metadata of the offsets.

    Offsets that were set by hand have none.
    """
    settings = Settings(_env_file=None, partitions=PARTITIONS)
    offsets = {
        TopicPartition("orders", at): OffsetAndMetadata(7, text)
        for at, text in enumerate(
            ["", groups.layout(PARTITIONS, settings.terms.name), "partitions=?"]
        )
    }
    assert groups.other_count(settings, offsets) is None
    assert groups.other_terms(settings, offsets) is None
    offsets[TopicPartition("orders", 3)] = OffsetAndMetadata(7, groups.layout(6, "0badf00d"))
    assert groups.other_count(settings, offsets) == 6
    assert groups.other_terms(settings, offsets) == "0badf00d"
