"""The one list of a reader's metrics: name, kind, unit and meaning.

`streams/process_metrics.py` has those that workers have, too.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry()
"""A reader's metrics; a worker has its own."""

_STEP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ANSWER_BUCKETS: Final = (0.00025, 0.0005, *_STEP_BUCKETS)
"""In seconds. A hot address is answered within the first."""

APPLIED = Counter(
    "netsold_reader_records_total",
    "Changelog and journal records applied to the reader's store",
    registry=REGISTRY,
)
APPLY_SECONDS = Histogram(
    "netsold_apply_duration_seconds",
    "Time to apply one step of fetched records to the tables",
    buckets=_STEP_BUCKETS,
    registry=REGISTRY,
)
EVENT_LAG_SECONDS = Gauge(
    "netsold_event_lag_seconds",
    "From the event time through which all tables are complete until now; NaN while unknown",
    registry=REGISTRY,
)
LAG_RECORDS = Gauge(
    "netsold_consumer_lag_records",
    "Records of a followed partition that are not in the reader's store",
    ["topic", "partition"],
    registry=REGISTRY,
)
SOURCE_BEHIND = Gauge(
    "netsold_source_records_behind",
    "Records of a partition of events that aren't in all tables; NaN while unknown",
    ["topic", "partition"],
    registry=REGISTRY,
)
GROUP_MEMBERS = Gauge(
    "netsold_group_members", "Workers in the group; NaN while unknown", registry=REGISTRY
)
DEAD_LETTERS = Gauge(
    "netsold_dead_letters",
    "Records in the topic of dead letters, by source topic, reason and state: open, requeued or"
    " discarded",
    ["topic", "reason", "state"],
    registry=REGISTRY,
)
DEAD_LETTER_AGE_SECONDS = Gauge(
    "netsold_dead_letter_oldest_age_seconds",
    "Since the oldest open dead letter was parked; 0 with none, NaN until all are counted",
    registry=REGISTRY,
)
HANGING_AGE_SECONDS = Gauge(
    "netsold_hanging_transaction_age_seconds",
    "Since the last record of the oldest hanging transaction in the topics that workers read; 0"
    " with none, NaN while unknown",
    registry=REGISTRY,
)
FAULTS = Gauge(
    "netsold_faults",
    "Faults on the way from events to tables, as `netsold status` lists them: 1 while present",
    ["code"],
    registry=REGISTRY,
)
OBSERVATION_AGE_SECONDS = Gauge(
    "netsold_observation_age_seconds",
    "Age of the reader's last observation of the cluster; infinite before the first",
    registry=REGISTRY,
)
RESTORE_REMAINING = Gauge(
    "netsold_restore_remaining_records",
    "Records to read before the reader is live; 0 once it is",
    registry=REGISTRY,
)
INDEX_BEHIND = Gauge(
    "netsold_index_records_behind",
    "Records of orders and dead letters that are not in the event index; NaN before it is opened",
    registry=REGISTRY,
)
READY = Gauge(
    "netsold_reader_ready",
    "1 while the reader may answer: its tables are complete, and it follows the log",
    registry=REGISTRY,
)
REQUESTS = Counter(
    "netsold_http_requests_total", "Answered requests", ["route", "status"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "netsold_http_request_duration_seconds",
    "From a request to its answer's head",
    ["route"],
    buckets=_ANSWER_BUCKETS,
    registry=REGISTRY,
)
CONNECTIONS = Gauge("netsold_http_connections", "Open connections to the reader", registry=REGISTRY)
CLOSED = Counter(
    "netsold_http_connections_closed_total",
    "Connections that the reader closed to stay within its bounds, by why",
    ["why"],
    registry=REGISTRY,
)
STREAMS = Gauge("netsold_streams", "Open streams of events", registry=REGISTRY)
STREAM_EVENTS = Counter(
    "netsold_stream_events_total",
    "Events passed to the connections of streams",
    ["event"],
    registry=REGISTRY,
)
SUPERSEDED = Counter(
    "netsold_stream_events_superseded_total",
    "Events that a newer one of the same subject replaced before the client could have them",
    registry=REGISTRY,
)
REFUSED = Counter(
    "netsold_http_refused_total",
    "Requests refused before anything was read for them, by the status of the answer",
    ["status"],
    registry=REGISTRY,
)
TOKENS_USABLE = Gauge(
    "netsold_reader_tokens_usable",
    "0 while the file of tokens can't be read as it is now, so that the former ones stay; else 1",
    registry=REGISTRY,
)
VERSION_INFO = Gauge(
    "netsold_version_info",
    "1 for the version that the reader answers from",
    ["app"],
    registry=REGISTRY,
)
VERSION_PREPARING_RECORDS = Gauge(
    "netsold_version_preparing_records",
    "Records to read of the version that is being prepared; 0 while none is, NaN while unknown",
    registry=REGISTRY,
)
UNREADABLE_NAMES = Counter(
    "netsold_reader_unreadable_names_total",
    "Records of the topic of names that can't be read, and are skipped",
    registry=REGISTRY,
)
AUDIT_LAST_SUCCESS = Gauge(
    "netsold_audit_last_success_timestamp_seconds",
    "When `netsold audit` last found no difference, in epoch seconds; 0 if it never did",
    registry=REGISTRY,
)
AUDIT_MISMATCHES = Gauge(
    "netsold_audit_mismatches",
    "How many rows differed in the last `netsold audit`",
    registry=REGISTRY,
)
