"""What a reader answers about the whole way from the events' topics to its tables.

`/v1/status`, `/v1/health` and `netsold status` show it.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.answers import CycleSpan, Freshness, State


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Answer):
    """Something that isn't as it should be.

    With a `fault` the state isn't live; a `notice` doesn't change the state. `code` is stable,
    `sentence` says what is wrong, and `remedy` what to do.
    """

    code: str
    severity: Literal["fault", "notice"]
    sentence: str
    remedy: str


class SourceStatus(_Answer):
    """A partition of events, such as `orders-0`: where its log begins and ends, and its progress.

    `committed` is the group's offset, the next one that its worker reads; `applied` the last one
    that all tables contain, `slowest` the table with the lowest one. `behind` are the offsets from
    `applied` to the end; ticks and other writers' control records count, unless only control
    records are left. `waiting_seconds`: how long the first of them has been in the log. Unknown
    values are null.
    """

    source: str
    beginning: int | None
    end: int | None
    committed: int | None
    applied: int | None
    behind: int | None
    waiting_seconds: float | None
    slowest: str | None
    read_by: str | None


class MemberStatus(_Answer):
    """A worker in the group: its name, its address, and the partitions that it reads."""

    name: str
    host: str
    holds: list[str]


class ClusterStatus(_Answer):
    """The last observation: its time and age, the brokers, the group's state and its workers."""

    observed_at: str | None
    age_seconds: float | None
    brokers: list[int]
    brokers_away: list[int]
    group_state: str | None
    members: list[MemberStatus]


class DeadLetterStatus(_Answer):
    """Dead letters of one source topic and reason, and when they were parked.

    `count` is of all in the topic of dead letters, `since_start` of those since the reader began.
    """

    topic: str
    reason: str
    count: int
    since_start: int
    oldest: str
    newest: str


class PartitionStatus(_Answer):
    """A partition that the reader follows: its next offset, the log's end, the records between."""

    partition: int
    position: int
    end: int
    behind: int


class TableStatus(_Answer):
    """A table, or the journal: its topic, its freshness and its partitions."""

    name: str
    topic: str
    freshness: Freshness
    partitions: list[PartitionStatus]


class Health(_Answer):
    """Whether the whole way is alive, and the findings."""

    state: State
    findings: list[Finding]


class Status(Health):
    """The whole way; its freshness is that of its least fresh table.

    `cycle` is the current one, null before any event. `records_behind`: records of events, of all
    sources, that aren't in all tables; null while one source is unknown. `records_to_read`: records
    of changelogs and journal that this reader hasn't read.
    """

    app: str
    cycle: CycleSpan | None
    freshness: Freshness
    records_behind: int | None
    records_to_read: int
    sources: list[SourceStatus]
    cluster: ClusterStatus
    dead_letters: list[DeadLetterStatus]
    tables: list[TableStatus]
