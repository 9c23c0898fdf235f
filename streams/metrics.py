"""The one list of a worker's metrics: name, kind, unit and meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTS = Counter(
    "netsold_records_total",
    "Records by stage and outcome: applied, duplicates, refused, skipped, late, ticks, marks, "
    "entries, restatements, alerts",
    ["stage", "outcome"],
)
FOLD_SECONDS = Histogram(
    "netsold_fold_duration_seconds", "Time to decode and fold one chunk", ["stage"]
)
TRANSACTION_SECONDS = Histogram(
    "netsold_transaction_duration_seconds", "Time from begin to store write of one chunk", ["stage"]
)
WRONG_PARTITION = Counter(
    "netsold_wrong_partition_total",
    "Records that were read in another partition than their key's, by topic, parked or not",
    ["topic"],
)
CHUNK_RECORDS = Gauge(
    "netsold_chunk_records",
    "Most records of a partition in its next transaction",
    ["topic", "partition"],
)
PAUSED = Gauge(
    "netsold_partition_paused",
    "1 while a partition is paused after too many refusals in a row",
    ["topic", "partition"],
)


def count(stage: str, counts: Mapping[str, int]) -> None:
    """Add a chunk's counts of one stage."""
    for outcome, number in counts.items():
        if number:
            COUNTS.labels(stage, outcome).inc(number)
