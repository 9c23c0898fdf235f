"""Streams over real sockets: clients that don't read, and the end of the server."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from serving import connections, hub, metrics, server
from serving.api import make_app
from serving.connections import STREAM_PATH, Bounds
from tests.events import Client, Remote, query
from tests.served_story import SOLD, events_of, served
from tests.serving import serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import uvicorn

    from tests.reading import FedReader

BUFFER_BYTES = 4096
EVERYTHING = [
    *(("product", id_) for id_ in ("p-3", "p-4", "p-5")),
    *(("shop", id_) for id_ in ("s-7", "s-8")),
    *(("top", f"{of}:units") for of in ("products", "shops")),
    ("marketplace", ""),
    ("overdue", ""),
]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader of the story, whose streams tick at once."""
    monkeypatch.setattr(hub, "TICK_S", 0.0)
    with served(tmp_path, monkeypatch) as one:
        yield one


def deaf(port: int) -> socket.socket:
    """A client of all streams that never reads."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    one.connect(("127.0.0.1", port))
    one.sendall(f"GET {query(EVERYTHING)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return one


async def sell_until_unread(reader: FedReader, one: uvicorn.Server) -> None:
    """Sell until a client has so much unread that it is sent nothing more."""
    for number in range(1000):
        events = events_of(SOLD, f"{number}-")
        reader.logs.take([event | {"order_id": f"n-{number}"} for event in events])
        reader.feed()
        async with reader.changed:
            reader.changed.notify_all()
        await asyncio.sleep(0.005)
        if any(
            connection.flow is not None and connection.flow.write_paused  # type: ignore[union-attr] # of HTTP/1.1
            for connection in one.server_state.connections
        ):
            return
    raise AssertionError("the client's buffers never were full")


async def test_a_client_that_never_reads_is_closed(reader: FedReader) -> None:
    """By the bound on unread bytes: its stream ends, and its memory is free."""
    closed = metrics.CLOSED.labels("unread")._value
    before = closed.get()
    async with serving(reader, Bounds(20, unread_s=0.2), BUFFER_BYTES) as (one, port, hub_):
        with ExitStack() as stack:
            stack.enter_context(deaf(port))
            await until(lambda: hub_.count == 1)
            await sell_until_unread(reader, one)
            await until(lambda: not one.server_state.connections)
            await until(lambda: hub_.count == 0)
    assert closed.get() == before + 1
    assert reader.changes.watched == {}


@pytest.mark.parametrize("reads", [True, False])
async def test_the_server_ends_soon_with_open_streams(reader: FedReader, *, reads: bool) -> None:
    """Whether or not their clients read: well within the grace that other answers have."""
    remotes: list[Remote] = []
    tasks = []
    with ExitStack() as stack:
        async with serving(reader, Bounds(200), BUFFER_BYTES) as (one, port, hub_):
            if reads:
                remotes = [Remote(port, EVERYTHING) for _ in range(50)]
                tasks = [asyncio.create_task(remote.run()) for remote in remotes]
                await until(lambda: all(remote.events for remote in remotes))
            else:
                stack.enter_context(deaf(port))
                await until(lambda: one.server_state.connections)
                await sell_until_unread(reader, one)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < server.GRACE_S / 2
        assert hub_.count == 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_path_of_streams_is_that_of_their_route(reader: FedReader) -> None:
    """Connections know it by this path."""
    app = make_app(reader)
    assert STREAM_PATH in app.openapi()["paths"]
    client = Client(app, EVERYTHING)
    await client.until(lambda: client.events)
    await client.leave()
    assert query(()).startswith(connections.STREAM_PATH)
