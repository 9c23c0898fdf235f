"""What a reader says of the whole way from the events' topics to its tables.

`/v1/status`, `/v1/health` and `netsold status`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.answers import CycleSpan, Freshness, State


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Answer):
    """Something that isn't as it should be.

    A `fault` makes the state another one than live, a `notice` doesn't.

    `code` is stable; `sentence` says what it is, and `remedy` what to do.
    """

    code: str
    severity: Literal["fault", "notice"]
    sentence: str
    remedy: str


class SourceStatus(_Answer):
    """A partition of events, such as `orders-0`.

    Where its log begins and ends, and what of it is applied.

    `committed` is the group's offset, the next one that its worker reads; `applied` the last one
    that all tables hold, `slowest` the table that holds least. `behind` are the offsets from there
    to the end; ticks and other writers' control records count, unless nothing but control records
    is left. `waiting_seconds`: how long the first of them has been there. What isn't known is null.
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
    """A worker in the group: its name there, its address, and the partitions that it reads."""

    name: str
    host: str
    holds: list[str]


class ClusterStatus(_Answer):
    """What was last observed.

    When, how long ago, which brokers answer and which don't, the group's state and its workers.
    """

    observed_at: str | None
    age_seconds: float | None
    brokers: list[int]
    brokers_away: list[int]
    group_state: str | None
    members: list[MemberStatus]


class DeadLetterStatus(_Answer):
    """Dead letters of one topic and reason.

    All that were there when the reader began or came since; those since; when they were parked.
    """

    topic: str
    reason: str
    count: int
    since_start: int
    oldest: str
    newest: str


class PartitionStatus(_Answer):
    """A partition that the reader follows.

    The next offset it will read, the log's end, and the records between.
    """

    partition: int
    position: int
    end: int
    behind: int


class TableStatus(_Answer):
    """A table, or the journal: its topic, how fresh it is, and its partitions."""

    name: str
    topic: str
    freshness: Freshness
    partitions: list[PartitionStatus]


class Health(_Answer):
    """Whether the whole way is alive, and what isn't as it should be."""

    state: State
    findings: list[Finding]


class Status(Health):
    """The whole way: its freshness is that of its least fresh table.

    `cycle` is the current one, null before any event.

    `records_behind`: of all sources, records of events that aren't in all tables; null where it
    isn't known of one. `records_to_read`: records of changelogs and journal that this reader hasn't
    read.
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
