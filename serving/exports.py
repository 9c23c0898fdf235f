"""All tables as JSON lines, in the form of a report.

At most a few exports run at once. They take turns in one thread, so that other requests are
answered meanwhile.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from fastapi.responses import StreamingResponse

from schemas import http_limits
from serving import keys
from serving.problems import Kind, ProblemRaised
from serving.rare_log import RareWarning
from tables import sales
from tables.catalogue import REPORT_LISTS
from tables.report import all_time, rows_of, sales_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from serving.answers import Answers
    from tables.catalogue import Table
    from tables.report import ReportRow

    RowShown = Callable[[ReportRow], ReportRow]

EXPORT_S: Final = 3600.0
"""The longest export; a client that stops reading is disconnected much earlier
(serving/connections.py)."""

_TOO_LONG: Final = RareWarning(
    f"an export was cut off, as its client took longer than {EXPORT_S:.0f} s"
)


class JsonLines(StreamingResponse):
    """One JSON object a line, LF after each.

    `application/x-ndjson`, the media type that most tools know.
    """

    media_type = "application/x-ndjson"


class Exports:
    """The running exports of one app."""

    def __init__(self, most: int = http_limits.EXPORTS) -> None:
        self.most = most
        self.running = 0
        self._turns = CapacityLimiter(1)

    @contextmanager
    def one_more(self) -> Iterator[Exports]:
        """Count an export while it runs.

        Raises ProblemRaised where as many run as may.
        """
        if self.running >= self.most:
            raise ProblemRaised(
                Kind.BUSY,
                f"{self.running} exports are running, the most at once: try again when one ends",
            )
        self.running += 1
        try:
            yield self
        finally:
            self.running -= 1

    async def chunks(self, answers: Answers, shown: RowShown) -> AsyncIterator[bytes]:
        """The export of a snapshot in chunks of whole lines, each row as `shown` gives it.

        It is complete only if its last line is `end`.
        """
        lines = _chunks(answers, shown)
        latest_s = time.monotonic() + EXPORT_S
        try:
            while chunk := await to_thread.run_sync(next, lines, b"", limiter=self._turns):
                yield chunk
                if time.monotonic() > latest_s:
                    _TOO_LONG.log()
                    return
        finally:
            lines.close()


async def _one_more(request: Request) -> AsyncIterator[Exports]:
    exports: Exports = request.app.state.exports
    with exports.one_more():
        yield exports


OneMore = Annotated[Exports, Depends(_one_more)]
"""The exports, this request's counted among them until its answer is sent or the client is
disconnected."""


def _chunks(answers: Answers, shown: RowShown) -> Generator[bytes]:
    chunk, count = bytearray(), 0
    for name, row in exported_rows(answers):
        chunk += msgspec.json.encode({name: shown(row)}) + b"\n"
        count += 1
        if len(chunk) >= http_limits.EXPORT_CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    freshness = answers.freshness(answers.progress.of_all()).model_dump()
    yield (
        bytes(chunk) + msgspec.json.encode({"end": {"rows": count, "freshness": freshness}}) + b"\n"
    )


def exported_rows(answers: Answers) -> Iterator[tuple[str, ReportRow]]:
    """All rows of a report, in no particular order: (name of the list, row)."""
    for name, table in REPORT_LISTS.items():
        rows = _sales_rows if table.form == "sales" else _other_rows
        for row in rows(answers, table):
            yield name, row


def _sales_rows(answers: Answers, table: Table) -> Iterator[ReportRow]:
    stored = answers.snapshot.walk(keys.space(table))
    for id_, rows in groupby(stored, key=lambda row: keys.split_row(row[0])[0]):
        cycles = {keys.split_row(key)[1]: sales.decode(state) for key, state in rows}
        yield from sales_rows(answers.terms, table, id_.decode(), cycles, all_time(cycles))


def _other_rows(answers: Answers, table: Table) -> Iterator[ReportRow]:
    space = keys.space(table)
    for key, state in answers.snapshot.walk(space):
        id_, start_ms = keys.split_row(key) if table.windowed else (key[len(space) :], None)
        yield from rows_of(answers.calendar, table, id_.decode(), start_ms, state)
