"""Keys and rows of the live side: whoever can write to a changelog can write any bytes there."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.times import format_ms
from tables import catalogue
from tables.cycle_ends import start_of_share
from tables.formats import UnreadableFormatError

UNREADABLE: Final = (
    msgspec.DecodeError,
    UnreadableFormatError,
    ValueError,  # bytes that are no UTF-8, too
    OverflowError,
    RecursionError,
)
"""What decoding a row raises that no worker wrote."""


def of_cycle(key: bytes) -> tuple[str, int] | None:
    """(id, cycle's start) of a windowed table's key; None for one that names no cycle."""
    try:
        subject, start_ms = catalogue.split_cycle_key(key)
        format_ms(start_ms)  # an instant that has a date
    except (ValueError, OverflowError):
        return None
    return subject, start_ms


def of_share(key: bytes) -> int | None:
    """The start of a share's cycle; None for a key that names none."""
    try:
        start_ms = start_of_share(key)
        format_ms(start_ms)
    except (ValueError, OverflowError):
        return None
    return start_ms
