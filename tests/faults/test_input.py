from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from operations.simulation.faults import POISONS, Faults, Poison
from schemas.envelope import encode
from schemas.events import ORDER_TYPES
from schemas.times import DAY_MS
from streams.partitioning import partition_of
from tests.faults.evidence import committed
from tests.faults.runner import Run, made, note

if TYPE_CHECKING:
    from pathlib import Path

    from operations.simulation.market import Event
    from streams.settings import Settings

pytestmark = pytest.mark.faults


async def test_duplicates_disorder_lateness_conflicts_and_poison(
    settings: Settings, tmp_path: Path
) -> None:
    """The tables equal the recount, and each poison record is parked once.

    All faults occur together, and a worker is killed in between.
    """
    wrong = Faults(duplicates=0.2, out_of_order=0.5, late=40 * DAY_MS, poison=0.05, conflicts=0.02)
    with Run(settings, tmp_path) as run:
        await run.write(made(61, 8000, wrong))
        assert len(run.poison) > 200
        run.workers.start("a")
        run.workers.start("b")
        assert await run.kill_at_random(Random("input"), 2) >= 1
        await run.verdict()


@pytest.mark.long
async def test_every_kind_of_poison_is_parked(settings: Settings, tmp_path: Path) -> None:
    """It is first, last and alone in a chunk; the good events in between count."""
    rng = Random(62)
    items = made(62, 400)
    poisons = [make(rng, event) for make in POISONS for event in _events(items)[:5]]
    mixed = [
        *poisons[:10],
        *(what for pair in zip(poisons[10:60], _events(items), strict=False) for what in pair),
        *items[50:],
        *poisons[60:],
    ]
    with Run(settings, tmp_path, CHUNK_RECORDS="7") as run:
        await run.write(mixed)
        run.workers.start("a")
        await run.verdict()


def _events(items: list[Event | Poison]) -> list[Event]:
    return [item for item in items if not isinstance(item, Poison)]


class _Latin(str):
    """A header's name as a client without UTF-8 writes it."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return super().encode("latin-1")


async def test_a_header_whose_name_is_not_utf_8_stops_no_worker(
    settings: Settings, tmp_path: Path
) -> None:
    """An event with such a header counts.

    A record that is no event is parked with the header.
    """
    good, *others = (event for event in _events(made(64, 60)) if event["type"] in ORDER_TYPES)
    bad = Poison(b"o-1", b"not json")
    with Run(settings, tmp_path) as run:
        await run.write(list(others))
        async with AIOKafkaProducer(**settings.client_options()) as producer:
            for key, value, headers in (encode(good), (bad.key, bad.value, [])):
                batch = producer.create_batch()
                batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 100_000)
                batch.append(
                    timestamp=None, key=key, value=value, headers=[*headers, (_Latin("café"), b"x")]
                )
                await (
                    await producer.send_batch(
                        batch, settings.topic("orders"), partition=partition_of(key or b"", 2)
                    )
                )
        run.events.append(good)
        run.poison.append((bad.key, bad.value))
        run.workers.start("a")
        await run.verdict()


async def test_many_refusals_are_parked_in_few_batches(settings: Settings, tmp_path: Path) -> None:
    """Thousands of dead letters fit into one transaction.

    Sent one by one, each would need a request.
    """
    items: list[Event | Poison] = []
    for number, event in enumerate(_events(made(65, 4000))):
        items += [event, Poison(b"bad", b"not json %d" % number)]
    with Run(settings, tmp_path, TRANSACTION_TIMEOUT_MS="3000") as run:
        await run.write(items)
        run.workers.start("a")
        await run.verdict()


async def test_too_many_refusals_in_a_row_pause_their_partition_alone(
    settings: Settings, tmp_path: Path
) -> None:
    """Twenty in a row pause a partition; each restart lets it read twenty more.

    The other partition continues.
    """
    settings = settings.model_copy(update={"refusals_in_a_row": 20})
    items: list[Event | Poison] = [
        item for item in _events(made(63, 2000)) if item["type"] in ORDER_TYPES
    ]
    bad = [Poison(b"bad", b"not json %d" % number) for number in range(50)]
    with Run(settings, tmp_path) as run:
        await run.write(items[:500])
        await run.write(list(bad), partition=0)
        await run.write(items[500:])
        good = [
            event for event in _events(items) if partition_of(event["order_id"].encode(), 2) == 0
        ]
        before = [
            event
            for event in _events(items[:500])
            if partition_of(event["order_id"].encode(), 2) == 0
        ]
        other = len(items) - len(good)
        worker = run.workers.start("a")
        sentences: list[str] = []
        for lot, at in enumerate((len(before) + 20, len(before) + 40, len(good) + 50)):

            async def is_paused(at: int = at) -> bool:
                offsets = await committed(settings)
                return (offsets["orders", 0], offsets["orders", 1]) == (at, other)

            await run.until(is_paused, 30.0, restart=False)
            note(f"lot {lot}: orders-0 is paused at {at}")
            sentences = [line["event"] for line in worker.lines() if "is paused" in line["event"]]
            assert len(sentences) == min(lot + 1, 2), sentences
            if lot < 2:
                run.workers.stop()
                run.workers.start("a")
        name = settings.topic("orders")
        assert sentences[0].startswith(f"{name}-0 is paused: 20 records in a row could not be read")
        assert "restart the worker (docs/runbook.md" in sentences[0]
        assert settings.topic("dead-letters") in sentences[0]
        await run.verdict()
