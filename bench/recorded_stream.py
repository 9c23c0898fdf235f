"""A reader's stream, recorded for a minute, and sent again: as the minutes after it, or faster."""

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

TICKS_S: Final = 10
"""How often a second a reader sends at most what an answer is now (serving/hub.py); entries of the
journal are all sent."""

_HEAD: Final = (
    f"HTTP/1.1 {HTTPStatus.OK.value} OK\r\n"
    "Content-Type: text/event-stream\r\nConnection: close\r\n\r\n"
).encode()

Sent = tuple[float, str, dict[str, Any]]
"""When an event came, in seconds; its name, and its data."""


class Replay:
    """Stands between a tab and a reader's stream, at a port of its own.

    For a minute it passes on what the reader sends; `send` and `pace` then send that minute again.
    A tab that connects after that first gets the newest states.
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
        if self.recorded.is_set():
            for name, data in self._states().items():
                writer.write(_event(name[0], data[-1]))
        else:
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
                self._tab.write(_event(name, _later(data, minute, minute * grown, str(minute))))
        self._tab.write(b": the tab closes a silent stream\n\n")
        try:
            await self._tab.drain()
        except ConnectionError:
            self.missed += 1

    async def pace(self, seconds: int, times: float) -> None:
        """Send states as often as a reader does at most, and `times` as many entries, by the clock.

        Raises ConnectionError if the tab has left.
        """
        if self._tab is None:
            raise ConnectionError("no tab is connected")
        states = self._states()
        entries = [(name, data) for _, name, data in self._events if name == "entry"]
        a_tick = len(entries) * times / MINUTE_S / TICKS_S
        began, sent = time.monotonic(), 0
        for tick in range(seconds * TICKS_S):
            minutes = 1 + tick / TICKS_S / MINUTE_S
            grown = int(minutes * self._sold() * times)
            for (name, _), each in states.items():
                if name != "freshness" or tick % TICKS_S == 0:
                    data = _later(each[tick % len(each)], minutes, grown, "")
                    self._tab.write(_event(name, data))
            for number in range(sent, int((tick + 1) * a_tick)):
                name, data = entries[number % len(entries)]
                self._tab.write(_event(name, _later(data, minutes, 0, str(number))))
            sent = int((tick + 1) * a_tick)
            await self._tab.drain()
            await asyncio.sleep(max(0.0, began + (tick + 1) / TICKS_S - time.monotonic()))

    def _states(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """What was recorded of each state, by its event's name and its subject."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for _, name, data in self._events:
            if name != "entry":
                found.setdefault((name, data.get("subject", "")), []).append(data)
        return found

    def _sold(self) -> int:
        """The units by which the marketplace grew in the recorded minute."""
        sums = [
            data["answer"]["all_time"]["units"]["gross"]
            for _, name, data in self._events
            if name == "marketplace" and data.get("answer")
        ]
        return sums[-1] - sums[0] if sums else 0


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _later(data: dict[str, Any], minutes: float, units: int, mark: str) -> dict[str, Any]:
    """The data of an event some minutes later, with more units sold; `mark` is a part of ids."""
    later: dict[str, Any] = json.loads(json.dumps(data))
    answer = later.get("answer") or {}
    for fresh in (later.get("freshness"), answer.get("freshness")):
        if fresh and fresh.get("as_of"):
            fresh["as_of"] = _shifted(fresh["as_of"], minutes)
    if "all_time" in answer:
        answer["all_time"]["units"]["gross"] += units
    if entry := later.get("entry"):
        entry["id"] = f"{entry['id']}-{mark}"
        entry["occurred_at"] = _shifted(entry["occurred_at"], minutes)
    return later


def _shifted(instant: str, minutes: float) -> str:
    at = datetime.fromisoformat(instant) + timedelta(minutes=minutes)
    return at.isoformat().replace("+00:00", "Z")
