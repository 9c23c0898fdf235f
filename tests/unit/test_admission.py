"""Readable events are applied in their key's partition, if not far ahead of the record's time."""

# ruff: noqa: ANN401 - any settings

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from structlog.testing import capture_logs

from schemas import envelope
from schemas.ahead import in_the_future
from schemas.envelope import ChatMessage, Received, Tick
from schemas.refusals import Reason, Refusal
from schemas.times import DAY_MS, parse_ms
from streams import admission
from streams.admission import of_events
from streams.batches import TolerantRecords
from streams.metrics import REGISTRY
from streams.partitioning import partition_of
from streams.settings import Settings
from tests.flow import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

PAID = {
    "type": "order_paid",
    "id": "e-1",
    "source": "/p",
    "occurred_at": "2026-07-01T08:00:00Z",
    "order_id": "o-1",
    "amount": 5,
}
MESSAGED = {
    "type": "buyer_messaged", "id": "m-1", "source": "/im", "occurred_at": "2026-07-01T08:00:00Z",
    "shop_id": "s-1", "buyer_id": "b-1", "message_id": "m-1",
}  # fmt: skip
AT_MS = parse_ms("2026-07-01T08:00:00Z")
PARTITIONS = 4


def settings(**more: Any) -> Settings:
    """Settings with four partitions."""
    return Settings(_env_file=None, partitions=PARTITIONS, **more)


def read(
    event: Mapping[str, Any], partition: int, written_ms: int | None = AT_MS, **more: Any
) -> object:
    """The reading of an event in the lane of the partition that it was written to."""
    chat = event["type"] == "buyer_messaged"
    record = Record(
        "chats" if chat else "orders",
        partition,
        7,
        cast("int", written_ms),
        *envelope.encode(event),
    )
    return to_lane(record, settings(**more))


def to_lane(record: Record, given: Settings) -> object:
    """The reading of a record in the lane of its partition."""
    return of_events(
        envelope.read_chat if record.topic == "chats" else envelope.read,
        record.topic,
        record.partition,
        given,
    )(record)


@pytest.mark.parametrize(("event", "key"), [(PAID, b"o-1"), (MESSAGED, b"s-1/b-1")])
@pytest.mark.parametrize("partitioner", ["murmur2", "crc32"])
def test_an_event_is_applied_in_the_partition_of_its_key_alone(
    event: dict[str, Any], key: bytes, partitioner: Any
) -> None:
    """Other partitions refuse it, by the configured partitioner.

    The detail has both partitions.
    """
    right = partition_of(key, PARTITIONS, partitioner)
    for partition in range(PARTITIONS):
        found = read(event, partition, partitioner=partitioner)
        if partition == right:
            assert isinstance(found, Received | ChatMessage)
        else:
            assert isinstance(found, Refusal)
            assert found.reason == Reason.WRONG_PARTITION
            assert (
                f"{key!a} belongs in partition {right} of 4 by {partitioner}, not in {partition}"
                in found.detail
            )


def test_the_two_partitioners_are_those_of_the_clients() -> None:
    """Java's default, and librdkafka's `consistent_random` (its rdcrc32.h is zlib's CRC-32)."""
    assert [partition_of(b"foobar", 5, "murmur2"), partition_of(b"foobar", 5, "crc32")] == [
        (-790332482 & 0x7FFFFFFF) % 5,
        0x9EF61F95 % 5,
    ]


def test_by_setting_it_is_applied_and_still_counted() -> None:
    """Each such event is counted, whether it is parked or applied."""

    def counted() -> float:
        return (
            REGISTRY.get_sample_value("netsold_wrong_partition_total", {"topic": "orders"}) or 0.0
        )

    before, wrong = counted(), (partition_of(b"o-1", PARTITIONS) + 1) % PARTITIONS
    assert isinstance(read(PAID, wrong, park_wrong_partition=False), Received)
    assert isinstance(read(PAID, wrong), Refusal)
    assert counted() == before + 2


def test_it_is_logged_at_intervals() -> None:
    """The line names lane, offset, key, both partitions, the remedy and the number of records."""
    right = partition_of(b"o-1", PARTITIONS)
    wrong = (right + 1) % PARTITIONS
    clock = [100.0]
    shop = settings(topic_prefix="shop.")
    reading = of_events(envelope.read, "orders", wrong, shop, lambda: clock[0])
    record = Record("shop.orders", wrong, 0, AT_MS, *envelope.encode(PAID))
    with capture_logs() as lines:
        for offset in range(5):
            reading(record._replace(offset=offset))
        clock[0] += admission.AGAIN_SECONDS + 1
        reading(record._replace(offset=5))
    assert [line["records"] for line in lines] == [1, 5]
    assert lines[0]["event"].startswith(
        f"shop.orders-{wrong}@0: key b'o-1' belongs in partition {right} of 4 by murmur2: "
        "it is parked;"
    )
    assert "docs/runbook.md, Wrong partition" in lines[0]["event"]


def test_ticks_belong_where_they_are() -> None:
    """Ticks are written by partition number, and may have any time."""
    value, headers = envelope.tick(AT_MS + 400 * DAY_MS)
    for partition in range(PARTITIONS):
        found = to_lane(Record("orders", partition, 0, AT_MS, None, value, headers), settings())
        assert isinstance(found, Tick)


def test_an_unreadable_record_keeps_its_reason() -> None:
    """A record without a key, or with the key of another order, keeps that reason.

    It does so in every partition.
    """
    key, value, headers = envelope.encode(PAID)
    for other, reason in ((None, Reason.MISSING_KEY), (b"o-2", Reason.KEY_MISMATCH)):
        for partition in range(PARTITIONS):
            found = to_lane(
                Record("orders", partition, 0, AT_MS, other, value, headers), settings()
            )
            assert isinstance(found, Refusal)
            assert found.reason == reason
    assert key == b"o-1"


@pytest.mark.parametrize(
    ("written_ms", "seconds", "refused"),
    [
        (AT_MS - DAY_MS, 86_400, False),
        (AT_MS - DAY_MS - 1, 86_400, True),
        (AT_MS + 100 * DAY_MS, 86_400, False),
        (AT_MS - 400 * DAY_MS, 0, False),
        (AT_MS - 11_000, 10, True),
        (-1, 86_400, False),
        (None, 86_400, False),
    ],
)
def test_an_event_far_ahead_of_its_record_is_refused(
    written_ms: int | None, seconds: int, *, refused: bool
) -> None:
    """The record's time decides, so a replay decides the same.

    Nothing is refused without a record's time, or if the setting is 0.
    """
    found = read(PAID, partition_of(b"o-1", PARTITIONS), written_ms, max_ahead_seconds=seconds)
    assert isinstance(found, Refusal) is refused
    if isinstance(found, Refusal):
        assert found == in_the_future(AT_MS, written_ms, seconds * 1000)
        assert found.reason == Reason.IN_THE_FUTURE
        assert "2026-07-01T08:00:00.000Z is more than" in found.detail


def test_records_of_batches_have_the_time_of_the_log() -> None:
    """A lane reads records of aiokafka's batches, in which each has its own time."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 10_000)  # noqa: FBT003 - aiokafka's are positional
    for offset, written_ms in enumerate((AT_MS - 400 * DAY_MS, AT_MS)):
        key, value, headers = envelope.encode(PAID)
        builder.append(offset, written_ms, key, value, headers)
    batch = TolerantRecords(bytes(builder.build())).next_batch()
    reading = of_events(envelope.read, "orders", partition_of(b"o-1", PARTITIONS), settings())
    assert [type(reading(record)) for record in batch] == [Refusal, Received]


def test_each_key_is_checked_whatever_preceded_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known keys aren't hashed again, and others are refused.

    This holds with more keys than are remembered.
    """
    monkeypatch.setattr(admission, "_REMEMBERED", 10)
    reading = of_events(envelope.read, "orders", 0, settings())
    keys = [f"o-{number}" for number in range(40)]
    records = [
        Record("orders", 0, at, AT_MS, *envelope.encode(PAID | {"order_id": key}))
        for at, key in enumerate(keys)
    ]
    wanted = [Received if partition_of(key.encode(), PARTITIONS) == 0 else Refusal for key in keys]
    for _ in range(3):
        assert [type(reading(record)) for record in records] == wanted
