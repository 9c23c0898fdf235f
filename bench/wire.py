"""From an append to its event on the wire of a reader's streams, and to an answer that includes it.

An append is an order of one product and its receipt. Its clock starts before the two are sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import h11
import msgspec

from bench.clients import Figures, Unanswered, figures
from bench.history import item, sale
from operations.reader_client import get
from streams.log_writer import Writer

if TYPE_CHECKING:
    from bench.clients import Server
    from streams.settings import Settings

EVERY_S = 0.25
LAST_S = 10.0
"""How long the last event may take."""

APPENDS = 60


class Append(NamedTuple):
    """The order of this number in a run, and the instant before it was sent."""

    number: int
    began_s: float


class _Product:
    """A product of its own, which is sold by appends: its gross units are their number."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.id, self._settings = name, settings
        self.appends: list[Append] = []

    async def sell(self, writer: Writer) -> dict[str, int]:
        """Append another order and its receipt; the last offset by source partition."""
        number = len(self.appends) + 1
        order = {
            "order_id": f"{self.id}-{number}",
            "shop_id": "s-1",
            "buyer_id": "b-1",
            "currency": "CNY",
        }
        line = {"line_id": "1", "product_id": self.id, "quantity": 1, "unit_price": 990}
        records = [
            item(self._settings, event)
            for event in sale(order, [line], int(time.time() * 1000) - 1000)
        ]
        self.appends.append(Append(number, time.perf_counter()))
        for record in records:
            await writer.send(*record)
        await writer.flush()
        topic, *_, partition = records[-1]
        return {f"{topic}-{partition}": writer.positions[topic, partition]}


async def until_answered(settings: Settings, name: str) -> Figures:
    """From each append to an answer with `min_position`; one append after the other.

    It ends after as long as appends to streams take, if answers are later.
    """
    product, latencies = _Product(settings, name), list[float]()
    ends_s = time.perf_counter() + APPENDS * EVERY_S
    async with Writer(settings) as writer:
        while len(latencies) < APPENDS and time.perf_counter() < ends_s:
            positions = await product.sell(writer)
            wanted = ",".join(f"{source}:{offset}" for source, offset in positions.items())
            answer = await asyncio.to_thread(
                get, settings, f"/v1/products/{name}", {"min_position": wanted}
            )
            latencies.append(time.perf_counter() - product.appends[-1].began_s)
            if answer["units"]["gross"] != len(product.appends):
                raise Unanswered(f"{answer['units']} after {len(product.appends)} appends")
    return figures(latencies, sum(latencies))


class _Stream(asyncio.Protocol):
    """A stream's bytes with the instants of their arrival; they are read later."""

    def __init__(self, target: str) -> None:
        self._client = h11.Connection(h11.CLIENT)
        self._head = self._client.send(
            h11.Request(method="GET", target=target, headers=[("Host", "bench")])
        )
        self._end = self._client.send(h11.EndOfMessage())
        self._arrived: list[tuple[float, bytes]] = []
        self.opened = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP's
        transport.write((self._head or b"") + (self._end or b""))

    def data_received(self, data: bytes) -> None:
        """Keep what arrives."""
        self._arrived.append((time.perf_counter(), data))
        self.opened.set()

    def events(self) -> list[tuple[float, str, Any]]:
        """(instant, kind, data) of each event. Raises Unanswered."""
        text, found = b"", list[tuple[float, str, Any]]()
        for at_s, data in self._arrived:
            self._client.receive_data(data)
            while isinstance(part := self._client.next_event(), h11.Response | h11.Data):
                if isinstance(part, h11.Data):
                    text += bytes(part.data)
                elif part.status_code != 200:
                    raise Unanswered(f"a stream was refused: {data[:600]!r}")
            *events, text = text.replace(b"\r\n", b"\n").split(b"\n\n")
            found += [(at_s, *_parsed(event)) for event in events]
        return found


def _parsed(event: bytes) -> tuple[str, Any]:
    """The kind and the data of an event; a comment has neither."""
    fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
    data = fields.get(b"data")
    return fields.get(b"event", b"").decode(), data and msgspec.json.decode(data)


async def until_streamed(settings: Settings, server: Server, name: str, streams: int) -> Figures:
    """From each append to its event on each of so many streams of one product.

    A stream's event includes an append if the product's gross units have reached its number.
    """
    product, loop = _Product(settings, name), asyncio.get_running_loop()
    opened: list[_Stream] = []
    async with AsyncExitStack() as ends:
        for _ in range(streams):
            transport, stream = await loop.create_connection(
                lambda: _Stream(f"/v1/stream?product={name}"), *server
            )
            ends.callback(transport.close)
            opened.append(stream)
        async with asyncio.timeout(30):
            for stream in opened:
                await stream.opened.wait()
        async with Writer(settings) as writer:
            for _ in range(APPENDS):
                await product.sell(writer)
                await asyncio.sleep(
                    max(0.0, product.appends[-1].began_s + EVERY_S - time.perf_counter())
                )
        await asyncio.sleep(LAST_S)
    latencies = [late for stream in opened for late in _latencies(stream, product.appends)]
    return figures(latencies, APPENDS * EVERY_S)


def _latencies(stream: _Stream, appends: list[Append]) -> list[float]:
    """The seconds from each append to the first event of a stream that includes it."""
    waiting, found = deque(appends), list[float]()
    for at_s, kind, data in stream.events():
        answer = data["answer"] if kind == "product" else None
        while answer and waiting and answer["units"]["gross"] >= waiting[0].number:
            found.append(at_s - waiting.popleft().began_s)
    if waiting:
        raise Unanswered(f"a stream has {len(found)} of {len(appends)} appends")
    return found
