"""The input and output of a stage: a chunk that was read, the states, and the changes.

A stage works in two steps. `read` decodes one record as soon as it is fetched; the result is kept
in place of the record's bytes and headers. It refuses whatever can be refused, except for a state
that would outgrow a record. `fold` reads the states that it needs and returns changed copies. An
exception in `fold` is a fault of the program, not of the input: the chunk must not be committed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from schemas.refusals import Refusal
from tables.watermarks import Progress


class Stored(Protocol):
    """A table's states by key: their bytes, None where there is none. Read on access."""

    def __getitem__(self, key: bytes, /) -> bytes | None:
        """The state of one key."""

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        """The states of some keys; costs less than one by one."""


States = Mapping[str, Stored]
"""The states of each table, by its name."""

Readings = Sequence[tuple[int, Any]]
"""A chunk of one partition in order: each record's offset, and what it was decoded to, or a
Refusal."""


class EventCounts(msgspec.Struct, frozen=True):
    """Events by their types: applied, known already (S11), and those of an ended cycle (S13).

    Late ones are applied, or known, like all others.
    """

    applied: Counter[str] = msgspec.field(default_factory=Counter)
    duplicates: Counter[str] = msgspec.field(default_factory=Counter)
    late: Counter[str] = msgspec.field(default_factory=Counter)


class Outcome(msgspec.Struct, frozen=True):
    """The changes by a chunk, written in one transaction or not at all.

    `writes`: changed states by table, None for a deleted one. `sends`: (key, value) in order, by
    public topic. `parked`: refusals with their offsets. `progress`: after the chunk.
    `records_covered`: the number of the chunk's records that the outcome covers. It is less than
    all if the partition is `paused` by too many refusals in a row: the rest must not be folded
    before someone resumes it (`Progress.resumed`).

    For metrics, `events` are by type, and `counts` are: `ticks` and `marks` read, records `added`
    to sums, records `skipped`, `entries` and `alerts` written, entries that restate (S13) by a
    higher (`restated_up`) or a lower net result (`restated_down`), `replies_restated` (C3).
    """

    writes: dict[str, dict[bytes, bytes | None]]
    sends: dict[str, list[tuple[bytes, bytes]]]
    parked: list[tuple[int, Refusal]]
    progress: Progress
    counts: dict[str, int]
    records_covered: int
    paused: bool
    events: EventCounts = EventCounts()
