"""`netsold import`: events from files into the log, as CloudEvents under their orders' ids.

Bad lines are named and left out.

What is read, and how it is checked, stands in `event_lines`. Importing a file again changes no
table (S11), so an import that was cut short is simply run again.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Annotated, Final

import typer

from operations import interrupts
from operations.applied import until_applied
from operations.delivery import Delivered, Ended, deliver
from operations.feeding import Feed
from operations.files import lines as event_lines
from operations.files.lines import Layout, Line
from operations.files.opening import EventFileUnreadable
from operations.local.kafka import named_cluster
from operations.output import print_json
from operations.progress import Meter
from operations.waiting import GIVE_UP_AFTER, GiveUpAfter, Waiting, give_up_s
from schemas.ahead import in_the_future
from schemas.refusals import Refusal
from streams.log_writer import Writer
from streams.settings import Settings

PUSH_EVERY_S: Final = 0.5
"""So long at most an event that was read waits for others to go with it."""


@dataclass(slots=True)
class Summary:
    """What was done: lines read (events made, for foodmart) and refused.

    Events confirmed in all and by topic, and not confirmed.

    `at` is the last line as `file:number`: of those confirmed without a gap where the import ended
    early. `positions` has the last offset by source partition, as `min_position` takes it.
    """

    lines: int = 0
    written: int = 0
    refused: int = 0
    unconfirmed: int = 0
    topics: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    at: str = ""
    seconds: float = 0.0


def command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="JSONL or a JSON array, plain, gzip, bzip2 or xz; - is standard input.",
        ),
    ],
    layout: Annotated[
        Layout, typer.Option("--format", help="foodmart: FILE is a folder with that sample.")
    ] = "events",
    wait: Annotated[
        bool, typer.Option("--wait", help="Until the reader's tables hold it.")
    ] = False,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write events from files to the log; exit code 1 if any line was refused."""
    most_s = give_up_s(give_up_after)
    settings = named_cluster()
    began = time.monotonic()
    with Meter("bytes", event_lines.total_bytes(files, layout)) as meter:
        importing = _Import(files, layout, meter)
        asyncio.run(importing.run(settings, most_s))
    summary, failure = importing.summary, importing.failure
    try:
        if wait and failure is None:
            signal.signal(signal.SIGTERM, interrupts.leave)
            until_applied(settings, summary.positions, most_s)
    finally:
        summary.seconds = round(time.monotonic() - began, 3)
        _show(summary, as_json=as_json)
    if failure is not None:
        typer.echo(f"netsold: {failure}{_how_far(summary)}", err=True)
        raise typer.Exit(failure.exit_code)
    if summary.refused:
        raise typer.Exit(1)


def _how_far(summary: Summary) -> str:
    if not summary.lines:
        return ""
    verb = "isn't" if summary.unconfirmed == 1 else "aren't"
    left = (
        f"{_number(summary.unconfirmed, 'event')} {verb} confirmed; " if summary.unconfirmed else ""
    )
    here = (
        f"stopped after {summary.at}" if summary.at else "stopped before the first confirmed line"
    )
    return f"; {here}; {left}run it again from the start, what is there already changes nothing"


def _show(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(summary))
        return
    where = ", ".join(f"{number:,} to {topic}" for topic, number in summary.topics.items())
    typer.echo(
        f"{_number(summary.written, 'event')}{f' ({where})' if where else ''}, {_number(summary.refused, 'line')} refused"
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class _Import:
    """One import; `failure` is what ended it before everything was written."""

    def __init__(self, files: list[str], layout: Layout, meter: Meter) -> None:
        self.summary = Summary()
        self.failure: Ended | EventFileUnreadable | None = None
        self._files, self._layout, self._meter = files, layout, meter
        self._sent: deque[str] = deque()
        """Where the events stand that aren't confirmed in order, first to last."""
        self._confirmed = 0
        self._confirmed_at = ""

    async def run(self, settings: Settings, most_s: float) -> None:
        """Write all lines that are events. Raises TopicsUnfit, KafkaUnreachable."""
        waiting = Waiting(settings, most_s, self._meter.say)

        async def write(writer: Writer) -> bool:
            try:
                return await self._write(settings, writer, waiting.stop)
            except EventFileUnreadable as error:  # what was read before is written
                self.failure = error
                return True

        self._conclude(await deliver(settings, write, waiting))

    async def _write(self, settings: Settings, writer: Writer, stop: asyncio.Event) -> bool:
        """Send what is read; False if it was stopped before the end."""
        feed = Feed(event_lines.lines(self._files, self._layout))
        pushed_s = time.monotonic()
        while (lines := await feed.next(PUSH_EVERY_S)) is not None:
            for line in lines:
                await self._send(settings, writer, line)
            if lines:
                self._meter.at(lines[-1].done_bytes)
            self._confirm(writer.in_order)
            await asyncio.sleep(0)  # lets a signal in
            if stop.is_set():
                return False
            if not lines or time.monotonic() - pushed_s >= PUSH_EVERY_S:
                await writer.push()
                pushed_s = time.monotonic()
        return True

    async def _send(self, settings: Settings, writer: Writer, line: Line) -> None:
        summary, event = self.summary, line.event
        if not isinstance(
            event, Refusal
        ):  # the worker would refuse it likewise, by the time of its record
            event = (
                in_the_future(
                    event.occurred_at_ms,
                    time.time_ns() // 1_000_000,
                    settings.max_ahead_seconds * 1000,
                )
                or event
            )
        if isinstance(event, Refusal):
            summary.refused += 1
            self._meter.say(f"{line.at}: {event.reason}: {event.detail}")
        else:
            await writer.send(settings.topic(event.topic), event.key, event.value, event.headers)
            self._sent.append(line.at)
        summary.lines += 1
        summary.at = line.at

    def _confirm(self, in_order: int) -> None:
        while self._confirmed < in_order:
            self._confirmed_at = self._sent.popleft()
            self._confirmed += 1

    def _conclude(self, delivered: Delivered) -> None:
        summary = self.summary
        self._confirm(delivered.in_order)
        self.failure = self.failure or delivered.ended
        if delivered.unconfirmed:
            summary.at = self._confirmed_at
        summary.written = sum(delivered.written.values())
        summary.topics, summary.positions, summary.unconfirmed = (
            delivered.written,
            delivered.positions,
            delivered.unconfirmed,
        )
