"""`netsold journal`: what changed in the sales journal since an instant, and which builds did it.

It is read from the topic `sales`: each record by when it was written, each row with the build that
its transaction's mark names, and with the rules that the row itself names.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Final

import typer

from operations.arguments import Json, VersionName
from operations.commands import journal_view
from operations.commands.journal_view import Span
from operations.output import print_error
from operations.progress import Meter
from operations.waiting import answer
from schemas import limits, times
from streams import log
from tables.catalogue import SALES_TOPIC
from tables.journal_changes import COLUMNS, Attribution, JournalSums, RowFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from streams.settings import Settings
    from tables.journal_changes import WrittenRow

DEFAULT_BY: Final = "product,cycle"
DEFAULT_GROUPS: Final = 20


def command(  # noqa: PLR0917 - typer's form
    since: Annotated[
        str, typer.Option(metavar="T", help="Written at or after it; ISO 8601 with zone.")
    ],
    until: Annotated[
        str | None, typer.Option(metavar="T", help="Written before it; else all until now.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help=f"What to sum by, with commas ({DEFAULT_BY}): {', '.join(COLUMNS)}.",
        ),
    ] = None,
    product: Annotated[
        str | None, typer.Option(metavar="ID", help="Only rows of this product.")
    ] = None,
    order: Annotated[
        str | None, typer.Option(metavar="ID", help="Only rows of this order: no service rows.")
    ] = None,
    shop: Annotated[str | None, typer.Option(metavar="ID", help="Only rows of this shop.")] = None,
    each: Annotated[bool, typer.Option("--each", help="List the rows instead of sums.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help=f"Most sums ({DEFAULT_GROUPS}), or most rows (all)."),
    ] = None,
    version: VersionName = None,
    as_json: Json = False,
) -> None:
    """Show what changed in sales since an instant, largest first, and by which build and rules.

    With --json, money is in minor units of its currency; with --each it is one object a row.
    """
    since_ms = _instant_ms(since, "--since")
    until_ms = None if until is None else _instant_ms(until, "--until")
    if since_ms > _now_ms():
        raise typer.BadParameter(f"{since} lies in the future", param_hint="--since")
    if until_ms is not None and until_ms <= since_ms:
        raise typer.BadParameter("it is not after --since", param_hint="--until")
    if each and by is not None:
        raise typer.BadParameter("--each sums nothing", param_hint="--by")
    columns = _columns(by or DEFAULT_BY)
    from operations.versions.pointed import named_version

    settings = named_version(version)
    span = answer(settings, _span(settings, since_ms, until_ms))
    wanted = RowFilter(since_ms, until_ms, product, order, shop)
    reading = _Reading(settings, span, wanted)
    if each:  # without a progress bar, which would print the rows to stderr
        print_row = journal_view.print_row_json if as_json else journal_view.print_row
        answer(settings, reading.show(limit, print_row), reading.pending)
        reading.report()
        return
    changes = JournalSums(columns)
    with reading.meter:
        answer(settings, reading.add_up(changes), reading.pending)
    reading.report()
    show_sums = journal_view.print_sums_json if as_json else journal_view.print_sums
    show_sums(span, columns, changes, limit or DEFAULT_GROUPS)


def _instant_ms(text: str, option: str) -> int:
    try:
        return times.parse_ms(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint=option) from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _columns(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in COLUMNS:
            sentence = f"{name!r} is none of {', '.join(COLUMNS)}"
            raise typer.BadParameter(sentence, param_hint="--by")
    return list(dict.fromkeys(names))


async def _span(settings: Settings, since_ms: int, until_ms: int | None) -> Span:
    """The offsets between two instants, or until now. Raises KafkaUnreachable.

    Rows are not strictly in the order of their times: a span may have rows of other instants.
    """
    topic = settings.topic(SALES_TOPIC)
    starts = await log.offsets_at(settings, [topic], since_ms)
    now_ms = _now_ms()
    beginnings, ends = await log.bounds(settings, [topic])
    if until_ms is not None:
        ends = await log.offsets_at(settings, [topic], until_ms + limits.JOURNAL_UNORDERED_MS)
    return Span(
        app=settings.app,
        topic=topic,
        since_ms=since_ms,
        until_ms=now_ms if until_ms is None else until_ms,
        starts={number: offset for (_, number), offset in starts.items()},
        ends={number: offset for (_, number), offset in ends.items()},
        cut=[
            number
            for (_, number), first in beginnings.items()
            if 0 < first == starts[topic, number]
        ],
    )


class _Reading:
    """Reads the wanted rows of a span of the journal, each with its build."""

    def __init__(self, settings: Settings, span: Span, wanted: RowFilter) -> None:
        self._settings, self._span, self._wanted = settings, span, wanted
        self._attribution = Attribution(span.topic)
        self._count = 0
        total = sum(max(0, end - span.starts[number]) for number, end in span.ends.items())
        self.meter = Meter("records", total)

    def pending(self) -> tuple[object, str]:
        """The number of records read so far, for `operations/waiting.py`."""
        return self._count, f"{self._count:,} records read"

    def report(self) -> None:
        """Print what is missing on stderr."""
        span, attribution = self._span, self._attribution
        for number in span.cut:
            print_error(
                f"netsold: {span.topic}-{number} begins at offset {span.starts[number]}:"
                " rows that were written since, but are no longer in the log, are missing"
            )
        if attribution.unreadable:
            print_error(
                f"netsold: {attribution.unreadable:,} records are no rows of the journal,"
                f" the first is {attribution.first_unreadable}"
            )

    async def show(self, limit: int | None, print_row: Callable[[WrittenRow], None]) -> None:
        """Show each row, at most `limit`."""
        shown = 0
        async with aclosing(self._rows()) as found:
            async for rows in found:
                for written in filter(self._wanted.selects, rows):
                    print_row(written)
                    shown += 1
                    if shown == limit:
                        return

    async def add_up(self, changes: JournalSums) -> None:
        """Add up all rows. Raises TooManyGroups."""
        async with aclosing(self._rows()) as found:
            async for rows in found:
                for written in filter(self._wanted.selects, rows):
                    changes.add(written)

    async def _rows(self) -> AsyncGenerator[list[WrittenRow], None]:
        """The rows, each once its build is known."""
        span, attribution = self._span, self._attribution
        reading = log.records(self._settings, span.topic, span.starts, span.ends)
        async with aclosing(reading) as found:
            async for records in found:
                self._read(len(records))
                yield [
                    row for record in records for row in attribution.add(record.partition, record)
                ]
        if attribution.waiting:
            async for rows in self._rows_across_the_ends():
                yield rows
        yield attribution.unattributed()

    async def _rows_across_the_ends(self) -> AsyncGenerator[list[WrittenRow], None]:
        """The rows of transactions whose marks lie behind the ends of the span.

        They were delivered, so they are committed, and the marks are in the log by now.
        """
        attribution = self._attribution
        highs = await log.ends(self._settings, [self._span.topic])
        ends = {number: high for (_, number), high in highs.items()}
        starts = {
            number: self._span.ends[number] if number in attribution.waiting else end
            for number, end in ends.items()
        }
        reading = log.records(self._settings, self._span.topic, starts, ends)
        async with aclosing(reading) as found:
            async for records in found:
                self._read(len(records))
                yield [
                    row
                    for record in records
                    if record.key is None  # a mark, and no row that was written later
                    for row in attribution.add(record.partition, record)
                ]
                if not attribution.waiting:
                    return

    def _read(self, records: int) -> None:
        self._count += records
        self.meter.at(self._count)
