"""Clients of streams of server-sent events, and the parser that a browser has."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastapi import FastAPI
    from starlette.types import Message

WAIT_S = 30.0


class Event(NamedTuple):
    """One event as a browser dispatches it."""

    name: str
    data: dict[str, Any]
    id: str
    text: str

    @property
    def subject(self) -> tuple[str, str]:
        """What the event is about."""
        return self.name, self.data.get("subject", "")


class Parser:
    """Bytes of a stream → its events, as the HTML standard has it."""

    def __init__(self) -> None:
        self._rest = b""
        self.comments = 0
        self.retry = ""

    def feed(self, more: bytes) -> list[Event]:
        """The events that these bytes complete."""
        *blocks, self._rest = (self._rest + more).split(b"\n\n")
        found = []
        for block in blocks:
            fields: dict[str, str] = {}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(":")
                if name:
                    assert name not in fields, line
                    fields[name] = value.removeprefix(" ")
                else:
                    self.comments += 1
            self.retry = fields.pop("retry", self.retry)
            if fields:
                text = fields["data"]
                found.append(Event(fields["event"], json.loads(text), fields["id"], text))
        return found


def query(named: Iterable[tuple[str, str]]) -> str:
    """The address of a stream."""
    return f"/v1/stream?{urlencode(list(named))}"


class Client:
    """A client of an app in this loop, which reads or doesn't, and may disconnect at any byte."""

    def __init__(
        self,
        app: FastAPI,
        named: Sequence[tuple[str, str]],
        last_id: str | None = None,
        token: str | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.parser = Parser()
        self.reads = asyncio.Event()
        self.reads.set()
        self._left = asyncio.Event()
        path, _, text = query(named).partition("?")
        headers = [] if last_id is None else [(b"last-event-id", last_id.encode())]
        if token is not None:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": text.encode(),
            "headers": headers,
            "scheme": "http",
            "server": ("reader", 80),
            "client": ("client", 1),
            "root_path": "",
            "state": {},
        }
        self._requested = False
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif self.status == 200:
            self.events += self.parser.feed(message["body"])
        else:
            self.body += message["body"]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition is met."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert not self.task.done() or self.task.exception() is None, self.task.exception()
            assert time.monotonic() < deadline, (self.status, self.body, self.events[-5:])
            await asyncio.sleep(0.001)

    def newest(self) -> dict[tuple[str, str], Event]:
        """The last event of each subject."""
        return {event.subject: event for event in self.events}

    @property
    def last_id(self) -> str | None:
        """What a browser sends when it connects again."""
        return self.events[-1].id if self.events else None

    async def leave(self) -> None:
        """Disconnect, whatever is under way."""
        self._left.set()
        self.reads.set()
        await self.task


class Remote:
    """A client of a reader's process, over a socket.

    It speaks HTTP/1.0, so that its bytes are those of the stream alone.
    """

    def __init__(self, port: int, named: Sequence[tuple[str, str]]) -> None:
        self.events: list[Event] = []
        self.keep = True
        """Whether to keep all events, or the newest of each subject."""

        self.newest: dict[tuple[str, str], Event] = {}
        self.received_s = 0.0
        self.connected = 0
        self.is_connected = False
        self._port = port
        self._path = query(named)
        self._last_id = ""
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Read, and connect again from the last event on whenever the connection ends."""
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._read()
            await asyncio.sleep(0.05)

    async def _read(self) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            resumed = f"Last-Event-ID: {self._last_id}\r\n" if self._last_id else ""
            head = f"GET {self._path} HTTP/1.0\r\nHost: localhost\r\n{resumed}\r\n"
            self._writer.write(head.encode())
            status = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            if status != b"200":
                assert status == b"503", await reader.read()
                return
            self.connected += 1
            self.is_connected = True
            parser = Parser()
            while more := await reader.read(65_536):
                self.received_s = time.monotonic()
                for event in parser.feed(more):
                    if self.keep:
                        self.events.append(event)
                    self.newest[event.subject] = event
                    self._last_id = event.id
        finally:
            self.is_connected = False
            self._writer.close()

    def cut(self) -> None:
        """Cut the connection, whatever is under way."""
        if self._writer is not None:
            self._writer.transport.abort()
