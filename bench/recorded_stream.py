"""A reader's stream that is recorded for a minute, and then sent again as the minutes after it."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

from httpx import AsyncClient

from operations.local.ports import LOCALHOST, free_port

if TYPE_CHECKING:
    from playwright.async_api import Route

MINUTES: Final = 60
MINUTE_S: Final = 60.0
PARTS: Final = 4
"""A minute is sent in so many parts."""

_HEAD: Final = (
    f"HTTP/1.1 {HTTPStatus.OK.value} OK\r\n"
    "Content-Type: text/event-stream\r\nConnection: close\r\n\r\n"
).encode()

Sent = tuple[float, str, dict[str, Any]]
"""When an event came, in seconds; its name, and its data."""


class Replay:
    """Stands between a tab and a reader's stream, at a port of its own.

    For a minute it passes on what the reader sends; `send` then sends that minute again.
    """

    def __init__(self, address: str) -> None:
        self.recorded = asyncio.Event()
        self.missed = 0
        self._reader = address
        self._events: list[Sent] = []
        self._tab: asyncio.StreamWriter | None = None
        self._port = free_port(0)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._on_tab, LOCALHOST, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        if self._server is not None:
            self._server.close()

    async def serve(self, route: Route) -> None:
        """Lead a tab's request here; to be given to `Page.route`."""
        _, _, rest = route.request.url.removeprefix("http://").partition("/")
        await route.continue_(url=f"http://{LOCALHOST}:{self._port}/{rest}")

    async def _on_tab(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
        writer.write(_HEAD)
        self._tab = writer
        if not self.recorded.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(MINUTE_S):
                    await self._record(path, writer)
            self.recorded.set()

    async def _record(self, path: str, writer: asyncio.StreamWriter) -> None:
        self._events = []
        began = time.monotonic()
        async with (
            AsyncClient(timeout=None) as client,  # noqa: S113 - a stream has no end
            client.stream("GET", self._reader + path) as answer,
        ):
            name = ""
            async for line in answer.aiter_lines():
                writer.write(f"{line}\n".encode())
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                    self._events.append((time.monotonic() - began, name, data))

    async def send(self, minute: int, part: int) -> None:
        """Send a part of the recorded minute, one of PARTS, as of the minute `minute` later.

        A part for which the tab has no connection, since it opens a new one, is in `missed`.
        """
        if self._tab is None or self._tab.is_closing():
            self.missed += 1
            return
        grown = self._sold()
        for at_s, name, data in self._events:
            if int(at_s * PARTS / MINUTE_S) == part:
                text = json.dumps(_later(data, minute, grown), separators=(",", ":"))
                self._tab.write(f"event: {name}\ndata: {text}\n\n".encode())
        self._tab.write(b": the tab closes a silent stream\n\n")
        try:
            await self._tab.drain()
        except ConnectionError:
            self.missed += 1

    def _sold(self) -> int:
        """The units by which the marketplace grew in the recorded minute."""
        sums = [
            data["answer"]["all_time"]["units"]["gross"]
            for _, name, data in self._events
            if name == "marketplace" and data.get("answer")
        ]
        return sums[-1] - sums[0] if sums else 0


def _later(data: dict[str, Any], minute: int, grown: int) -> dict[str, Any]:
    """The data of an event, some minutes later."""
    text = json.dumps(data)
    later: dict[str, Any] = json.loads(text)
    answer = later.get("answer") or {}
    for fresh in (later.get("freshness"), answer.get("freshness")):
        if fresh and fresh.get("as_of"):
            fresh["as_of"] = _shifted(fresh["as_of"], minute)
    if "all_time" in answer:
        answer["all_time"]["units"]["gross"] += minute * grown
    if entry := later.get("entry"):
        entry["id"] = f"{entry['id']}-{minute}"
        entry["occurred_at"] = _shifted(entry["occurred_at"], minute)
    return later


def _shifted(instant: str, minutes: int) -> str:
    at = datetime.fromisoformat(instant) + timedelta(minutes=minutes)
    return at.isoformat().replace("+00:00", "Z")
