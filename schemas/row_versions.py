"""Rows of journals in another version than the one that this build writes.

A row's `type` names its form: `entry` in the first version, `entry.2` in the second. A version is
read a release before it is written (docs/evolution.md). Reading a row of the written version costs
nothing here: only what its decoder refuses comes to `as_written`.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

OTHERS: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""By `type` of a version that is not written: a row's fields → those of the written version.

There is no second version yet."""

_LATER: Final = re.compile(r"(entry|service|shop_activity)(\.[0-9]+)?")


class UnknownRow(msgspec.Struct, frozen=True):
    """A row of netsold's own of a version that isn't known here; `type` names it."""

    type: str


def as_written(value: bytes) -> bytes | UnknownRow | None:
    """A row of another version as the bytes of the written one; None for any other record."""
    try:
        row = msgspec.json.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    kind = row.get("type") if isinstance(row, dict) else None
    found = _LATER.fullmatch(kind) if isinstance(kind, str) else None
    if found is None or found[2] is None:
        return None
    convert = OTHERS.get(found[0])
    if convert is None:
        return UnknownRow(found[0])
    return msgspec.json.encode(convert(row) | {"type": found[1]})
