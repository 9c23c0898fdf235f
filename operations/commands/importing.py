"""`netsold import`: writes events from files to the log, as CloudEvents with their orders' ids.

With a mapping, the files are those of other systems (`operations/mapping`), and a dry run writes
nothing. `--bridge` reads a topic of other systems instead (`operations/commands/bridging.py`).

Names of products and shops may be among them (`product_named`, `shop_named`).

Lines that are no events are reported and left out. `operations/writing/event_lines.py` reads and
checks the lines. Importing a file again changes no table (S11), so an import that ended early is
run again from the start; one with a mapping can be resumed.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Final

import typer

from operations import interrupts
from operations.arguments import ImportedFiles, Json, Resume
from operations.commands.dry_run import dry_run as dry_run_of
from operations.commands.mapped_import import mapped_files
from operations.files.opening import EventFileUnreadable
from operations.local.kafka import named_cluster
from operations.mapping.plan import read_mapping
from operations.output import print_error, print_json
from operations.progress import Meter
from operations.waiting import GIVE_UP_AFTER, GiveUpAfter, Waiting, answer, give_up_s
from operations.writing import event_lines
from operations.writing.applied import in_answered_log, until_applied
from operations.writing.delivery import Delivered, Ended, deliver
from operations.writing.event_lines import Layout, Line
from operations.writing.feed import Feed
from schemas.refusals import Refusal
from streams.log_writer import Writer
from streams.settings import Settings

PUSH_EVERY_S: Final = 0.5
"""How long an event that was read waits at most for others to be sent with it."""

KEEP_EVERY_S: Final = 0.5
"""How often an import that can be resumed keeps how many events are confirmed."""

AGAIN: Final = "run it again from the start, what is there already changes nothing"
RESUME: Final = "the same command with --resume continues"


@dataclass(slots=True)
class Summary:
    """The result of an import.

    `lines` counts the lines read (for foodmart, the events made), `refused` those that are no
    events, `written` and `topics` the events confirmed, in all and by topic. `positions` has the
    last offset by source partition, as `min_position` takes it. `at` is the last line as
    `file:number`; if the import ended early, the last one confirmed without a gap.
    `written_before` counts the events that the import which this one resumes had confirmed.
    """

    lines: int = 0
    written: int = 0
    refused: int = 0
    unconfirmed: int = 0
    topics: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    at: str = ""
    seconds: float = 0.0
    written_before: int = 0


def command(  # noqa: PLR0917 - an option each
    files: ImportedFiles = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="TOML: which columns make which events. FILE… are CSV, JSONL or Parquet.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="With --mapping: show what would result; write nothing."),
    ] = False,
    bridge: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC", help="With --mapping: read this topic of JSON, until Ctrl-C."
        ),
    ] = None,
    layout: Annotated[
        Layout, typer.Option("--format", help="foodmart: FILE is a folder with that sample.")
    ] = "events",
    wait: Annotated[
        bool, typer.Option("--wait", help="Until the reader's answers have it.")
    ] = False,
    resume: Resume = False,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    as_json: Json = False,
) -> None:
    """Write events from files to the log.

    Exit codes: 1 if any line was refused, 2 if the mapping doesn't fit, 3 if --dry-run finds that
    the files' own totals differ, 5 if Kafka gave no answer for --give-up-after, 130 after Ctrl-C.
    """
    _check_options(files, mapping, bridge, layout, dry_run=dry_run, wait=wait)
    if resume and (mapping is None or bridge is not None or dry_run):
        raise typer.BadParameter("--resume is of an import with --mapping")
    if mapping is not None and bridge is not None:
        from operations.commands.bridging import run_bridge

        run_bridge(named_cluster(), read_mapping(mapping), bridge, as_json=as_json)
        return
    paths = files or []
    with Meter("bytes", event_lines.total_bytes(paths, layout)) as meter:
        if mapping is None:
            importing = _Import(event_lines.lines(paths, layout), meter)
            _write_all(named_cluster(), importing, give_up_after, wait=wait, as_json=as_json)
        elif dry_run:
            dry_run_of(read_mapping(mapping), paths, meter, as_json=as_json)
            return
        else:
            settings = named_cluster()
            with mapped_files(settings, mapping, paths, resume=resume) as (mapped, is_kept):
                mapped.report = meter.at
                lines = chain(mapped.refusals(), mapped.lines())
                importing = _Import(lines, meter, mapped.confirmed if is_kept else None)
                importing.summary.written_before = mapped.confirmed_before
                _write_all(settings, importing, give_up_after, wait=wait, as_json=as_json)
    if importing.summary.refused:
        raise typer.Exit(1)


def _check_options(
    files: list[str] | None,
    mapping: Path | None,
    bridge: str | None,
    layout: Layout,
    *,
    dry_run: bool,
    wait: bool,
) -> None:
    """Raise typer.BadParameter where options don't belong together."""
    if bridge is not None and (mapping is None or files or dry_run or wait):
        raise typer.BadParameter("--bridge needs --mapping, and no FILE, --dry-run or --wait")
    if bridge is None and not files:
        raise typer.BadParameter("give a FILE, or - for standard input")
    if dry_run and mapping is None:
        raise typer.BadParameter("--dry-run needs --mapping: what would result of other files")
    if mapping is not None and layout != "events":
        raise typer.BadParameter("--format is of files without --mapping")


def _write_all(
    settings: Settings, importing: _Import, give_up_after: str, *, wait: bool, as_json: bool
) -> None:
    """Write what is among the lines. Raises typer.Exit if it ended early."""
    most_s = give_up_s(give_up_after)
    started_s = time.monotonic()
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
        # a file that is mended is another file
        can_resume = importing.can_resume and not isinstance(failure, EventFileUnreadable)
        print_error(f"netsold: {failure}{_how_far(summary, can_resume=can_resume)}")
        raise typer.Exit(failure.exit_code)


def _how_far(summary: Summary, *, can_resume: bool) -> str:
    """How much an import that ended early has written, as the rest of its sentence."""
    again = RESUME if can_resume else AGAIN
    if not summary.lines:
        return f"; {again}" if can_resume else ""
    verb = "isn't" if summary.unconfirmed == 1 else "aren't"
    left = (
        f"{_number(summary.unconfirmed, 'event')} {verb} confirmed; " if summary.unconfirmed else ""
    )
    here = (
        f"stopped after {summary.at}" if summary.at else "stopped before the first confirmed line"
    )
    return f"; {here}; {left}{again}"


def _show(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(summary))
        return
    where = ", ".join(f"{number:,} to {topic}" for topic, number in summary.topics.items())
    written, refused = _number(summary.written, "event"), _number(summary.refused, "line")
    before = summary.written_before
    earlier = f"; {_number(before, 'event')} had been written before" if before else ""
    typer.echo(f"{written}{f' ({where})' if where else ''}, {refused} refused{earlier}")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class _Import:
    """One import; `failure` is the error that ended it early, None if everything was written."""

    def __init__(
        self, lines: Iterator[Line], meter: Meter, keep: Callable[[int], None] | None = None
    ) -> None:
        """`keep` gets, now and then, how many lines from the first one on are done with."""
        self.summary = Summary()
        self.failure: Ended | EventFileUnreadable | None = None
        self.can_resume = keep is not None
        self._lines, self._meter, self._keep = lines, meter, keep
        self._kept_s = time.monotonic()
        self._sent: deque[tuple[int, str]] = deque()
        """The lines of the events that aren't confirmed in order yet, which and where."""
        self._confirmed = 0
        self._confirmed_line, self._confirmed_at = 0, ""

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
        feed = Feed(self._lines)
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
        summary = self.summary
        event = event_lines.by_now(line.event, settings.max_ahead_seconds)
        if isinstance(event, Refusal):
            summary.refused += 1
            self._meter.print(f"{line.at}: {event.reason}: {event.detail}")
        else:
            await writer.send(settings.topic(event.topic), event.key, event.value, event.headers)
            self._sent.append((summary.lines + 1, line.at))
        summary.lines += 1
        summary.at = line.at

    def _confirm(self, in_order: int, *, at_once: bool = False) -> None:
        while self._confirmed < in_order:
            self._confirmed_line, self._confirmed_at = self._sent.popleft()
            self._confirmed += 1
        if self._keep and (at_once or time.monotonic() - self._kept_s >= KEEP_EVERY_S):
            self._kept_s = time.monotonic()
            self._keep(self._confirmed_line)

    def _conclude(self, delivered: Delivered) -> None:
        summary = self.summary
        self._confirm(delivered.in_order, at_once=True)
        self.failure = self.failure or delivered.ended
        if delivered.unconfirmed:
            summary.at = self._confirmed_at
        summary.written = sum(delivered.written.values())
        summary.topics = delivered.written
        summary.positions = delivered.positions
        summary.unconfirmed = delivered.unconfirmed
