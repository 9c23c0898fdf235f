"""What `netsold import` reads.

The lines of files (or what a sample makes of them) as events for the log, or why one is none.

Events are checked by the decoder that also reads the log, so what is imported is accepted later.
Unknown fields are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from operations.files import foodmart
from operations.files import text as event_text
from operations.files.opening import opened, size_bytes
from operations.files.text import Piece
from schemas import cloudevents, envelope, events, limits, sentences
from schemas.refusals import Reason, Refusal

Layout = Literal["events", "foodmart"]
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event as a record for the log; `topic` is without the setting's prefix."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    occurred_at_ms: int


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of a file says.

    `at` says where (`file:12`, from 1, or `file[11]`, from 0, in an array).

    `done_bytes` is how much of all files is read by now.
    """

    at: str
    done_bytes: int
    event: Outgoing | Refusal


def lines(files: Sequence[str], layout: Layout) -> Iterator[Line]:
    """All lines of all files, or elements of arrays; blank lines are left out.

    Waits where standard input waits.

    Raises EventFileUnreadable of a file that can't be read to its end; of one that isn't there or
    is of another form, before the first line of all.
    """
    if layout == "foodmart":
        for path in files:
            for number, event in enumerate(foodmart.events(Path(path)), 1):
                yield Line(f"{path}:{number}", 0, event_of(msgspec.json.encode(event)))
        return
    event_text.check(files)
    before_bytes = 0
    for path in files:
        with opened(path) as (stream, read_bytes):
            for piece in event_text.pieces(path, stream, limits.VALUE_BYTES):
                yield Line(piece.at, before_bytes + read_bytes(), _event_of_piece(piece))
            before_bytes += read_bytes()


def total_bytes(files: Sequence[str], layout: Layout) -> int | None:
    """What `done_bytes` comes to at the end; None if that isn't known."""
    sizes = [size_bytes(path) for path in files] if layout == "events" else [None]
    return None if None in sizes else sum(size or 0 for size in sizes)


def event_of(line: bytes) -> Outgoing | Refusal:
    """The record for a line of JSON, bare or a structured CloudEvent.

    The decoder's refusal if it is no event.

    Every field is kept as it is written. A bare event becomes one in binary mode.
    """
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
    except (
        msgspec.MsgspecError,
        RecursionError,
    ):  # where the parsers differ, as with a deep stack: bare JSON can be read as well
        return Outgoing(read.topic, read.key, value, [], read.occurred_at_ms)
    common = events.common_of(read.fields["type"])
    rest = msgspec.json.encode(
        {name: member for name, member in members.items() if name not in common}
    )
    return Outgoing(
        read.topic, read.key, rest, envelope.headers_of(read.fields, read.key), read.occurred_at_ms
    )


_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""An object's members by name, each as it is written."""


def _event_of_piece(piece: Piece) -> Outgoing | Refusal:
    if piece.value is None:
        return Refusal(Reason.TOO_LARGE, sentences.too_large(piece.size_bytes))
    return event_of(piece.value) if piece.value else Refusal(Reason.EMPTY_VALUE, "nothing is there")
