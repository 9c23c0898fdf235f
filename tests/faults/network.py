"""A broker behind a proxy that imitates a bad network: slow, silent, cut, or one request late."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

from operations.local.kafka import LocalKafka
from operations.local.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


END_TXN = 26
TXN_OFFSET_COMMIT = 28
PIECE_BYTES = 64 * 1024


class ProxiedKafka(LocalKafka):
    """A local Kafka with two listeners: its own, and one that it advertises as `proxied`."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.behind, self.proxied = (f"127.0.0.1:{free_port(0)}" for _ in range(2))

    def further_settings(self, address: str, controller: str) -> dict[str, object]:
        """The broker's listeners and their settings."""
        direct = f"PLAINTEXT://{address}"
        return {
            "listeners": f"{direct},PROXIED://{self.behind},CONTROLLER://{controller}",
            "advertised.listeners": f"{direct},PROXIED://{self.proxied}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
        }


@dataclass(eq=False)
class Intercepted:
    """One request that the proxy keeps back.

    Its sender has lost the connection, and the broker hasn't received it.
    """

    api: int
    transactional_id: str
    met: asyncio.Event = field(default_factory=asyncio.Event)
    """Set as soon as a request matches."""
    _request: bytes = b""
    _broker: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def matches(self, request: bytes) -> bool:
        """Whether a request is the one to intercept.

        Its header is length, API, version, correlation, client, and then the transactional id.
        """
        _length, api, _version, _correlation, name_length = struct.unpack_from(">ihhih", request)
        if self.met.is_set() or api != self.api:
            return False
        at = 14 + max(name_length, 0)
        (length,) = struct.unpack_from(">h", request, at)
        return request[at + 2 : at + 2 + length].decode() == self.transactional_id

    def intercept(
        self, request: bytes, broker: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        """Keep the request and the broker connection that it was for."""
        self._request, self._broker = request, broker
        self.met.set()

    def needs(self, writer: asyncio.StreamWriter) -> bool:
        """Whether a connection to the broker is still needed."""
        return self._broker is not None and self._broker[1] is writer

    async def deliver(self) -> int:
        """Send the request, an EndTxn, to the broker; return its error code, 0 for none."""
        assert self._broker is not None
        answers, writer = self._broker
        writer.write(self._request)
        _length, _correlation, _throttled_ms, error = struct.unpack_from(
            ">iiih", await _frame(answers)
        )
        return int(error)

    def close(self) -> None:
        """Drop the request, or after its answer the connection."""
        if self._broker is not None:
            self._broker[1].close()


class Proxy:
    """Passes bytes between clients and a broker.

    Leaving the block ends every connection.
    """

    def __init__(self, kafka: ProxiedKafka) -> None:
        self._kafka = kafka
        self.delay_s = 0.0
        """The delay of each piece of data, in each direction."""
        self._speaks = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._kept: list[Intercepted] = []

    async def __aenter__(self) -> Self:
        self.speak()
        await self.join()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        for kept in self._kept:
            kept.close()

    def fall_silent(self) -> None:
        """From now on deliver nothing and end no connection, until `speak`."""
        self._speaks.clear()

    def speak(self) -> None:
        """Pass on what was sent in the meantime, and everything from now on."""
        self._speaks.set()

    async def cut(self) -> None:
        """End every connection, and accept none until `join`."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def join(self) -> None:
        """Accept connections again."""
        host, port = self._kafka.proxied.split(":")
        self._server = await asyncio.start_server(self._accept, host, int(port))

    def intercept_next(self, api: int, transactional_id: str) -> Intercepted:
        """Intercept the next request of this API and id, and cut its sender's connection."""
        kept = Intercepted(api, transactional_id)
        self._kept.append(kept)
        return kept

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connection(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connection(
        self, requests: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        """Both directions of a connection, until one of them ends."""
        to_broker = None
        try:
            answers, to_broker = await asyncio.open_connection(*self._kafka.behind.split(":"))
            async with asyncio.TaskGroup() as directions:
                directions.create_task(
                    self._pass_on(partial(self._request, requests, (answers, to_broker)), to_broker)
                )
                directions.create_task(self._pass_on(partial(_piece, answers), to_client))
        except* (OSError, EOFError):
            pass
        finally:
            to_client.transport.abort()
            if to_broker is not None and not any(kept.needs(to_broker) for kept in self._kept):
                to_broker.close()

    async def _request(
        self,
        requests: asyncio.StreamReader,
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bytes:
        """The client's next request. Raises EOFError at the end, and if it is intercepted."""
        request = await _frame(requests)
        for kept in self._kept:
            if kept.matches(request):
                kept.intercept(request, broker)
                raise EOFError
        return request

    async def _pass_on(
        self, read: Callable[[], Awaitable[bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            piece = await read()
            await asyncio.sleep(self.delay_s)
            await self._speaks.wait()
            writer.write(piece)
            await writer.drain()


async def _piece(reader: asyncio.StreamReader) -> bytes:
    """The bytes that are available. Raises EOFError at the end."""
    piece = await reader.read(PIECE_BYTES)
    if not piece:
        raise EOFError
    return piece


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """A whole request or answer with its length before it.

    Raises IncompleteReadError, an EOFError, at the end.
    """
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head, "big"))
