"""All tables as JSON lines.

At most a few exports at once, which take turns in one thread, so that all else is answered
meanwhile.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from fastapi.responses import StreamingResponse

from schemas import limits
from serving.problems import Kind, Refused
from serving.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from serving.look import Look

EXPORT_S: Final = 3600.0
"""The longest that one may last; a client that stops reading is cut off much earlier
(serving/connections.py)."""

_TOO_LONG: Final = Seldom(
    f"an export was broken off, as its reader took longer than {EXPORT_S:.0f} s"
)


class JsonLines(StreamingResponse):
    """One JSON object a line, LF after each.

    `application/x-ndjson`, the name that most tools know.
    """

    media_type = "application/x-ndjson"


class Exports:
    """The exports of one app that are under way."""

    def __init__(self, most: int = limits.EXPORTS) -> None:
        self.most = most
        self.under_way = 0
        self._turns = CapacityLimiter(1)

    @contextmanager
    def one_more(self) -> Iterator[Exports]:
        """Count an export while it lasts.

        Raises Refused where there are as many as there may be.
        """
        if self.under_way >= self.most:
            raise Refused(
                Kind.BUSY,
                f"{self.under_way} exports are under way, and no more may be at once: try again when one is over",
            )
        self.under_way += 1
        try:
            yield self
        finally:
            self.under_way -= 1

    async def chunks(self, look: Look) -> AsyncIterator[bytes]:
        """A look's export in chunks of whole lines.

        Without the last line, `end`, it is broken off.
        """
        lines = _chunks(look)
        latest_s = time.monotonic() + EXPORT_S
        try:
            while chunk := await to_thread.run_sync(next, lines, b"", limiter=self._turns):
                yield chunk
                if time.monotonic() > latest_s:
                    _TOO_LONG.say()
                    return
        finally:
            lines.close()


async def _one_more(request: Request) -> AsyncIterator[Exports]:
    exports: Exports = request.app.state.exports
    with exports.one_more():
        yield exports


OneMore = Annotated[Exports, Depends(_one_more)]
"""The exports with this request's among them, until its answer is sent or its connection lost."""


def _chunks(look: Look) -> Generator[bytes]:
    chunk, rows = bytearray(), 0
    for part, row in look.export():
        chunk += msgspec.json.encode({part: row}) + b"\n"
        rows += 1
        if len(chunk) >= limits.EXPORT_CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    freshness = look.freshness(look.standing.least()).model_dump()
    yield (
        bytes(chunk) + msgspec.json.encode({"end": {"rows": rows, "freshness": freshness}}) + b"\n"
    )
