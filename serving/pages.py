"""Pages of a list in the store, and the cursors that lead from one page to the next.

A cursor is the key of the last row of a page, in base64.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from serving.store import Snapshot


class BadCursor(NetsoldError):
    """A cursor that no answer contained, or one of another list."""


class Page(NamedTuple):
    """Some rows of a list (key, value), and the cursor of the next page, None at the list's end."""

    rows: list[tuple[bytes, bytes]]
    next_cursor: str | None


def read_page(snapshot: Snapshot, prefix: bytes, after: bytes | None, limit: int) -> Page:
    """At most `limit` rows whose keys have the prefix, from behind the key `after` if given."""
    found = list(islice(snapshot.walk(prefix, after), limit + 1))
    rows = found[:limit]
    return Page(rows, _encoded(rows[-1][0]) if len(found) > limit else None)


def key_of(cursor: str | None, prefix: bytes, least_bytes: int) -> bytes | None:
    """The key in a cursor, of a list whose keys have this prefix and length at least.

    None without a cursor. Raises BadCursor.
    """
    if cursor is None:
        return None
    try:
        key = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
    except (NotBase64, UnicodeEncodeError) as error:
        raise BadCursor("no answer gave this cursor") from error
    if _encoded(key) != cursor:  # base64 ignores characters that it doesn't know
        raise BadCursor("no answer gave this cursor")
    if not key.startswith(prefix) or len(key) < least_bytes:
        raise BadCursor("the cursor is of another list")
    return key


def _encoded(key: bytes) -> str:
    return urlsafe_b64encode(key).decode().rstrip("=")
