"""What `control` records of a family of versions: versions, the pointer, acts, and differences.

A version is an application that counts the family's log. Readers answer from the version that the
pointer names; without a pointer that is the base, the family's first application. The base is
registered with the first rebuild. Acts are what people did: their keys are unique, so none is
compacted away. Of each rebuild the last difference from the version that was answered is kept.
"""

from typing import Final, Literal

import msgspec

from schemas.times import format_ms

ActName = Literal["start", "promote", "rollback", "drop"]

POINTER_KEY: Final = b"pointer"
_VERSION: Final = b"version/"
_ACT: Final = b"act/"
_DIFF: Final = b"diff/"


class VersionTerms(msgspec.Struct, frozen=True):
    """The terms by which the tables of a version are made, by the names of the rules file.

    `cycle_anchor` is an RFC 3339 time.
    """

    cycle_days: int
    cycle_anchor: str
    reply_within_seconds: int
    service_hours: str
    service_zone: str
    count_inquiries_per: str
    sold_monthly_basis: str = "sale"


class CopiedLog(msgspec.Struct, frozen=True):
    """The log that a version's own log is a copy of, for another number of partitions.

    `by` is the copier's group and transactional id, the topics are full names, `partitions` is
    their number, which the topics have that a family shares. `without` are the positions of records
    that are not copied, such as `orders-3@1841`.
    """

    by: str
    orders_topic: str
    chats_topic: str
    partitions: int
    without: tuple[str, ...] = ()


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """An application of a family, as it was registered.

    The fields up to `partitions` are the settings of these names; `base_app` and `base_prefix` are
    None in the base, `orders_topic` and `chats_topic` are full names. `rules` and `build` are of
    the program that registered it, `created_at` is an RFC 3339 time, `by` a person. `copied` is
    the log that producers write, None where the version reads that itself.
    """

    app: str
    base_app: str | None
    base_prefix: str | None
    topic_prefix: str
    orders_topic: str
    chats_topic: str
    partitions: int
    terms: VersionTerms
    rules: int
    build: str
    created_at: str
    by: str
    why: str
    copied: CopiedLog | None = None


class Pointer(msgspec.Struct, frozen=True):
    """The version that readers answer from: since when (RFC 3339), and which was it before."""

    app: str
    since: str
    former: str | None = None


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What a person did to a version, when (RFC 3339) and why.

    `app` is the version, `former` the one that the pointer named until then. `vector` is, of a
    comparison, the first offset that is not compared, by partition such as `orders-3`;
    `differences` are the rows that differed there, by list. `accepted`: they were accepted, or
    that nothing could be compared.
    """

    act: ActName
    app: str
    at: str
    by: str
    why: str = ""
    former: str | None = None
    vector: dict[str, int] = {}
    differences: dict[str, int] = {}
    accepted: bool = False


class ListDiff(msgspec.Struct, frozen=True):
    """One list of two versions: rows that are the same, that differ, and that still moved."""

    same: int
    different: int
    moving: int


class FieldDiff(msgspec.Struct, frozen=True):
    """A field of a row, such as `units.gross`, and its value in each version, as a text.

    None where one has no such field.
    """

    field: str
    first: str | None
    second: str | None


class RowDiff(msgspec.Struct, frozen=True):
    """An example of a row that differs: the list's name, its ids without a buyer's, its fields.

    `only_in` is the version that alone has the row; then no field is named.
    """

    name: str
    key: dict[str, str]
    fields: list[FieldDiff] = []
    only_in: str | None = None


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """How a rebuild (`second`) differed from the version that was answered (`first`), and when.

    `vector` is the first offset that was not compared, of sales, by partition such as `orders-3`.
    `left_out` says why a list was not compared.
    """

    first: str
    second: str
    at: str
    by: str
    vector: dict[str, int]
    lists: dict[str, ListDiff]
    left_out: dict[str, str] = {}
    examples: list[RowDiff] = []


ControlRecord = Version | Pointer | Act | Diff

_DECODERS: Final[dict[bytes, msgspec.json.Decoder[ControlRecord]]] = {
    POINTER_KEY: msgspec.json.Decoder(Pointer),
    _VERSION: msgspec.json.Decoder(Version),
    _ACT: msgspec.json.Decoder(Act),
    _DIFF: msgspec.json.Decoder(Diff),
}
"""By how a key begins."""


def encode(record: ControlRecord) -> tuple[bytes, bytes]:
    """Key and value of a record."""
    key = POINTER_KEY
    if isinstance(record, Version):
        key = version_key(record.app)
    elif isinstance(record, Act):
        key = _ACT + f"{record.at}/{record.act}/{record.app}".encode()
    elif isinstance(record, Diff):
        key = diff_key(record.second)
    return key, msgspec.json.encode(record)


def version_key(app: str) -> bytes:
    """The key of a version's record; a record without value there removes the version."""
    return _VERSION + app.encode()


def diff_key(app: str) -> bytes:
    """The key of the last difference of a rebuild."""
    return _DIFF + app.encode()


def removed_version(key: bytes | None, value: bytes | None) -> str | None:
    """The version that a record removes, None if it removes none."""
    if key is None or value is not None or not key.startswith(_VERSION):
        return None
    return key.removeprefix(_VERSION).decode(errors="replace")


def decode(key: bytes | None, value: bytes | None) -> ControlRecord | None:
    """The record of a key and value; None if it removes a version, or another program wrote it."""
    for start, decoder in _DECODERS.items():
        if value is not None and (key or b"").startswith(start):
            try:
                return decoder.decode(value)
            except msgspec.MsgspecError:
                return None
    return None


def instant(at_ms: int) -> str:
    """The RFC 3339 text of an instant in epoch milliseconds, as records have it."""
    return format_ms(at_ms)
