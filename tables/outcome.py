"""What stages take and give: a chunk that has been read, the states that it touches, and what it changes.

A chunk is folded in two steps. `read` only looks at the records and names the keys that are needed; whatever can be refused is
refused there. `fold` can't refuse any more: it changes copies and hands them out. An exception there is a fault of ours, not of
the input, and the chunk must not be committed.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from schemas.envelope import Record
from schemas.refusals import Refusal
from tables.watermarks import Progress

States = Mapping[str, Mapping[bytes, bytes | None]]
"""By table, by key: the state's bytes, None where there is none. The keys of `Batch.keys` are at hand, others are looked up."""


class Batch(msgspec.Struct, frozen=True):
    """A chunk that has been read: its records, what each says (a Refusal among them), and by table the keys that folding needs.

    `place` is their partition, as `orders-3`.
    """

    place: str
    records: Sequence[Record]
    readings: Sequence[Any]
    keys: Mapping[str, Collection[bytes]]


class Outcome(msgspec.Struct, frozen=True):
    """What a chunk changes: all of it is written in one transaction, or none.

    `writes`: by table, the states that changed, None for one that is gone. `sends`: by public topic, (key, value) in order. `parked`:
    what was refused. `progress`: after the chunk. `counts`: for metrics, how many were applied, duplicates, refused, skipped, late;
    entries, restatements, ticks, marks, alerts. `taken`: how many of the chunk's records it covers; fewer than all when so many were
    refused in a row that the partition is `paused`: the rest must not be taken before someone says so (`Progress.resumed`).
    """

    writes: dict[str, dict[bytes, bytes | None]]
    sends: dict[str, list[tuple[bytes, bytes]]]
    parked: list[tuple[Record, Refusal]]
    progress: Progress
    counts: dict[str, int]
    taken: int
    paused: bool
