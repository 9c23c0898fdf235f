"""Connections whose plain requests to hot addresses are answered at once, without uvicorn's parts.

They keep the bounds of `serving/connections.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES

from serving.connections import Connection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from starlette.types import Message
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from serving.connections import Crowd
    from serving.straight import Straight


class StraightConnection(Connection):
    """A connection that answers what it can from the bytes, and passes on everything else."""

    def __init__(
        self,
        straight: Straight,
        crowd: Crowd,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(crowd, config, server_state, app_state, _loop)
        self._straight = straight
        self._answered_s = 0.0
        self._scope: Mapping[str, Any] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Note what the scopes of all requests have of their connection."""
        super().connection_made(transport)
        self._scope = {
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
        }

    def data_received(self, data: bytes) -> None:
        """Answer a plain request to a hot address at once; pass on what else arrives."""
        messages = self._straight.messages(data, self._scope) if self._is_free else None
        if messages is None:
            super().data_received(data)
            return
        self._cancel_head()
        self._crowd.remove_idle(self)
        self._crowd.add_idle(self)
        self.server_state.total_requests += 1
        self._answered_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._await_request(self.timeout_keep_alive)
        self.transport.write(_bytes_of(messages, self.server_state.default_headers))

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, unless a request was answered since the time began to run."""
        left_s = self._answered_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._await_request(left_s)
        else:
            super().timeout_keep_alive_handler()

    @property
    def _is_free(self) -> bool:
        """Whether nothing of another request or answer is left, and the app may be called."""
        return (
            not self._has_request
            and self.app is self.config.loaded_app
            and self.conn.their_state is h11.IDLE
            and not self.conn.trailing_data[0]
            and not self.transport.get_write_buffer_size()
            and not self.transport.is_closing()
        )

    def _await_request(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )


def _bytes_of(messages: list[Message], headers: list[tuple[bytes, bytes]]) -> bytes:
    """An answer's messages on the wire, as uvicorn writes them."""
    start, *bodies = messages
    status: int = start["status"]
    lines = [
        b"HTTP/1.1 %d %s\r\n" % (status, STATUS_PHRASES[status]),
        *[b"%s: %s\r\n" % field for field in (*headers, *start["headers"])],
        b"\r\n",
        *[one["body"] for one in bodies],
    ]
    return b"".join(lines)
