"""Pages of a list in the store, and the cursors that lead from one page to the next.

A cursor is the version that a page is of, and the key of its last row, in base64. Keys of two
versions may differ where their rows are the same, so a cursor of another version begins the list
again: the pages that lead to one another are of one version.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.errors import NetsoldError
from serving import keys

if TYPE_CHECKING:
    from serving.store import StoreSnapshot


_END: Final = b"\x00"
"""Between the version and the key."""

_VERSION: Final = re.compile(rb"[a-z0-9.-]{1,64}")
_BEYOND_BYTES: Final = keys.NUMBER_WIDTH + 1  # longer than a number, so behind the last row


class BadCursor(NetsoldError):
    """A cursor that no answer contained, or one of another list."""


class Page(NamedTuple):
    """Some rows of a list (key, value), and the cursor of the next page, None at the list's end."""

    rows: list[tuple[bytes, bytes]]
    next_cursor: str | None


def read_page(snapshot: StoreSnapshot[Any], prefix: bytes, after: bytes | None, limit: int) -> Page:
    """At most `limit` rows whose keys have the prefix, from behind the key `after` if given."""
    return page_of(snapshot, list(islice(snapshot.walk(prefix, after), limit + 1)), limit)


def page_of(snapshot: StoreSnapshot[Any], found: list[tuple[bytes, bytes]], limit: int) -> Page:
    """The page of `limit` rows that begins with these; one more than it says that others follow."""
    rows = found[:limit]
    return Page(rows, cursor_of(snapshot, rows[-1][0]) if len(found) > limit else None)


def read_page_back(
    snapshot: StoreSnapshot[Any], prefix: bytes, before: bytes | None, limit: int
) -> Page:
    """The same from the last row back, from before the key `before` if given."""
    until = prefix + b"\xff" * _BEYOND_BYTES if before is None else before
    walk = (row for row in snapshot.walk_back(prefix, until) if row[0] != before)
    return page_of(snapshot, list(islice(walk, limit + 1)), limit)


def key_of(
    snapshot: StoreSnapshot[Any], cursor: str | None, prefix: bytes, least_bytes: int
) -> bytes | None:
    """The key in a cursor, of a list whose keys have this prefix and length at least.

    None without a cursor, and for one of another version. Raises BadCursor.
    """
    if cursor is None:
        return None
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
    except (NotBase64, UnicodeEncodeError) as error:
        raise BadCursor("no answer gave this cursor") from error
    version, found, key = text.partition(_END)
    # base64 ignores characters that it doesn't know
    if _encoded(text) != cursor or not found or _VERSION.fullmatch(version) is None:
        raise BadCursor("no answer gave this cursor")
    if version != snapshot.version.encode():
        return None
    if not key.startswith(prefix) or len(key) < least_bytes:
        raise BadCursor("the cursor is of another list")
    return key


def cursor_of(snapshot: StoreSnapshot[Any], key: bytes) -> str:
    """The cursor that leads to the rows behind a key."""
    return _encoded(snapshot.version.encode() + _END + key)


def _encoded(text: bytes) -> str:
    return urlsafe_b64encode(text).decode().rstrip("=")
