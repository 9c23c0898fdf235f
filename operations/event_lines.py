"""What `netsold import` reads: the lines of files (or what a sample makes of them) as events for the log, or why one is none.

Events are checked by the decoder that also reads the log, so what is imported is accepted later. Unknown fields are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from operations import foodmart
from operations.event_files import opened, size_bytes
from schemas import envelope, events
from schemas.refusals import Refusal

Layout = Literal["events", "foodmart"]
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event as a record for the log; `topic` is without the setting's prefix."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of a file says; `at` says where (`file:number`), `done_bytes` how much of all files is read by now."""

    at: str
    done_bytes: int
    event: Outgoing | Refusal


def lines(files: Sequence[str], layout: Layout) -> Iterator[Line]:
    """All lines of all files, read as they are asked for; blank ones are left out. Waits where standard input waits.

    Raises EventFileUnreadable of a file that can't be read at all or to its end.
    """
    if layout == "foodmart":
        for path in files:
            for number, event in enumerate(foodmart.events(Path(path)), 1):
                yield Line(f"{path}:{number}", 0, event_of(msgspec.json.encode(event)))
        return
    before_bytes = 0
    for path in files:
        with opened(path) as (stream, read_bytes):
            for number, line in enumerate(stream, 1):
                if not line.isspace():
                    yield Line(f"{path}:{number}", before_bytes + read_bytes(), event_of(line.rstrip(b"\r\n")))
            before_bytes += read_bytes()


def total_bytes(files: Sequence[str], layout: Layout) -> int | None:
    """What `done_bytes` comes to at the end; None if that isn't known."""
    sizes = [size_bytes(path) for path in files] if layout == "events" else [None]
    return None if None in sizes else sum(size or 0 for size in sizes)


@dataclass(frozen=True, slots=True)
class _Bare:
    """A line as the decoder takes it: as if it were a record of bare JSON under the right key."""

    value: bytes
    key: bytes
    topic: str = ""
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


def event_of(line: bytes) -> Outgoing | Refusal:
    """The record for a line of JSON, bare or a structured CloudEvent; the decoder's refusal if it is no event."""
    fields = _fields(line)
    data = fields.get("data")
    structured = "specversion" in fields
    told = {**(data if isinstance(data, dict) else {}), **fields} if structured else fields
    if told.get("type") in events.CHAT_TYPES:
        topic, key = "chats", envelope.conversation(str(told.get("shop_id")), str(told.get("buyer_id")))
        read: object = envelope.read_chat(_Bare(line, key))
    else:
        order_id = fields.get("subject") or told.get("order_id") if structured else told.get("order_id")
        topic, key = "orders", order_id.encode() if order_id and isinstance(order_id, str) else b"?"
        read = envelope.read(_Bare(line, key))
    if isinstance(read, Refusal):
        return read
    if structured:
        return Outgoing(topic, key, line, [(envelope.CONTENT_TYPE, b"application/cloudevents+json")])
    return Outgoing(topic, *envelope.encode(fields))


def _fields(line: bytes) -> dict[str, Any]:
    """The line's object, or an empty one if it is none: then the decoder says what is wrong."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
