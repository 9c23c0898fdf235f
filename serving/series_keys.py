"""The keys of sums by hour, by day and of the marketplace in a reader's store.

As in serving/keys.py, the first byte names the space.
"""

from __future__ import annotations

from typing import Final

from serving import keys
from tables.periods import MARKETPLACE

_OF: Final = {"product_id": b"p", "shop_id": b"s", MARKETPLACE: b"m"}
"""By the name of an id, and of the marketplace: a byte of its own within a space."""

_DAYS: Final = b"\x05"
_HOURS: Final = b"\x06"
_ADDED: Final = b"\x08"
_DAY_WIDTH: Final = 4
_EPOCH: Final = 2**31
"""Added to days since the epoch, so that they order as unsigned bytes."""

HOURS_FROM: Final = b"\x00hours-from"
"""The first day since the epoch whose hours are kept; hours of earlier ones are deleted."""

MARKETPLACE_CYCLES: Final = b"\x07"
"""The sums of the marketplace by cycle, the newest first."""


def days(keyed_by: str, id_: bytes, start_ms: int) -> bytes:
    """The prefix of the rows of days of an id in one cycle."""
    return keys.row(_DAYS + _OF[keyed_by], id_, start_ms)


def days_row(prefix: bytes, block: int) -> bytes:
    """The key of one row of days; `prefix` is from `days`, `block` its number in the cycle."""
    return prefix + bytes((block,))


def hours_row(keyed_by: str, id_: bytes, start_ms: int, day: int) -> bytes:
    """The key of the hours of one day of an id that belong to one cycle."""
    return keys.row(hours_from(day) + _OF[keyed_by], id_, start_ms)


def hours_from(day: int) -> bytes:
    """The least key of hours of this day or later."""
    return _HOURS + (day + _EPOCH).to_bytes(_DAY_WIDTH, "big")


def added(keyed_by: str, id_: bytes, start_ms: int) -> bytes:
    """The key of which entries in brief of an id in a cycle its rows include.

    By partition of the journal, the offset in the key of the last value that is included.
    """
    return keys.row(_ADDED + _OF[keyed_by], id_, start_ms)


def marketplace_cycle(start_ms: int) -> bytes:
    """The key of the marketplace's sums in a cycle: a later cycle comes first."""
    return keys.row(MARKETPLACE_CYCLES, b"", -start_ms)


def split_marketplace_cycle(key: bytes) -> int:
    """The cycle's start of a key that `marketplace_cycle` made."""
    return -keys.split_row(key)[1]
