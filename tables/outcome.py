"""What stages take and give.

A chunk that has been read, the states that it touches, and what it changes.

A stage takes a chunk in two steps. `read` looks at one record, as soon as it is fetched: what it
says is kept, in place of its bytes and headers. Whatever can be refused is refused there, but for a
state that would outgrow a record. `fold` asks for the states that it needs, changes copies of them
and hands these out: an exception there is a fault of ours, not of the input, and the chunk must not
be committed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from schemas.refusals import Refusal
from tables.watermarks import Progress


class Stored(Protocol):
    """A table's states by key: their bytes, None where there is none.

    Looked up when they are asked for.
    """

    def __getitem__(self, key: bytes, /) -> bytes | None:
        """The state of one key."""

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        """The states of some keys, for less than one by one."""


States = Mapping[str, Stored]
"""By table, its states."""

Readings = Sequence[tuple[int, Any]]
"""A chunk of one partition that has been read, in order: each record's offset, and what it says,
a Refusal among it."""


class Outcome(msgspec.Struct, frozen=True):
    """What a chunk changes: all of it is written in one transaction, or none.

    `writes`: by table, the states that changed, None for one that is gone. `sends`: by public
    topic, (key, value) in order. `parked`: what was refused, by its offset. `progress`: after the
    chunk. `counts`: for metrics, how many were applied, duplicates, refused, skipped, late;
    entries, restatements, ticks, marks, alerts. `records_covered`: how many of the chunk's records it covers;
    fewer than all when so many were refused in a row that the partition is `paused`: the rest must
    not be taken before someone says so (`Progress.resumed`).
    """

    writes: dict[str, dict[bytes, bytes | None]]
    sends: dict[str, list[tuple[bytes, bytes]]]
    parked: list[tuple[int, Refusal]]
    progress: Progress
    counts: dict[str, int]
    records_covered: int
    paused: bool
