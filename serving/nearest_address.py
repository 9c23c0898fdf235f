"""Which address an unknown path was most likely meant to be, with the id that the path names."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

from schemas import limits

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST_LIKE: Final = 0.6
"""A path that is less like an address isn't a slip of it."""

_ID: Final = re.compile(r"\{.*?\}")


def nearest_address(path: str, addresses: Iterable[str]) -> str | None:
    """The address that is most like a path, None if none is.

    An id is what stands at its place: the other parts are compared. One that is too long for a
    sentence is not repeated.
    """
    best, most = None, LEAST_LIKE
    for address in addresses:
        like, found = _compared(path.split("/"), address)
        if like > most:
            best, most = found, like
    return best


def _compared(parts: list[str], address: str) -> tuple[float, str]:
    """How much the parts of a path are like an address, and that address with the path's id."""
    known = address.split("/")
    place = next((at for at, part in enumerate(known) if _ID.fullmatch(part)), None)
    id_ = ""
    if place is not None and len(parts) == len(known):
        id_ = parts[place]
        parts = [*parts[:place], *parts[place + 1 :]]
        known = [*known[:place], *known[place + 1 :]]
    matcher = SequenceMatcher(None, "/".join(parts).lower(), "/".join(known))
    like = matcher.ratio() if matcher.real_quick_ratio() > LEAST_LIKE else 0.0
    has_id = 0 < len(id_) <= limits.QUOTED_CHARS
    return like, _ID.sub(lambda _: id_, address) if has_id else address
