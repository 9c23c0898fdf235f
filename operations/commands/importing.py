"""`netsold import`: writes events from files to the log, as CloudEvents with their orders' ids.

Names of products and shops may be among them (`product_named`, `shop_named`).

Lines that are no events are reported and left out. `operations/writing/event_lines.py` reads and
checks the lines. Importing a file again changes no table (S11), so an import that ended early is
run again from the start.
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
from operations.arguments import EventFiles, Json
from operations.files.opening import EventFileUnreadable
from operations.local.kafka import named_cluster
from operations.output import print_error, print_json
from operations.progress import Meter
from operations.waiting import GIVE_UP_AFTER, GiveUpAfter, Waiting, answer, give_up_s
from operations.writing import event_lines
from operations.writing.applied import in_answered_log, until_applied
from operations.writing.delivery import Delivered, Ended, deliver
from operations.writing.event_lines import Layout, Line
from operations.writing.feed import Feed
from schemas.ahead import in_the_future
from schemas.refusals import Refusal
from streams.log_writer import Writer
from streams.settings import Settings

PUSH_EVERY_S: Final = 0.5
"""How long an event that was read waits at most for others to be sent with it."""


@dataclass(slots=True)
class Summary:
    """The result of an import.

    `lines` counts the lines read (for foodmart, the events made), `refused` those that are no
    events, `written` and `topics` the events confirmed, in all and by topic. `positions` has the
    last offset by source partition, as `min_position` takes it. `at` is the last line as
    `file:number`; if the import ended early, the last one confirmed without a gap.
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
    files: EventFiles,
    layout: Annotated[
        Layout, typer.Option("--format", help="foodmart: FILE is a folder with that sample.")
    ] = "events",
    wait: Annotated[
        bool, typer.Option("--wait", help="Until the reader's answers have it.")
    ] = False,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    as_json: Json = False,
) -> None:
    """Write events from files to the log; exit code 1 if any line was refused."""
    most_s = give_up_s(give_up_after)
    settings = named_cluster()
    started_s = time.monotonic()
    with Meter("bytes", event_lines.total_bytes(files, layout)) as meter:
        importing = _Import(files, layout, meter)
        asyncio.run(importing.run(settings, most_s))
    summary, failure = importing.summary, importing.failure
    try:
        if wait and failure is None:
            signal.signal(signal.SIGTERM, interrupts.leave)
            work = in_answered_log(settings, summary.positions, most_s)
            answered, positions = answer(settings, work, lambda: None)
            until_applied(answered, positions, most_s)
    finally:
        summary.seconds = round(time.monotonic() - started_s, 3)
        _show(summary, as_json=as_json)
    if failure is not None:
        print_error(f"netsold: {failure}{_how_far(summary)}")
        raise typer.Exit(failure.exit_code)
    if summary.refused:
        raise typer.Exit(1)


def _how_far(summary: Summary) -> str:
    """How much an import that ended early has written, as the rest of its sentence."""
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
    written, refused = _number(summary.written, "event"), _number(summary.refused, "line")
    typer.echo(f"{written}{f' ({where})' if where else ''}, {refused} refused")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class _Import:
    """One import; `failure` is the error that ended it early, None if everything was written."""

    def __init__(self, files: list[str], layout: Layout, meter: Meter) -> None:
        self.summary = Summary()
        self.failure: Ended | EventFileUnreadable | None = None
        self._files, self._layout, self._meter = files, layout, meter
        self._sent: deque[str] = deque()
        """The lines of the events that aren't confirmed in order yet, first to last."""
        self._confirmed = 0
        self._confirmed_at = ""

    async def run(self, settings: Settings, most_s: float) -> None:
        """Write all lines that are events. Raises TopicsUnfit, KafkaUnreachable."""
        waiting = Waiting(settings, most_s, self._meter.print)

        async def write(writer: Writer) -> bool:
            try:
                return await self._write(settings, writer, waiting.stop)
            except EventFileUnreadable as error:  # the lines before the error are written
                self.failure = error
                return True

        self._conclude(await deliver(settings, write, waiting))

    async def _write(self, settings: Settings, writer: Writer, stop: asyncio.Event) -> bool:
        """Send all lines; False if a signal stopped it before the end."""
        feed = Feed(event_lines.lines(self._files, self._layout))
        pushed_s = time.monotonic()
        while (lines := await feed.next(PUSH_EVERY_S)) is not None:
            for line in lines:
                await self._send(settings, writer, line)
            if lines:
                self._meter.at(lines[-1].done_bytes)
            self._confirm(writer.in_order)
            await asyncio.sleep(0)  # lets a signal be handled
            if stop.is_set():
                return False
            if not lines or time.monotonic() - pushed_s >= PUSH_EVERY_S:
                await writer.push()
                pushed_s = time.monotonic()
        return True

    async def _send(self, settings: Settings, writer: Writer, line: Line) -> None:
        summary, event = self.summary, line.event
        if not isinstance(event, Refusal) and event.occurred_at_ms is not None:
            now_ms, most_ahead_ms = time.time_ns() // 1_000_000, settings.max_ahead_seconds * 1000
            # The worker would refuse it, too, by its record's time.
            event = in_the_future(event.occurred_at_ms, now_ms, most_ahead_ms) or event
        if isinstance(event, Refusal):
            summary.refused += 1
            self._meter.print(f"{line.at}: {event.reason}: {event.detail}")
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
        summary.topics = delivered.written
        summary.positions = delivered.positions
        summary.unconfirmed = delivered.unconfirmed
