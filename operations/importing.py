"""`netsold import`: events from files into the log, as CloudEvents under their orders' ids; bad lines are named and left out.

Events are checked by the decoder that also reads the log, so what is imported is accepted later. Unknown fields are kept.
Importing a file again changes no table (S11), so an import that was cut short is simply run again.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import typer

from operations import foodmart
from operations.cli import print_json
from operations.event_files import opened, size_bytes
from operations.local_kafka import named_cluster
from operations.progress import Meter
from schemas import envelope, events
from schemas.refusals import Refusal
from streams import topics
from streams.log import Writer
from streams.settings import Settings

INTERRUPTED: Final = 130
LOOK_EVERY: Final = 256

Layout = Literal["events", "foodmart"]
Headers = list[tuple[str, bytes]]


@dataclass(slots=True)
class Summary:
    """What was done: lines read (events made, for foodmart), written in all and by topic, refused.

    `at` is the last line as `file:number`.
    """

    lines: int = 0
    written: int = 0
    refused: int = 0
    topics: dict[str, int] = field(default_factory=dict)
    at: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a file as JSON; `at` says where, `done_bytes` how much of all files is read by now."""

    value: bytes
    at: str
    done_bytes: int


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


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="JSONL, plain or .gz, .bz2, .xz; - is standard input.")],
    layout: Annotated[Layout, typer.Option("--format", help="foodmart: FILE is a folder with that sample.")] = "events",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write events from files to the log; exit code 1 if any line was refused."""
    settings = named_cluster()
    summary = Summary()
    sizes = [size_bytes(path) for path in files] if layout == "events" else [None]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    began = time.monotonic()
    with Meter("bytes", total) as meter:
        stopped = asyncio.run(_import(settings, _lines(files, layout), summary, meter))
    summary.seconds = round(time.monotonic() - began, 3)
    if as_json:
        print_json(asdict(summary))
    else:
        where = ", ".join(f"{number} to {topic}" for topic, number in summary.topics.items())
        typer.echo(f"{summary.written} events{f' ({where})' if where else ''}, {summary.refused} lines refused")
    if stopped:
        typer.echo(f"netsold: stopped after {summary.at}; run it again from the start, what is there already changes nothing", err=True)
        raise typer.Exit(INTERRUPTED)
    if summary.refused:
        raise typer.Exit(1)


async def _import(settings: Settings, lines: Iterator[Line], summary: Summary, meter: Meter) -> bool:
    """Write all lines that are events; True if interrupted. What was handed to the writer is confirmed in any case."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await topics.require(settings)
    async with Writer(settings) as writer:
        for line in lines:
            summary.lines += 1
            summary.at = line.at
            record = record_of(line.value)
            if isinstance(record, Refusal):
                summary.refused += 1
                typer.echo(f"{line.at}: {record.reason}: {record.detail}", err=True)
            else:
                topic = settings.topic(record[0])
                await writer.send(topic, *record[1:])
                summary.written += 1
                summary.topics[topic] = summary.topics.get(topic, 0) + 1
            if not summary.lines % LOOK_EVERY:
                meter.at(line.done_bytes)
                await asyncio.sleep(0)  # lets a signal in
            if stop.is_set():
                return True
    return False


def record_of(line: bytes) -> tuple[str, bytes, bytes, Headers] | Refusal:
    """(topic without prefix, key, value, headers) of a line of JSON, bare or a structured CloudEvent.

    The decoder's refusal if it is no event.
    """
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
        return topic, key, line, [(envelope.CONTENT_TYPE, b"application/cloudevents+json")]
    return topic, *envelope.encode(fields)


def _fields(line: bytes) -> dict[str, Any]:
    """The line's object, or an empty one if it is none: then the decoder says what is wrong."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(files: Sequence[str], layout: Layout) -> Iterator[Line]:
    """All lines of all files; blank ones are left out."""
    if layout == "foodmart":
        for path in files:
            for number, event in enumerate(foodmart.events(Path(path)), 1):
                yield Line(msgspec.json.encode(event), f"{path}:{number}", 0)
        return
    before_bytes = 0
    for path in files:
        with opened(path) as (stream, read_bytes):
            for number, line in enumerate(stream, 1):
                if not line.isspace():
                    yield Line(line.rstrip(b"\r\n"), f"{path}:{number}", before_bytes + read_bytes())
            before_bytes += read_bytes()
