"""Bounds on connections: their number, and the time to send a request or to read an answer.

uvicorn bounds none of these: a client that sends nothing or half a head, or reads nothing, stays
connected as long as it likes, and asyncio accepts connections until the process has no file handle
left.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol, RequestResponseCycle

from schemas import http_limits, limits
from serving import metrics
from serving.problems import Kind, ProblemRaised, response
from serving.rare_log import RareWarning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn.config import Config
    from uvicorn.server import ServerState


STREAM_PATH: Final = "/v1/stream"


class Bounds(NamedTuple):
    """Connections at once; seconds for a request's head, idle, and for UNREAD_ANSWER_BYTES."""

    connections: int
    head_s: float = 10.0
    idle_s: int = 30
    unread_s: float = 15.0

    @classmethod
    def of_handles(cls, handles: int) -> Bounds:
        """The bounds of a process with this limit of handles."""
        return cls(min(limits.CONNECTIONS, max(handles // 2, handles - limits.RESERVED_HANDLES)))

    @property
    def streams(self) -> int:
        """Most streams of events: they leave connections for other requests."""
        return min(limits.STREAMS, self.connections * limits.STREAMS // limits.CONNECTIONS)


def _closed(why: str, sentence: str) -> RareWarning:
    return RareWarning(sentence, metrics.CLOSED.labels(why))


_MADE_ROOM: Final = _closed(
    "room",
    "a connection without a request was closed to make room for another:"
    " there are as many as may be",
)
_SLOW_HEAD: Final = _closed(
    "slow_head", "a connection was closed, as the head of its request didn't come in time"
)
_UNREAD: Final = _closed("unread", "a connection was closed, as its client didn't read its answer")
_NO_HANDLES: Final = RareWarning(
    "no connection can be accepted: the process has no handle left (`ulimit -n`)"
)
_BUSY: Final = RareWarning(
    "a request was refused: there are as many connections as may be, and all are being answered"
)


class Crowd:
    """The connections of one server.

    With too many, the one that has been idle longest is closed.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._idle: dict[Connection, None] = {}

    def admits(self, connections: int) -> bool:
        """Whether the last of this number of connections may be answered.

        It may if there are few enough, or an idle one could be closed.
        """
        return connections <= self.bounds.connections or self._make_room()

    def add_idle(self, connection: Connection) -> None:
        """Note that a connection has no request; if it had none before, it keeps its place."""
        self._idle.setdefault(connection)

    def remove_idle(self, connection: Connection) -> None:
        """Note that a connection has a request, or is closed."""
        self._idle.pop(connection, None)

    def _make_room(self) -> bool:
        if not self._idle:
            return False
        all_read = (one for one in self._idle if not one.transport.get_write_buffer_size())
        one = next(all_read, None) or next(iter(self._idle))
        del self._idle[one]
        one.transport.abort()
        _MADE_ROOM.log()
        return True

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Asyncio's handler of errors that nobody awaits.

        It is called for every attempt to accept a connection without a handle left.
        """
        if context.get("message") == "socket.accept() out of system resource":
            _NO_HANDLES.log()
            self._make_room()
        else:
            loop.default_exception_handler(context)


class Connection(H11Protocol):
    """uvicorn's connection, closed where its client takes too long."""

    def __init__(
        self,
        crowd: Crowd,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._crowd = crowd
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def _has_request(self) -> bool:
        cycle: RequestResponseCycle | None = (
            self.cycle
        )  # None before the first request, whatever uvicorn declares
        return cycle is not None and not cycle.response_complete

    # --- what asyncio and uvicorn call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Count the connection, and wait for its request's head."""
        super().connection_made(transport)
        metrics.CONNECTIONS.inc()
        if not self._crowd.admits(len(self.connections)):
            self.app = _answer_busy
        self._crowd.add_idle(self)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        metrics.CONNECTIONS.dec()
        self._crowd.remove_idle(self)
        self._cancel_head()
        self._cancel_unread()
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is still incomplete must be completed in time."""
        super().data_received(data)
        self._settle()
        if not self._has_request:
            self._await_head()

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the client to read the answer."""
        super().on_response_complete()
        self._settle()
        self._await_reading_of_the_rest()

    def timeout_keep_alive_handler(self) -> None:
        """Close the idle connection, whether or not its client reads what it was sent."""
        super().timeout_keep_alive_handler()
        self._await_reading_of_the_rest()

    def pause_writing(self) -> None:
        """The client must read: more is unread than the system buffers."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """The client has read most of it."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._cancel_unread()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own sentence
        """Answer a request that is no HTTP by a problem, and close."""
        self._answer_problem(
            ProblemRaised(
                Kind.NO_REQUEST, "write HTTP/1.1 as RFC 9112 has it, with a head of at most 16 KiB"
            )
        )

    # --- times

    def _settle(self) -> None:
        if self._has_request:
            self._cancel_head()
            self._crowd.remove_idle(self)
        elif not self.transport.is_closing():
            self._crowd.add_idle(self)

    def _await_head(self) -> None:
        if self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self._crowd.bounds.head_s, self._end_slow_head)

    def _cancel_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _cancel_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _end_slow_head(self) -> None:
        self._head = None
        received, _ = self.conn.trailing_data
        if received:
            _SLOW_HEAD.log()
            self._answer_problem(
                ProblemRaised(
                    Kind.TOO_SLOW,
                    f"a request's head must arrive within {self._crowd.bounds.head_s:g} s",
                )
            )
        else:  # browsers connect in advance
            self.transport.abort()

    def _await_reading(self) -> None:
        if self._unread is None:
            size = self.transport.get_write_buffer_size()
            self._unread = self.loop.call_later(
                self._crowd.bounds.unread_s, self._read_enough, size
            )

    def _await_reading_of_the_rest(self) -> None:
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._await_reading()

    def _read_enough(self, before: int) -> None:
        self._unread = None
        if before - self.transport.get_write_buffer_size() >= http_limits.UNREAD_ANSWER_BYTES:
            self._await_reading()
        else:
            _UNREAD.log()
            self.transport.abort()

    def _answer_problem(self, problem: ProblemRaised) -> None:
        """Answer a request that can't be passed to the app, and close."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(b"".join(self.conn.send(one) or b"" for one in _parts_of(problem)))
        if self._has_request:  # its app runs, as after a bad chunk, and must not answer as well
            self.cycle.disconnected = True
        self.transport.close()
        self._await_reading_of_the_rest()


def _parts_of(problem: ProblemRaised) -> tuple[h11.Event, ...]:
    """The answer by a problem after which the connection is closed, for h11."""
    answer = response(problem, {"Connection": "close"})
    status = answer.status_code
    reason = STATUS_PHRASES[status]
    return (
        h11.Response(status_code=status, headers=answer.raw_headers, reason=reason),
        h11.Data(data=bytes(answer.body)),
        h11.EndOfMessage(),
    )


def cut_streams(connections: Iterable[object]) -> None:
    """Cut the connections whose last request was for a stream of events."""
    for one in connections:
        if isinstance(one, Connection):
            cycle: RequestResponseCycle | None = one.cycle  # as in _has_request
            if cycle is not None and cycle.scope["path"] == STREAM_PATH:
                one.transport.abort()


async def _answer_busy(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has it
    """Answer any request by a problem, and close."""
    _BUSY.log()
    problem = ProblemRaised(
        Kind.BUSY,
        "there are as many connections as there may be, and all are being answered: try again",
    )
    await response(problem, {"Connection": "close"})(scope, receive, send)
