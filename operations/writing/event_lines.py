"""The lines of files as records for the log, or the refusal of a line that is none.

Lines are checked by the decoder that also reads the log, so a worker accepts every imported event.
Unknown fields are kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from operations.files import foodmart
from operations.files import pieces as event_pieces
from operations.files.opening import opened, size_bytes
from operations.files.pieces import Piece
from schemas import cloudevents, envelope, event_versions, limits, sentences
from schemas.ahead import in_the_future
from schemas.names import UnreadableName, name_of_line
from schemas.refusals import Reason, Refusal
from tables.catalogue import NAMES_TOPIC

Layout = Literal["events", "foodmart"]
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event, or a name of a product or shop, as a record for the log.

    `topic` is without the setting's prefix. `occurred_at_ms` is None of a name, and `value` where
    it is removed.
    """

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers
    occurred_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, or one element of its array.

    `at` is its place: `file:12` (lines from 1) or `file[11]` (elements from 0). `done_bytes` is how
    many bytes of all files were read by then.
    """

    at: str
    done_bytes: int
    event: Outgoing | Refusal


def lines(files: Sequence[str], layout: Layout) -> Iterator[Line]:
    """All lines of all files, or elements of their arrays; blank lines are left out.

    It waits while standard input waits. Raises EventFileUnreadable: before the first line for a
    file that is missing or of another form, later for one that can't be read to its end.
    """
    if layout == "foodmart":
        for path in files:
            folder = Path(path)
            found = [*foodmart.names(folder), *foodmart.events(folder)]
            for number, event in enumerate(found, 1):
                yield Line(f"{path}:{number}", 0, event_of(msgspec.json.encode(event)))
        return
    event_pieces.check(files)
    before_bytes = 0
    for path in files:
        with opened(path) as (stream, read_bytes):
            for piece in event_pieces.pieces(path, stream, limits.VALUE_BYTES):
                yield Line(piece.at, before_bytes + read_bytes(), _event_of_piece(piece))
            before_bytes += read_bytes()


def total_bytes(files: Sequence[str], layout: Layout) -> int | None:
    """The value of `done_bytes` at the end; None if that isn't known."""
    sizes = [size_bytes(path) for path in files] if layout == "events" else [None]
    return None if None in sizes else sum(size or 0 for size in sizes)


def by_now(event: Outgoing | Refusal, most_ahead_s: int) -> Outgoing | Refusal:
    """The event, or its refusal if it claims to happen later: a worker would refuse it, too."""
    if isinstance(event, Refusal) or event.occurred_at_ms is None:
        return event
    now_ms = time.time_ns() // 1_000_000
    return in_the_future(event.occurred_at_ms, now_ms, most_ahead_s * 1000) or event


def event_of(line: bytes) -> Outgoing | Refusal:
    """The record for a line of JSON (bare or a structured CloudEvent), or the decoder's refusal.

    Every field is kept as it is written. A bare event becomes a CloudEvent in binary mode. A line
    that names a product or a shop is no event, and becomes a record of `names`.
    """
    try:
        named = name_of_line(line)
    except UnreadableName as error:
        return Refusal(Reason.INVALID_FIELD, str(error))
    if named is not None:
        return Outgoing(NAMES_TOPIC, named.key, named.value, [], None)
    read = envelope.read_without_key(line)
    if isinstance(read, Refusal):
        return read
    value = line.removeprefix(cloudevents.BYTE_ORDER_MARK)
    if read.is_structured:
        return Outgoing(
            read.topic,
            read.key,
            value,
            [(cloudevents.CONTENT_TYPE, cloudevents.STRUCTURED)],
            read.occurred_at_ms,
        )
    try:
        members = _decode_members(value)
    except (msgspec.MsgspecError, RecursionError):  # the parsers differ, as on deep nesting
        return Outgoing(read.topic, read.key, value, [], read.occurred_at_ms)
    others = event_versions.in_headers(read.fields)
    rest = msgspec.json.encode(
        {name: member for name, member in members.items() if name not in others}
    )
    return Outgoing(
        read.topic, read.key, rest, envelope.headers_of(read.fields, read.key), read.occurred_at_ms
    )


_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""Decodes an object into its members by name, each as it is written."""


def _event_of_piece(piece: Piece) -> Outgoing | Refusal:
    if piece.value is None:
        return Refusal(Reason.TOO_LARGE, sentences.too_large(piece.size_bytes))
    return event_of(piece.value) if piece.value else Refusal(Reason.EMPTY_VALUE, "nothing is there")
