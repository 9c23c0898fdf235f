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
    records are left. `waiting_seconds`: how long the first of them has been in the log.
    `records_per_second`: how fast its end has advanced in the last 10 s or more. `watermark`: the
    event time through which all tables have what it contains. Unknown values are null.
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
    records_per_second: float | None
    watermark: str | None


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
    Nobody has decided about those that are `open`; the others were `requeued` or `discarded`.
    """

    topic: str
    reason: str
    count: int
    open: int
    requeued: int
    discarded: int
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
    """A table, or the journal: its topic, its freshness and its partitions.

    `records_per_second`: how fast this reader has read its topic in the last 10 s or more, with
    marks and control records; null while that is unknown.
    """

    name: str
    topic: str
    freshness: Freshness
    records_per_second: float | None
    partitions: list[PartitionStatus]


class ReaderVersion(_Answer):
    """The build (version and commit) and the rules of this reader."""

    build: str | None
    rules: int


class WorkersVersion(_Answer):
    """A build and its rules, and the partitions whose latest records its workers applied."""

    build: str
    rules: int
    partitions: list[str]


class IndexStatus(_Answer):
    """How far the event index is, which `explain` and `find` need.

    `complete` once it has all that the log had when it was opened. `records_to_read` is null before
    the first contact; `waiting_for` says what keeps it from being filled, if anything does.
    """

    complete: bool
    records_to_read: int | None
    waiting_for: str | None


class PreparedVersion(_Answer):
    """A version that is being prepared: the records that the reader has still to read of it.

    `records_to_read` is null before the first contact; `waiting_for` says what keeps the reader
    from it, if anything does.
    """

    app: str
    records_to_read: int | None
    waiting_for: str | None


class ListDifference(_Answer):
    """Rows of one list of two versions: the same, different, and not compared as they moved."""

    same: int
    different: int
    moving: int


class FieldDifference(_Answer):
    """A field such as `units.gross`, and its value in each version; null where one has none."""

    field: str
    first: str | None
    second: str | None


class RowDifference(_Answer):
    """An example of a row that differs: the list's name, its ids without a buyer's, its fields.

    `only_in` is the version that alone has the row, null where both have it.
    """

    name: str
    key: dict[str, str]
    fields: list[FieldDifference]
    only_in: str | None


class Difference(_Answer):
    """How two versions differed when `netsold rebuild diff` or `promote` last compared them.

    `by` is who compared them at `at`. `vector` is the first offset of sales that was not compared,
    by source partition. `lists` has the compared lists, `left_out` why others were not. `examples`
    are at most five rows of a list.
    """

    first: str
    second: str
    at: str
    by: str
    vector: dict[str, int]
    lists: dict[str, ListDifference]
    left_out: dict[str, str]
    examples: list[RowDifference]


class BesideVersion(_Answer):
    """A version of the family that this reader does not answer from.

    `records_behind` are the records that its workers have not applied, null while the reader cannot
    know. `difference` is the last one from the answered version, null before any comparison.
    """

    app: str
    records_behind: int | None
    difference: Difference | None


class LastAudit(_Answer):
    """The last audit of the answered version: when, by which build, and how many rows differed.

    `succeeded_at` is when one last found none, null if none ever did.
    """

    at: str
    build: str
    mismatches: int
    succeeded_at: str | None


class VersionsStatus(_Answer):
    """Which version this reader answers from, and since when; which one the pointer names.

    They differ while the reader prepares the pointed version, which is then in `preparing`.
    `former` is the version that the pointer named before `pointed_since`; both are null if it was
    never moved. `answered_since` and `pointed` are null before the reader has read the pointer.
    `beside` are the other versions; `audit` is null before the first audit.
    """

    answered: str
    answered_since: str | None
    pointed: str | None
    pointed_since: str | None
    former: str | None
    preparing: PreparedVersion | None
    beside: list[BesideVersion]
    audit: LastAudit | None


class Health(_Answer):
    """Whether the whole way is alive, the findings, and the versions."""

    state: State
    findings: list[Finding]
    versions: VersionsStatus


class Status(Health):
    """The whole way; its freshness is that of its least fresh table.

    `cycle` is the current one, null before any event. `records_behind`: records of events, of all
    sources, that aren't in all tables; null while one source is unknown. `records_to_read`: records
    of changelogs and journal that this reader hasn't read. `reader` and `workers` are the versions
    that run; there is more than one in `workers` if their builds differ.
    """

    app: str
    cycle: CycleSpan | None
    freshness: Freshness
    records_behind: int | None
    records_to_read: int
    sources: list[SourceStatus]
    cluster: ClusterStatus
    reader: ReaderVersion
    workers: list[WorkersVersion]
    dead_letters: list[DeadLetterStatus]
    tables: list[TableStatus]
    index: IndexStatus
