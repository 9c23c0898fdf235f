"""A broker on which transactions can be left hanging, and how a test leaves one there."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from operations.local.kafka import LocalKafka
from streams.brokers import leaders
from streams.settings import Settings

ALL_COPIES = -1
READY_S = 30.0


class UnverifyingKafka(LocalKafka):
    """A broker that appends to a transaction without a check at its coordinator (KIP-890)."""

    def further_settings(self, address: str, controller: str) -> dict[str, object]:  # noqa: ARG002 - one broker
        """The setting that differs."""
        return {"transaction.partition.verification.enable": "false"}


async def leave_hanging(
    settings: Settings, transactional_id: str, topic: str, partition: int, value: bytes
) -> int:
    """Write one record in a transaction that its coordinator does not know; its producer id.

    The producer begins, so the coordinator knows its id, but no partition is added to a
    transaction.
    """
    client = AIOKafkaClient(**settings.client_options())
    await client.bootstrap()
    try:
        (broker, *_) = [one.nodeId for one in client.cluster.brokers()]
        begun = await _begun(client, broker, transactional_id)
        batch = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=1,
            producer_id=begun.producer_id,
            producer_epoch=begun.producer_epoch,
            base_sequence=0,
            batch_size=10_000,
        )
        written_ms = time.time_ns() // 1_000_000 - 60_000
        batch.append(0, written_ms, b"k", value, [])
        leader = (await leaders(client, broker, [topic]))[topic, partition]
        request = ProduceRequest(
            transactional_id=transactional_id,
            required_acks=ALL_COPIES,
            timeout=5000,
            topics=[(topic, [(partition, bytes(batch.build()))])],
        )
        ((_, ((_, code, *_),)),) = (await client.send(leader, request)).topics
        assert code == 0, code
        return int(begun.producer_id)
    finally:
        await client.close()


async def _begun(client: AIOKafkaClient, broker: int, transactional_id: str) -> Any:  # noqa: ANN401 - the response in the schema's own form
    """A transactional id's new producer, once it has a coordinator that is ready."""
    deadline = time.monotonic() + READY_S
    coordinator = FindCoordinatorRequest(transactional_id, CoordinationType.TRANSACTION)
    while True:
        found = await client.send(broker, coordinator)
        if found.error_code == 0:
            begun = await client.send(
                found.coordinator_id, InitProducerIdRequest(transactional_id, 15_000)
            )
            if begun.error_code == 0:
                return begun
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)  # Kafka creates the topic of transactions at the first request
