"""A server of a fed reader in this process, over a real socket, for tests."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from serving.api import make_app
from serving.server import bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import uvicorn

    from serving.connections import Bounds
    from serving.hub import Hub
    from tests.reading import FedReader

WAIT_S = 30.0


class Serving(NamedTuple):
    """A running server, its port and the hub of its streams."""

    server: uvicorn.Server
    port: int
    hub: Hub


@asynccontextmanager
async def serving(
    reader: FedReader, bounds: Bounds, send_buffer_bytes: int | None = None
) -> AsyncIterator[Serving]:
    """A reader as `netsold serve` has it, but that the test feeds it."""
    app = make_app(reader)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        if send_buffer_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        listener.bind(("127.0.0.1", 0))
        server = bounded(app, bounds, reader.settings)
        task = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started)
        try:
            yield Serving(server, listener.getsockname()[1], app.state.hub)
        finally:
            server.should_exit = True
            await task


async def until(is_true: Callable[[], object]) -> None:
    """Wait until a condition is met, within bounds."""
    async with asyncio.timeout(WAIT_S):
        while not is_true():  # noqa: ASYNC110 - it is the server's state
            await asyncio.sleep(0.005)
