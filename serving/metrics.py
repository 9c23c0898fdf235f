"""The one list of a reader's metrics: name, kind, unit and meaning."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

APPLIED = Counter(
    "netsold_reader_records_total", "Changelog and journal records applied to the reader's store"
)
APPLY_SECONDS = Histogram(
    "netsold_reader_apply_duration_seconds", "Time to apply one step of fetched records"
)
EVENT_LAG_SECONDS = Gauge(
    "netsold_event_lag_seconds",
    "From the event time through which all tables are complete until now; NaN while unknown",
)
LAG_RECORDS = Gauge(
    "netsold_consumer_lag_records",
    "Records of a followed partition that are not in the reader's store",
    ["topic", "partition"],
)
SOURCE_BEHIND = Gauge(
    "netsold_source_records_behind",
    "Records of a partition of events that aren't in all tables; NaN while unknown",
    ["topic", "partition"],
)
GROUP_MEMBERS = Gauge("netsold_group_members", "Workers in the group; NaN while unknown")
DEAD_LETTERS = Gauge(
    "netsold_dead_letters",
    "Records in the topic of dead letters, by source topic and reason",
    ["topic", "reason"],
)
FAULTS = Gauge(
    "netsold_faults",
    "Faults on the way from events to tables, as `netsold status` lists them: 1 while present",
    ["code"],
)
OBSERVATION_AGE_SECONDS = Gauge(
    "netsold_observation_age_seconds",
    "Age of the reader's last observation of the cluster; infinite before the first",
)
RESTORE_REMAINING = Gauge(
    "netsold_restore_remaining_records", "Records to read before the reader is live; 0 once it is"
)
READY = Gauge(
    "netsold_reader_ready",
    "1 while the reader may answer: its tables are complete, and it follows the log",
)
REQUESTS = Counter("netsold_http_requests_total", "Answered requests", ["route", "status"])
REQUEST_SECONDS = Histogram(
    "netsold_http_request_duration_seconds", "From a request to its answer's head", ["route"]
)
CONNECTIONS = Gauge("netsold_http_connections", "Open connections to the reader")
CLOSED = Counter(
    "netsold_http_connections_closed_total",
    "Connections that the reader closed to stay within its bounds, by why",
    ["why"],
)
BUILD_INFO = Gauge("netsold_build_info", "Always 1; the labels say what runs", ["version", "rules"])
