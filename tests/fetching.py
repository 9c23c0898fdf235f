"""Fetches as aiokafka makes them: batches in bytes, and a fetcher without a connection."""

from __future__ import annotations

import struct
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.batches import TolerantRecords

SALES = TopicPartition("sales", 0)
_CONTROL = 0x20
_COMMIT = struct.pack(">hh", 0, 1)


def batch(first: int, *values: bytes, attributes: int = 0) -> bytes:
    """Records from an offset on, as a broker returns them."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1_000_000)
    for number, value in enumerate(values):
        builder.append(number, 1_783_000_000_000, _COMMIT if attributes else b"key", value, [])
    made = bytearray(builder.build())
    made[:8] = struct.pack(">q", first)
    made[21:23] = struct.pack(">h", attributes)
    return bytes(made)


def marker(at: int) -> bytes:
    """The control record at the end of a transaction, which is never delivered."""
    return batch(at, bytes(6), attributes=_CONTROL)


class Fetches:
    """aiokafka's fetcher with one assigned partition at position 0; tests put fetches into it."""

    def __init__(self) -> None:
        self.subscriptions = SubscriptionState()
        self.subscriptions.subscribe({SALES.topic})
        self.reassign()
        self.state.seek(0)
        self.fetcher = Fetcher(AIOKafkaClient(), self.subscriptions)
        self.fetcher._fetch_task.cancel()

    @property
    def assignment(self) -> Any:  # noqa: ANN401 - aiokafka's is untyped
        """The current assignment."""
        return self.subscriptions.subscription.assignment

    @property
    def state(self) -> Any:  # noqa: ANN401 - as above
        """The consumer's position in the partition."""
        return self.assignment.state_value(SALES)

    def reassign(self) -> None:
        """End a rebalance by which the same partition is assigned."""
        self.subscriptions.assign_from_subscribed({SALES})

    def fetch(self, *batches: bytes) -> None:
        """Answer a fetch from the consumer's position."""
        records = TolerantRecords(b"".join(batches))
        fetched = PartitionRecords(
            SALES,
            records,
            [],
            self.state.position,
            None,
            None,
            check_crcs=False,
            isolation_level=READ_COMMITTED,
        )
        self.put(
            FetchResult(SALES, assignment=self.assignment, partition_records=fetched, backoff=0)
        )

    def put(self, fetch: Any) -> None:  # noqa: ANN401 - a result or an error
        """Set the answer of a fetch."""
        self.fetcher._records[SALES] = fetch
