"""Display names of products and shops, as the topic `names` has them.

A record's key is `product/ID` or `shop/ID`, its value a JSON object with `name` and, if there is
one, `picture`. Without a value it removes the name. Names are no events: they change no sums.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from schemas import http_limits, limits
from schemas.errors import NetsoldError
from schemas.events import is_printable

NAMED_KINDS: Final = {"product": "product_id", "shop": "shop_id"}
"""What has a name: the word that begins a key, and the name of the id that ends it."""

_PICTURE: Final = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
_TYPES: Final = {f"{kind}_named": kind for kind in NAMED_KINDS}
"""By the type of a line of a file: what it names."""


class UnreadableName(NetsoldError):
    """A record or a line that gives no name; the sentence says why."""


class DisplayName(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A name, and the address of a picture."""

    name: str
    picture: str | None = None


class NameRecord(msgspec.Struct, frozen=True):
    """A record of the topic `names`; `value` is None where it removes the name."""

    key: bytes
    value: bytes | None


class _NameLine(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    name: str | None
    picture: str | None = None
    product_id: str | None = None
    shop_id: str | None = None


encode_name: Final[Callable[[DisplayName], bytes]] = msgspec.json.Encoder().encode
"""A name → a record's value."""
_decode: Final = msgspec.json.Decoder(DisplayName).decode
_decode_line: Final = msgspec.json.Decoder(_NameLine).decode
_decode_type: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def name_key(kind: str, id_: str) -> bytes:
    """A record's key. Raises UnreadableName unless the id is one."""
    if not 1 <= len(id_) <= limits.ID_CHARS or not is_printable(id_):
        raise UnreadableName(
            f"a {kind}'s id has 1 to {limits.ID_CHARS} characters, and no control characters"
        )
    return f"{kind}/{id_}".encode()


def split_name_key(key: bytes) -> tuple[str, bytes]:
    """(name of the id, id) of a record's key. Raises UnreadableName."""
    try:
        kind, slash, id_ = key.decode().partition("/")
    except UnicodeDecodeError as error:
        raise UnreadableName("the key is no UTF-8") from error
    if not slash or kind not in NAMED_KINDS:
        raise UnreadableName("the key is neither product/ID nor shop/ID")
    name_key(kind, id_)
    return NAMED_KINDS[kind], id_.encode()


def decode_name(value: bytes) -> DisplayName:
    """A record's value as a name. Raises UnreadableName."""
    if len(value) > limits.VALUE_BYTES:
        raise UnreadableName(f"the value has more than {limits.VALUE_BYTES:,} bytes")
    try:
        return _checked(_decode(value))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableName(f"the value is no name: {error}") from error


def name_of_line(line: bytes) -> NameRecord | None:
    """The record that a line of a file gives, such as `{"type": "product_named", …}`.

    None if the line is something else. Raises UnreadableName.
    """
    if b"_named" not in line:
        return None
    try:
        kind = _TYPES.get(msgspec.json.decode(_decode_type(line)["type"]))
    except (msgspec.MsgspecError, KeyError, TypeError, RecursionError):
        return None  # the decoder of events refuses it
    if kind is None:
        return None
    try:
        given = _decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableName(str(error)) from error
    ids = {name: id_ for name in NAMED_KINDS.values() if (id_ := getattr(given, name)) is not None}
    if ids.keys() != {NAMED_KINDS[kind]}:
        raise UnreadableName(f"a name of a {kind} has a {NAMED_KINDS[kind]}, and no other id")
    key = name_key(kind, ids[NAMED_KINDS[kind]])
    if given.name is None:
        return NameRecord(key, None)
    return NameRecord(key, encode_name(_checked(DisplayName(given.name, given.picture))))


def _checked(named: DisplayName) -> DisplayName:
    """The name itself. Raises UnreadableName unless it is within its bounds."""
    if not 1 <= len(named.name) <= http_limits.NAME_CHARS or not is_printable(named.name):
        raise UnreadableName(
            f"a name has 1 to {http_limits.NAME_CHARS} characters, and no control characters"
        )
    picture = named.picture
    if picture is not None and not (
        len(picture) <= http_limits.PICTURE_CHARS
        and is_printable(picture)
        and _PICTURE.fullmatch(picture)
    ):
        raise UnreadableName(
            "a picture is an http or https address of at most"
            f" {http_limits.PICTURE_CHARS:,} characters"
        )
    return named
