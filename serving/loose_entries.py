"""The entries in brief of an id in a cycle that its rows by hour and day don't include yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from serving import keys, series_keys
from serving.progress import SALES_JOURNAL
from tables import periods
from tables.brief_entries import decode_entries
from tables.catalogue import SALES_TOPIC, key_of

if TYPE_CHECKING:
    from serving.store import Snapshot
    from tables.periods import Periods

_JOURNAL_KEY: Final = key_of(SALES_TOPIC)
_decode_included: Final = msgspec.json.Decoder(dict[int, int]).decode


class Loose(NamedTuple):
    """The sums of loose entries by hour since the epoch.

    `included` are the last keys of all entries, in the form of `series_keys.added`.
    """

    hours: Periods
    included: dict[int, int]


def has_added(
    snapshot: Snapshot, first: tuple[str, bytes, int], last: tuple[str, bytes, int]
) -> bool:
    """Whether rows of an id include entries of a cycle between two, both included."""
    span = snapshot.between(series_keys.added(*first), series_keys.added(*last) + b"\x00")
    return next(span, None) is not None


def loose(snapshot: Snapshot, keyed_by: str, id_: bytes, start_ms: int) -> Loose:
    """The loose entries of an id in a cycle, added up; the marketplace has none."""
    hours: Periods = {}
    if keyed_by not in keys.BRIEF:
        return Loose(hours, {})
    value = snapshot.get(series_keys.added(keyed_by, id_, start_ms))
    included = {} if value is None else _decode_included(value)
    if value is None:
        walks: list[tuple[bytes, int | None]] = [(keys.brief(keyed_by, id_, start_ms), None)]
    else:
        # the journal is keyed by product: all entries of one are in one partition
        partitions = (
            list(included)
            if keyed_by == _JOURNAL_KEY
            else snapshot.progress.partitions[SALES_JOURNAL]
        )
        walks = [
            (keys.brief_of(keyed_by, id_, start_ms, partition), included.get(partition))
            for partition in partitions
        ]
    for prefix, offset in walks:
        after = None if offset is None else keys.brief_at(prefix, offset)
        for key, entries in snapshot.walk(prefix, after):
            for entry in decode_entries(entries):
                periods.add_entry(hours, entry)
            partition, last = keys.split_brief_at(key)
            included[partition] = last
    return Loose(hours, included)
