"""What a request wants of an earlier moment, and the snapshot and the bounds that answer it.

`known_at` becomes an offset of each source partition, by the time at which records were written.
Without it the bounds are those of the table's own mark, so that sums equal the table's row.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from fastapi import Depends, Query

from schemas import times
from schemas.past_answers import MomentAnswer
from schemas.positions import offset_after
from serving.past_sales import Unsettled
from serving.problems import Kind, ProblemRaised, invalid, quoted
from serving.progress import SALES_JOURNAL
from serving.requests import INSTANT, instant_of
from streams.partitioning import partition_of
from tables.catalogue import ORDERS_TOPIC, find_table
from tables.time_travel import Moment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from serving.answers import Answers
    from serving.reader import Reader
    from serving.requests import FreshnessWanted
    from serving.subjects import Subject

SETTLE_S: Final = 3.0
"""How long a request waits for the journal and the tables to reach the same events."""

STEP_S: Final = 0.5
"""The longest wait for one step of the reader: two arrive a second."""

KnownAt = Annotated[
    str | None,
    Query(
        description="RFC 3339 with zone: only events that stood in the log by then (log time)."
        " A page of that time showed less where workers were behind.",
        json_schema_extra=INSTANT,
    ),
]
AsOf = Annotated[
    str | None,
    Query(
        description="RFC 3339 with zone: only what had happened by then (event time).",
        json_schema_extra=INSTANT,
    ),
]
Answer = TypeVar("Answer")


class PastWanted:
    """The moment that a request wants."""

    def __init__(self, known_at: KnownAt = None, as_of: AsOf = None) -> None:
        self.known_at_ms = None if known_at is None else instant_of("known_at", known_at)
        self.as_of_ms = None if as_of is None else instant_of("as_of", as_of)

    @property
    def given(self) -> bool:
        """Whether it is an earlier moment at all."""
        return self.known_at_ms is not None or self.as_of_ms is not None


Past = Annotated[PastWanted, Depends()]


async def moment_of(
    wanted: FreshnessWanted, past: PastWanted, subject: Subject[Any], id_: str | None
) -> tuple[Answers, Moment]:
    """A snapshot and the moment in it, for an answer about an id, or about all if None.

    Raises Unsettled, ProblemRaised, NotReady.
    """
    reader = wanted.reader
    bounds = None
    if past.known_at_ms is not None:
        bounds = await known_bounds(reader, past.known_at_ms)
    answers = await wanted.answers(*subject.tables)
    if bounds is None:
        bounds = _table_bounds(reader, answers, subject.keyed_by, id_)
    return answers, Moment(bounds, past.as_of_ms)


async def settled(reader: Reader, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    """The result of an attempt, which is repeated after the reader's next steps if Unsettled.

    Raises ProblemRaised where it stays so.
    """
    latest_s = time.monotonic() + SETTLE_S
    while True:
        try:
            return await attempt()
        except Unsettled as error:
            if time.monotonic() > latest_s:
                raise ProblemRaised(
                    Kind.NOT_READY, f"waited {SETTLE_S:g} s: {error}; ask again later"
                ) from error
        with suppress(TimeoutError):
            async with asyncio.timeout(STEP_S):
                await reader.change()


def moment_answer(reader: Reader, past: PastWanted, moment: Moment) -> MomentAnswer:
    """A moment as it is answered."""
    topic = reader.settings.topic(ORDERS_TOPIC)
    return MomentAnswer(
        known_at=None if past.known_at_ms is None else times.format_ms(past.known_at_ms),
        as_of=None if past.as_of_ms is None else times.format_ms(past.as_of_ms),
        included={
            f"{topic}-{partition}": end - 1 for partition, end in sorted(moment.bounds.items())
        },
    )


async def known_bounds(reader: Reader, known_at_ms: int) -> dict[int, int]:
    """By source partition, the first offset written after an instant, once all before are applied.

    Raises ProblemRaised where the log doesn't reach that far, or the journal is not there yet.
    """
    text = times.format_ms(known_at_ms)
    if known_at_ms > reader.now_ms():
        raise invalid("known_at", f"{text} is in the future: nobody knows what the log will hold")
    found = await reader.written_by(known_at_ms)
    topic = reader.settings.topic(ORDERS_TOPIC)
    for (name, partition), one in found.items():
        if one.beginning > 0 and name != topic:
            raise invalid(
                "known_at",
                f"{name}-{partition} begins with offset {one.beginning:,}, as older records were"
                " deleted: its sums are not those of any moment; keep it whole and rebuild",
            )
        if one.beginning > 0 and one.end <= one.beginning:
            begins = "" if one.next_ms is None else f" at {times.format_ms(one.next_ms)}"
            raise invalid(
                "known_at",
                f"{text} is before the log of {name}-{partition}, which begins{begins} with offset"
                f" {one.beginning:,}, as older events were deleted: choose a later instant",
            )
    ends = {at: one.end for at, one in found.items() if at[0] == topic}
    missing = await reader.unjournalled(ends, SETTLE_S)
    if missing:
        raise ProblemRaised(
            Kind.NOT_APPLIED, f"the reader hasn't yet applied all before {text}: {missing}"
        )
    return {partition: end for (_, partition), end in ends.items()}


def _table_bounds(
    reader: Reader, answers: Answers, keyed_by: str, id_: str | None
) -> dict[int, int]:
    """By source partition, the first offset that a row's table partition doesn't include.

    Of all ids, that the whole table doesn't include. Raises Unsettled unless the journal has all
    before it.
    """
    table = find_table(keyed_by, "sales", windowed=True)
    if table is None:
        raise LookupError(f"no table has the sales by {keyed_by}")
    progress = answers.progress
    journal: Mapping[str, int] = progress.of(SALES_JOURNAL).applied
    if id_ is None:
        found = progress.of(table.name).applied
    else:
        partition = partition_of(id_.encode(), reader.settings.partitions)
        sources = progress.partitions[table.name][partition].sources
        found = {source: one.offset for source, one in sources.items()}
        if keyed_by == "product_id":  # its entries are in one partition of the journal
            own = progress.partitions[SALES_JOURNAL][partition].sources
            journal = {source: one.offset for source, one in own.items()}
    for source, offset in found.items():
        if _partition(reader, source) is not None and journal.get(source, -1) < offset:
            raise Unsettled(
                f"the reader has the journal of {source} until offset"
                f" {journal.get(source, -1):,} and the table until {offset:,}"
            )
    return bounds_of(reader, found)


def bounds_of(reader: Reader, applied: Mapping[str, int]) -> dict[int, int]:
    """The bounds of what is applied until these offsets, of the partitions of orders among them."""
    return {
        partition: offset_after(offset)
        for source, offset in applied.items()
        if (partition := _partition(reader, source)) is not None
    }


def _partition(reader: Reader, source: str) -> int | None:
    """The number of a source partition of orders; None for one of another topic."""
    name, _, number = source.rpartition("-")
    return int(number) if name == reader.settings.topic(ORDERS_TOPIC) else None


def refuse_cursor(cursor: str | None) -> None:
    """Raise ProblemRaised where another page of a list of an earlier moment is asked for."""
    if cursor is not None:
        raise invalid(
            "cursor", f"{quoted(cursor)}: a list of an earlier moment has one page; raise `limit`"
        )
