"""What a transaction of the order stage costs a worker: CPU, requests and partitions.

`python -m bench.transactions`.

Chunks of simulated events are folded by the stage and committed by `streams/transactions.py`, to a
broker in this process that answers at once. So the figures are the worker's CPU alone: batches,
compression, requests and their encoding. The partitions are those that a broker would append to,
and to which it would write a marker at the end.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, TxnOffsetCommitRequest

from bench.stages import traffic
from streams.batches import TolerantRecords
from streams.lanes import Lane
from streams.producers import StrictProducer
from streams.settings import Kafka, Settings
from streams.stores import Identity, PartitionStore, StateView
from streams.traced import Steps
from streams.transactions import commit
from tables.catalogue import ORDER_STAGE
from tables.order_stage import OrderStage
from tables.terms import Terms
from tables.watermarks import Progress
from tests.flow import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.flow import Record

PARTITIONS: Final = (4, 16, 64)
CHUNKS: Final = (1, 20, 200)
TRANSACTIONS: Final = 40
EVERY_S: Final = 0.1
"""Between the begins of two transactions; CPU is counted within them alone."""

DAY_MS: Final = 86_400_000
VERSIONS: Final = {0: (0, 7), 24: (0, 0), 25: (0, 0), 26: (0, 0), 28: (0, 0)}
"""Of the requests of a transaction, as aiokafka speaks them."""


class Broker:
    """Answers a producer's requests at once, after they are encoded; it keeps nothing."""

    def __init__(self, count: int) -> None:
        self.cluster = SimpleNamespace(
            leader_for_partition=lambda _: 0, partitions_for_topic=lambda _: set(range(count))
        )
        self.requests: Counter[str] = Counter()
        self.partitions = 0

    async def _wait_on_metadata(self, topic: str) -> set[int]:
        return self.cluster.partitions_for_topic(topic)  # type: ignore[no-any-return]  # a namespace is untyped

    async def coordinator_lookup(self, *_: object) -> int:
        """The only broker."""
        return 0

    async def ready(self, *_: object, **__: object) -> bool:
        """It is."""
        return True

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, _: int, request: Any, group: object = None) -> Any:  # noqa: ANN401, ARG002 - aiokafka's signature
        """The answer without errors."""
        request.prepare(VERSIONS).encode()
        self.requests[type(request).__name__] += 1
        await asyncio.sleep(0)
        if isinstance(request, ProduceRequest):
            topics = [
                (topic, [(partition, 0, 0, -1, 0) for partition, _ in some])
                for topic, some in request._topics  # noqa: SLF001 - a request has no public parts
            ]
            return SimpleNamespace(API_VERSION=5, topics=topics)
        if isinstance(request, AddPartitionsToTxnRequest):
            errors = [(topic, [(one, 0) for one in some]) for topic, some in request._topics]  # noqa: SLF001 - as above
            self.partitions += sum(len(some) for _, some in errors)
            return SimpleNamespace(errors=errors)
        if isinstance(request, TxnOffsetCommitRequest):
            errors = [(topic, [(one[0], 0) for one in some]) for topic, some in request._topics]  # noqa: SLF001 - as above
            return SimpleNamespace(errors=errors)
        return SimpleNamespace(error_code=0)


async def connected(settings: Settings, broker: Broker) -> StrictProducer:
    """A producer whose transactions go to this broker."""
    producer = StrictProducer(settings, "bench")
    producer.client = broker
    producer._metadata = broker.cluster  # noqa: SLF001 - no public way
    producer._sender.client = broker  # noqa: SLF001 - as above
    producer._message_accumulator._cluster = broker.cluster  # noqa: SLF001 - as above
    producer._txn_manager.set_pid_and_epoch(1, 0)  # noqa: SLF001 - as above
    await producer._sender.start()  # noqa: SLF001 - as above
    return producer


async def measure(count: int, chunk: int, records: Sequence[Record], directory: Path) -> str:
    """One line of figures."""
    kafka = Kafka(bootstrap_servers="127.0.0.1:1")
    settings = Settings(
        _env_file=None, app="bench", partitions=count, data_dir=directory, kafka=kafka
    )
    broker, stage = Broker(count), OrderStage(Terms(), 1000)
    stores = {
        table.name: PartitionStore(
            directory / table.name, Identity("bench", "bench", table.name, 0, count)
        )
        for table in ORDER_STAGE.tables
    }
    producer = await connected(settings, broker)
    lane = Lane(
        stage, "orders", "id", 0, producer, stores, Progress(), 0,
        partitions=count, partitioner="murmur2",
    )  # fmt: skip
    took_s = 0.0
    for begin in range(0, TRANSACTIONS * chunk, chunk):
        views = {name: StateView(store, {}) for name, store in stores.items()}
        readings = reading(stage, records[begin : begin + chunk])
        outcome = stage.fold("orders-0", readings, views, lane.progress)
        await asyncio.sleep(EVERY_S)
        began_s = time.thread_time()
        await commit(lane, outcome, TolerantRecords(b""), settings, Steps())
        took_s += time.thread_time() - began_s
    await producer.abandon()
    for store in stores.values():
        store.close()
    requests = sum(broker.requests.values()) / TRANSACTIONS
    return (
        f"{count:10} {chunk:6} {took_s / TRANSACTIONS * 1e3:12.2f}"
        f" {broker.partitions / TRANSACTIONS:11.1f} {requests:9.1f}"
    )


def main() -> None:
    """Measure and print."""
    records = traffic(bare=False)
    later = records[len(records) // 2 :]  # when orders are received, and counted
    print(
        f"{'partitions':>10} {'events':>6} {'CPU ms each':>12} {'written to':>11} {'requests':>9}"
    )
    for count in PARTITIONS:
        for chunk in CHUNKS:
            with tempfile.TemporaryDirectory() as name:
                print(asyncio.run(measure(count, chunk, later, Path(name))), flush=True)


if __name__ == "__main__":
    main()
