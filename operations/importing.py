"""`netsold import`: events from files into the log, as CloudEvents under their orders' ids; bad lines are named and left out.

What is read, and how it is checked, stands in `event_lines`. Importing a file again changes no table (S11), so an import that was cut short is simply run again.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Annotated, Final

import typer

from operations import event_lines
from operations.cli import print_json
from operations.event_lines import Layout, Line
from operations.local_kafka import named_cluster
from operations.progress import Meter
from schemas.refusals import Refusal
from streams import topics
from streams.log import Writer
from streams.settings import Settings

INTERRUPTED: Final = 130
LOOK_EVERY: Final = 256


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


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="JSONL, plain or .gz, .bz2, .xz; - is standard input.")],
    layout: Annotated[Layout, typer.Option("--format", help="foodmart: FILE is a folder with that sample.")] = "events",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write events from files to the log; exit code 1 if any line was refused."""
    settings = named_cluster()
    summary = Summary()
    began = time.monotonic()
    with Meter("bytes", event_lines.total_bytes(files, layout)) as meter:
        stopped = asyncio.run(_import(settings, event_lines.lines(files, layout), summary, meter))
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
            event = line.event
            if isinstance(event, Refusal):
                summary.refused += 1
                typer.echo(f"{line.at}: {event.reason}: {event.detail}", err=True)
            else:
                topic = settings.topic(event.topic)
                await writer.send(topic, event.key, event.value, event.headers)
                summary.written += 1
                summary.topics[topic] = summary.topics.get(topic, 0) + 1
            if not summary.lines % LOOK_EVERY:
                meter.at(line.done_bytes)
                await asyncio.sleep(0)  # lets a signal in
            if stop.is_set():
                return True
    return False
