"""One client's stream of server-sent events: what waits to be sent, and how it is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from schemas import http_limits
from schemas.positions import offset_after
from schemas.tokens import Scope
from serving import metrics
from serving.channels import Channel, tables_of
from serving.event_ids import written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from serving.answers import Answers
    from serving.entries import Entries, JournalView

HEARTBEAT_S: Final = 15.0
RETRY_MS: Final = 2000
"""After which time a browser connects again."""

FRESHNESS: Final = Channel("freshness", "", Scope.READ, (), ())
"""The channel of every stream."""

_HINT: Final = format_sse_event(retry=RETRY_MS)


class Source(NamedTuple):
    """What a stream reads entries from.

    `read` gives the journal as the tables have it now, None while they are incomplete. `journal` is
    the name of its topic, `log` the log's tag.
    """

    read: Callable[[], JournalView | None]
    journal: str
    log: str


class Stream:
    """What one client watches, and what waits for it: at most one event of each channel.

    `may_go_on` is false once its client's token is revoked.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        entries: Entries,
        source: Source,
        may_go_on: Callable[[], bool],
    ) -> None:
        self.channels = channels
        self.entries = entries
        self.names = tables_of(channels)
        self.has_begun = False
        self.begins_after = 0
        """The step that its first states must contain, as `Changes` counts them."""

        self.may_go_on = may_go_on
        self._source = source
        self._sources = b""
        self._pending: dict[Channel, bytes] = {}
        self._wake = asyncio.Event()
        self._is_closed = False

    def begin(self, answers: Answers) -> None:
        """Begin with the tables' state in a snapshot."""
        self.entries.begin(answers.progress)
        self.has_begun = True

    def put(self, channel: Channel, event: bytes, sources: bytes | None) -> None:
        """Send an event as soon as the client can have it, in place of an older one of its channel.

        `sources` are the source offsets that the tables contain now, None if that is unknown.
        """
        if channel in self._pending:
            metrics.SUPERSEDED.inc()
        self._pending[channel] = event
        if sources is not None:
            self._sources = sources
        self._wake.set()

    def wake(self) -> None:
        """Look for entries to send."""
        self._wake.set()

    def close(self) -> None:
        """End the stream."""
        self._is_closed = True
        self._wake.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream's bytes, each chunk made when the former was passed to the connection."""
        yield _HINT
        while not self._is_closed:
            self._wake.clear()
            if chunk := self.next_chunk():
                yield chunk
                await asyncio.sleep(0)  # a client that reads fast must not have all turns
                self._wake.set()
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._wake.wait()
            except TimeoutError:
                yield KEEPALIVE_COMMENT

    def next_chunk(self) -> bytes:
        """The next events; empty if none waits."""
        chunk = bytearray()
        while self._pending and len(chunk) < http_limits.STREAM_CHUNK_BYTES:
            channel = next(iter(self._pending))
            chunk += self._with_id(channel, self._pending.pop(channel))
        if not chunk and self.has_begun and self.entries.is_behind:
            journal = self._source.read()
            if journal is not None:
                for unsent in self.entries.read(journal):
                    chunk += self._with_id(
                        unsent.channel, journal.event(unsent.channel, unsent.value)
                    )
        return bytes(chunk)

    def _with_id(self, channel: Channel, event: bytes) -> bytes:
        metrics.STREAM_EVENTS.labels(channel.event).inc()
        id_ = self._sources
        if self.entries.sent:
            journal = self._source.journal
            sent = {
                f"{journal}-{number}": offset_after(at) for number, at in self.entries.sent.items()
            }
            id_ = b",".join(filter(None, (id_, written(sent))))
        return b"%bid: %b@%b\n\n" % (event, id_, self._source.log.encode())
