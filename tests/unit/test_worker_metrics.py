"""What a worker counts and shows: once a chunk, by type, and of its open lanes alone."""

from __future__ import annotations

import math
import time
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from schemas.refusals import Reason, Refusal
from streams import metrics, process_metrics
from streams.build import this_build
from streams.stores import Identity, PartitionStore
from tables.outcome import EventCounts, Outcome
from tables.watermarks import Progress

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


class Fetched:
    """The records of a chunk, as `TolerantRecords` has them, by their headers and values."""

    def __init__(self, *records: tuple[dict[str, bytes], bytes | None]) -> None:
        self._records = records

    def at(self, offsets: Collection[int]) -> dict[int, Any]:
        """The records of these offsets."""
        return {
            at: SimpleNamespace(headers=[*headers.items()], value=value)
            for at, (headers, value) in enumerate(self._records)
            if at in offsets
        }


def outcome(**fields: Any) -> Outcome:  # noqa: ANN401 - fields of an outcome
    """An outcome that changes nothing."""
    empty: Any = {"writes": {}, "sends": {}, "parked": [], "progress": Progress(0), "counts": {}}
    return Outcome(**{**empty, "records_covered": 0, "paused": False, **fields})


def value(name: str, **labels: str) -> float:
    """A sample of a worker's metrics."""
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_events_are_counted_by_type() -> None:
    """Applied, known and late ones by their own type, refused ones by what they name."""
    seen = [
        ("netsold_events_total", {"type": "order_paid", "outcome": "applied"}, 3),
        ("netsold_events_total", {"type": "order_paid", "outcome": "refused"}, 2),
        ("netsold_events_total", {"type": "unknown", "outcome": "refused"}, 6),
        ("netsold_duplicates_total", {"type": "order_paid"}, 2),
        ("netsold_late_events_total", {"type": "receipt_confirmed"}, 1),
    ]
    before = [value(name, **labels) for name, labels, _ in seen]
    events = EventCounts(Counter(order_paid=3), Counter(order_paid=2), Counter(receipt_confirmed=1))
    bare: dict[str, bytes] = {}
    fetched: Any = Fetched(
        ({"ce_type": b"order_paid"}, b"{"),
        (bare, b'{"type": "order_paid", "amount": -1}'),
        (bare, b'{"type": "nothing of ours"}'),
        (bare, b'{"type": 1}'),
        (bare, b'{"type": "\xff"}'),
        (bare, None),
        (bare, b'{"a":' + b"[" * 100_000),
        ({"ce_type": b"\xff"}, b'{"type": "order_paid"}'),
    )
    parked = [(at, Refusal(Reason.NOT_JSON, "")) for at in range(8)]
    metrics.count_events(outcome(events=events, parked=parked), fetched)
    after = [value(name, **labels) for name, labels, _ in seen]
    assert [new - old for new, old in zip(after, before, strict=True)] == [n for *_, n in seen]


def test_what_a_stage_made_is_counted() -> None:
    """Entries by stage, restatements by direction, and records that add nothing by kind."""
    seen = [
        ("netsold_entries_total", {"stage": "order"}, 5),
        ("netsold_restatements_total", {"direction": "up"}, 1),
        ("netsold_restatements_total", {"direction": "down"}, 2),
        ("netsold_other_records_total", {"stage": "order", "kind": "ticks"}, 4),
        ("netsold_journal_records_total", {"stage": "product", "outcome": "added"}, 7),
        ("netsold_journal_records_total", {"stage": "product", "outcome": "refused"}, 1),
    ]
    before = [value(name, **labels) for name, labels, _ in seen]
    counts = {"entries": 5, "restated_up": 1, "restated_down": 2, "ticks": 4, "skipped": 0}
    metrics.count_work("order", outcome(counts=counts))
    parked = [(0, Refusal(Reason.NOT_JSON, ""))]
    metrics.count_journal_records("product", outcome(counts={"added": 7}, parked=parked))
    after = [value(name, **labels) for name, labels, _ in seen]
    assert [new - old for new, old in zip(after, before, strict=True)] == [n for *_, n in seen]


def lane(topic: str, partition: int, watermark_ms: int | None, **stores: object) -> Any:  # noqa: ANN401 - what metrics need of a lane
    """A lane."""
    progress = Progress(0, watermark_ms)
    return SimpleNamespace(topic=topic, partition=partition, progress=progress, stores=stores)


def test_lanes_that_are_gone_are_shown_no_more() -> None:
    """Another worker shows them: two would disagree for ever."""
    first, second = lane("orders", 1, None), lane("orders", 2, int(time.time() * 1000) - 60_000)
    metrics.show_lanes([first, second])
    metrics.show_lag(first, None)
    metrics.show_lag(second, 12)
    labels = {"topic": "orders", "partition": "2"}
    assert value("netsold_event_lag_seconds", **labels) == pytest.approx(60, abs=30)
    assert value("netsold_consumer_lag_records", **labels) == 12
    for name in ("netsold_event_lag_seconds", "netsold_consumer_lag_records"):
        assert math.isnan(value(name, topic="orders", partition="1"))
    metrics.show_lanes([first])
    for name in ("event_lag_seconds", "consumer_lag_records", "partition_paused"):
        assert metrics.REGISTRY.get_sample_value(f"netsold_{name}", labels) is None
    metrics.show_lanes([])


def test_the_event_lag_rises_between_two_scrapes_without_a_chunk() -> None:
    """It is of the scrape's moment, also while a worker is stuck."""
    one = lane("orders", 3, 0)
    metrics.show_lanes([one])
    labels = {"topic": "orders", "partition": "3"}
    before = value("netsold_event_lag_seconds", **labels)
    assert value("netsold_event_lag_seconds", **labels) > before
    metrics.show_lanes([])


def test_keys_are_those_of_the_open_stores(tmp_path: Path) -> None:
    """Summed by table; a table without an open store has none."""
    stores = [
        PartitionStore(tmp_path / str(number), Identity("c", "a", "orders", number, 2))
        for number in range(2)
    ]
    try:
        for store in stores:
            store.write([(b"o-%d" % number, b"x") for number in range(100)], 100)
        metrics.show_keys([lane("orders", at, None, orders=one) for at, one in enumerate(stores)])
        assert value("netsold_table_keys", table="orders") == pytest.approx(200, abs=10)
        metrics.show_keys([])
        assert metrics.REGISTRY.get_sample_value("netsold_table_keys", {"table": "orders"}) == 0
    finally:
        for store in stores:
            store.close()
    # a stop closes the stores of lanes that a turn of the metrics may still see
    metrics.show_keys([lane("orders", at, None, orders=one) for at, one in enumerate(stores)])
    assert metrics.REGISTRY.get_sample_value("netsold_table_keys", {"table": "orders"}) == 0


def test_a_process_shows_its_build_and_its_disk(tmp_path: Path) -> None:
    """A data directory that isn't there yet has no numbers; it has them once it is."""
    registry, directory = CollectorRegistry(), tmp_path / "data"
    process_metrics.measure_process(registry, directory)
    assert math.isnan(registry.get_sample_value("netsold_disk_free_bytes") or 0)
    directory.mkdir()
    free = registry.get_sample_value("netsold_disk_free_bytes") or 0
    used = registry.get_sample_value("netsold_disk_used_bytes") or 0
    assert free > 0
    assert used > 0
    text = generate_latest(registry).decode()
    assert f'version="{this_build().version}"' in text
    assert "process_start_time_seconds" in text
