"""The one list of a worker's metrics: name, kind, unit and meaning.

`streams/process_metrics.py` has those that readers have, too. Everything is counted once a chunk,
and never by an id.
"""

from __future__ import annotations

import time
from collections import Counter as Multiset
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.events import MODELS
from tables.catalogue import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from schemas.envelope import Record
    from streams.batches import TolerantRecords
    from streams.lanes import Lane
    from tables.outcome import Outcome

REGISTRY: Final = CollectorRegistry()
"""A worker's metrics; a reader has its own."""

UNNAMED_TYPE: Final = "unknown"
"""The type of a refused record that names none of ours."""

EVENTS = Counter(
    "netsold_events_total",
    "Events by type and outcome: applied (not those known already), or refused; the type of a"
    " refused one is what its header or its JSON names, or unknown",
    ["type", "outcome"],
    registry=REGISTRY,
)
DUPLICATES = Counter(
    "netsold_duplicates_total",
    "Events that were known already and changed nothing (S11), by type",
    ["type"],
    registry=REGISTRY,
)
LATE_EVENTS = Counter(
    "netsold_late_events_total",
    "Events of a cycle that had ended by the event time of their partition (S13), by type; they"
    " count all the same",
    ["type"],
    registry=REGISTRY,
)
RESTATEMENTS = Counter(
    "netsold_restatements_total",
    "Sales entries that restate an ended cycle (S13), by direction: up or down",
    ["direction"],
    registry=REGISTRY,
)
ENTRIES = Counter(
    "netsold_entries_total",
    "Rows written to journals, by stage: sales and service entries, changes of replies",
    ["stage"],
    registry=REGISTRY,
)
REPLIES_RESTATED = Counter(
    "netsold_replies_restated_total",
    "Changes of shops' replies that restate an ended cycle (C3)",
    registry=REGISTRY,
)
ALERTS = Counter("netsold_alerts_total", "Alerts written about inquiries", registry=REGISTRY)
JOURNAL_RECORDS = Counter(
    "netsold_journal_records_total",
    "Journal records by stage and outcome: added to sums, or refused",
    ["stage", "outcome"],
    registry=REGISTRY,
)
OTHER_RECORDS = Counter(
    "netsold_other_records_total",
    "Records that add nothing, by stage and kind: ticks, marks, skipped (read before)",
    ["stage", "kind"],
    registry=REGISTRY,
)
APPLY_SECONDS = Histogram(
    "netsold_apply_duration_seconds",
    "Time to apply one chunk, by stage and step: fold, or transaction (begin to store write)",
    ["stage", "step"],
    registry=REGISTRY,
)
WRONG_PARTITION = Counter(
    "netsold_wrong_partition_total",
    "Records that were read in another partition than their key's, by topic, parked or not",
    ["topic"],
    registry=REGISTRY,
)
EVENT_LAG_SECONDS = Gauge(
    "netsold_event_lag_seconds",
    "From the latest applied event time of a partition that this worker reads until now; NaN before"
    " the first",
    ["topic", "partition"],
    registry=REGISTRY,
)
LAG_RECORDS = Gauge(
    "netsold_consumer_lag_records",
    "Records of a partition that this worker reads which are not applied; NaN while unknown",
    ["topic", "partition"],
    registry=REGISTRY,
)
CHUNK_RECORDS = Gauge(
    "netsold_chunk_records",
    "Most records of a partition in its next transaction",
    ["topic", "partition"],
    registry=REGISTRY,
)
PAUSED = Gauge(
    "netsold_partition_paused",
    "1 while a partition is paused after too many refusals in a row",
    ["topic", "partition"],
    registry=REGISTRY,
)
TABLE_KEYS = Gauge(
    "netsold_table_keys",
    "Keys of a table in this worker's partitions, as RocksDB estimates them: a key that was"
    " rewritten counts again until its files are merged",
    ["table"],
    registry=REGISTRY,
)
RESTORE_REMAINING = Gauge(
    "netsold_restore_remaining_records",
    "Changelog records to read before this worker opens its partitions; 0 once it has",
    registry=REGISTRY,
)
_OF_PARTITIONS: Final = (EVENT_LAG_SECONDS, LAG_RECORDS, CHUNK_RECORDS, PAUSED)

for _type in MODELS:  # an increase is only seen from a number on
    EVENTS.labels(_type, "applied")
    EVENTS.labels(_type, "refused")
    DUPLICATES.labels(_type)
    LATE_EVENTS.labels(_type)
EVENTS.labels(UNNAMED_TYPE, "refused")
for _direction in ("up", "down"):
    RESTATEMENTS.labels(_direction)


def count_events(outcome: Outcome, fetched: TolerantRecords) -> None:
    """Add a chunk's events; `fetched` has its records."""
    events = outcome.events
    for name, number in events.applied.items():
        EVENTS.labels(name, "applied").inc(number)
    for name, number in events.duplicates.items():
        DUPLICATES.labels(name).inc(number)
    for name, number in events.late.items():
        LATE_EVENTS.labels(name).inc(number)
    if outcome.parked:
        refused = fetched.at({offset for offset, _ in outcome.parked}).values()
        named = Multiset(_type_of(record) for record in refused)
        for name, number in named.items():
            EVENTS.labels(name, "refused").inc(number)


class _Typed(msgspec.Struct, gc=False):
    """A structured or bare JSON object, of which the type alone is read."""

    type: str = ""


_decode_type: Final = msgspec.json.Decoder(_Typed).decode


def _type_of(record: Record) -> str:
    header = dict(record.headers).get("ce_type")
    try:
        name = _decode_type(record.value or b"").type if header is None else header.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UNNAMED_TYPE
    return name if name in MODELS else UNNAMED_TYPE


def count_journal_records(stage: str, outcome: Outcome) -> None:
    """Add a chunk's records of a journal."""
    JOURNAL_RECORDS.labels(stage, "added").inc(outcome.counts.get("added", 0))
    JOURNAL_RECORDS.labels(stage, "refused").inc(len(outcome.parked))


def count_work(stage: str, outcome: Outcome) -> None:
    """Add what a chunk made, and its records that add nothing."""
    counts = outcome.counts
    for kind in ("ticks", "marks", "skipped"):
        if counts.get(kind):
            OTHER_RECORDS.labels(stage, kind).inc(counts[kind])
    if "entries" in counts:
        ENTRIES.labels(stage).inc(counts["entries"])
    RESTATEMENTS.labels("up").inc(counts.get("restated_up", 0))
    RESTATEMENTS.labels("down").inc(counts.get("restated_down", 0))
    REPLIES_RESTATED.inc(counts.get("replies_restated", 0))
    ALERTS.inc(counts.get("alerts", 0))


def show_lanes(lanes: Collection[Lane]) -> None:
    """These lanes are open, and no other: what was shown of others ends."""
    for gauge in _OF_PARTITIONS:
        gauge.clear()
    for lane in lanes:
        PAUSED.labels(lane.topic, str(lane.partition)).set(0)
        EVENT_LAG_SECONDS.labels(lane.topic, str(lane.partition)).set_function(_event_lag(lane))


def _event_lag(lane: Lane) -> Callable[[], float]:
    """Seconds from a lane's event time until now, at each scrape."""

    def lag_s() -> float:
        reached_ms = lane.progress.watermark_ms
        return float("nan") if reached_ms is None else time.time() - reached_ms / 1000

    return lag_s


def show_lag(lane: Lane, records: int | None) -> None:
    """So many records of an open lane are not applied; None while it isn't known."""
    gauge = LAG_RECORDS.labels(lane.topic, str(lane.partition))
    gauge.set(float("nan") if records is None else records)


def show_keys(lanes: Collection[Lane]) -> None:
    """The tables' keys in the stores of these lanes."""
    keys = dict.fromkeys([table.name for table in TABLES], 0)
    for lane in lanes:
        for name, store in lane.stores.items():
            keys[name] += store.keys_about
    for name, number in keys.items():
        TABLE_KEYS.labels(name).set(number)
