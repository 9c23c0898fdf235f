"""Streams of events of a reader's process, over real workers and a real broker."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from httpx import AsyncClient, HTTPError

from operations.simulation.traffic import Plan, traffic
from schemas import envelope
from schemas.events import topic_of
from streams import log, topics
from streams.log_writer import Writer
from tests.events import Remote, query
from tests.faults.workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from streams.settings import Settings

WAIT_S = 120.0
JULY_MS = 1_783_123_200_000
CLIENTS = 1000
ROUND_S = 2.0
"""100 rounds are three minutes and more."""

LASTS = ("", "/badge", "/cycles", "/days", "/hours")
MIB = 2**20


def made(seed: int, count: int) -> list[dict[str, Any]]:
    """Events of orders and chats about 40 products of 5 shops."""
    plan = Plan(seed, "s", JULY_MS, 40_000_000, products=40, shops=5)
    return [event for _, event in islice(traffic(plan), count)]


@pytest.fixture
async def served(settings: Settings, tmp_path: Path) -> AsyncIterator[Workers]:
    """A worker and a reader, as processes."""
    await topics.create(settings)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Workers(settings.model_copy(update={"reader_port": port}), tmp_path) as workers:
        workers.start("a")
        workers.serve()
        yield workers


async def write(settings: Settings, events: Iterable[dict[str, Any]]) -> None:
    """Write events to their topics."""
    async with Writer(settings) as writer:
        for event in events:
            key, value, headers = envelope.encode(event)
            await writer.send(settings.topic(topic_of(event["type"])), key, value, headers)


async def until(condition: Callable[[], Awaitable[bool]], workers: Workers) -> None:
    """Wait until a condition is met, within bounds."""
    deadline = time.monotonic() + WAIT_S
    while not await condition():
        assert time.monotonic() < deadline, workers.tail()
        await asyncio.sleep(0.1)


@asynccontextmanager
async def reading(*remotes: Remote) -> AsyncIterator[None]:
    """The clients read in this block."""
    tasks = [asyncio.create_task(remote.run()) for remote in remotes]
    try:
        yield
        assert not [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)


async def answer(client: AsyncClient, path: str) -> dict[str, Any] | None:
    """The reader's answer at an address, None while there is none."""
    try:
        response = await client.get(path)
    except HTTPError:
        return None
    found: dict[str, Any] | None = response.json() if response.status_code == 200 else None
    return found


async def is_applied(client: AsyncClient, settings: Settings) -> bool:
    """Whether the reader's tables contain all events."""
    ends = await log.ends(settings, [settings.topic("orders"), settings.topic("chats")])
    wanted = {f"{topic}-{number}": end - 1 for (topic, number), end in ends.items() if end}
    found = await answer(client, "/v1/status")
    return found is not None and found["freshness"]["applied"] == wanted


async def journal(client: AsyncClient, product_id: str) -> list[dict[str, Any]]:
    """All of a product's journal."""
    items: list[dict[str, Any]] = []
    path: str | None = f"/v1/products/{quote(product_id, safe='')}/journal?limit=1000"
    while path:
        page = await answer(client, path)
        assert page is not None
        items += page["items"]
        cursor = page["next_cursor"]
        path = cursor and f"{path.partition('&')[0]}&cursor={cursor}"
    return items


def lasting(shown: dict[str, Any] | None) -> dict[str, Any] | None:
    """An answer without its freshness."""
    return shown and {name: value for name, value in shown.items() if name != "freshness"}


async def test_a_stream_resumed_across_kills_misses_nothing_and_adds_up(
    served: Workers,
) -> None:
    """The reader is killed and the client cut off while events come.

    In the end each subject's last event is the table's row, the entries are the journal, each once
    and in order, and add up to the rows.
    """
    events = made(11, 1500)
    products = sorted(
        {
            line["product_id"]
            for one in events
            for line in one.get("lines", ())
            if "product_id" in line
        }
    )[:40]
    shops = sorted({one["shop_id"] for one in events if "shop_id" in one})[:5]
    addresses = {("product", id_): f"/v1/products/{quote(id_, safe='')}" for id_ in products}
    addresses |= {("shop", id_): f"/v1/shops/{quote(id_, safe='')}" for id_ in shops}
    addresses |= {
        ("marketplace", ""): "/v1/marketplace",
        ("top", "products:units"): "/v1/top/products",
        ("overdue", ""): "/v1/overdue",
    }
    port = served.settings.reader_port
    remote = Remote(port, [*addresses, *(("entries", id_) for id_ in products)])
    chance = random.Random(5)
    async with reading(remote), AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await until(lambda: _is_connected(remote), served)
        for number, start in enumerate(range(0, len(events), 100)):
            await write(served.settings, events[start : start + 100])
            await asyncio.sleep(chance.random())
            if number in {4, 9}:
                await until(partial(_has, remote, 20 * number), served)
                served.kill(served.reader)
                served.serve()
                await until(lambda: _is_connected(remote), served)
            elif chance.random() < 0.4:
                remote.cut()
        await until(lambda: is_applied(client, served.settings), served)

        async def is_shown() -> bool:
            for subject, path in addresses.items():
                event = remote.newest.get(subject)
                shown = lasting(await answer(client, path))
                if event is None or lasting(event.data["answer"]) != shown:
                    return False
            return True

        await until(is_shown, served)
        for id_ in products:
            written = await journal(client, id_)

            async def is_read(id_: str = id_, count: int = len(written)) -> bool:
                return len(entries(remote, id_)) >= count

            await until(is_read, served)
            assert entries(remote, id_) == written
            row = remote.newest["product", id_].data["answer"]
            units = sum(
                one["units_gross"] - one["units_reversed"]
                for one in written
                if one["type"] == "entry"
            )
            assert row is None or units == row["successfully_traded"]
    assert remote.connected >= 3


async def _is_connected(remote: Remote) -> bool:
    return remote.is_connected


async def _has(remote: Remote, events: int) -> bool:
    return len(remote.events) >= events


def entries(remote: Remote, product_id: str) -> list[dict[str, Any]]:
    """The journal entries of a product that a client received."""
    return [
        event.data["entry"] for event in remote.events if event.subject == ("entry", product_id)
    ]


def resident_bytes(workers: Workers) -> int:
    """The memory of the reader's process."""
    assert workers.reader.process is not None
    status = Path(f"/proc/{workers.reader.process.pid}/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


@pytest.mark.long
async def test_memory_does_not_grow_with_time(served: Workers) -> None:
    """For minutes a thousand streams are open, events arrive, and products are read."""
    settings = served.settings
    events = made(13, 12_000)
    await write(settings, events[:2000])
    remotes = [
        Remote(settings.reader_port, [("product", f"p-{1 + n % 40}")]) for n in range(CLIENTS)
    ]
    for remote in remotes:
        remote.keep = False
    paths = [f"/v1/products/p-{number}{last}" for number in range(1, 41) for last in LASTS]
    resident: list[int] = []
    async with AsyncClient(base_url=f"http://127.0.0.1:{settings.reader_port}") as client:
        await until(lambda: is_applied(client, settings), served)
        async with reading(*remotes):
            began_s = time.monotonic()
            for number, start in enumerate(range(2000, len(events), 100)):
                await write(settings, events[start : start + 100])
                for path in paths:
                    assert (await client.get(path)).status_code in {200, 404}
                await asyncio.sleep(max(0.0, began_s + (number + 1) * ROUND_S - time.monotonic()))
                resident.append(resident_bytes(served))
    settled, last = resident[len(resident) // 3], max(resident[-10:])
    assert last - settled < 48 * MIB, [one // MIB for one in resident]


@pytest.mark.long
async def test_a_thousand_clients_and_one_that_never_reads(served: Workers) -> None:
    """The reader's memory stays within a bound, and each client that reads has the newest states.

    One more client doesn't read at all.
    """
    settings = served.settings
    events = made(12, 4000)
    products = sorted(
        {
            line["product_id"]
            for one in events
            for line in one.get("lines", ())
            if "product_id" in line
        }
    )[:40]
    await write(settings, events[:1000])
    remotes = [
        Remote(settings.reader_port, [("product", products[number % len(products)])])
        for number in range(CLIENTS)
    ]
    for remote in remotes:
        remote.keep = False
    async with (
        AsyncClient(base_url=f"http://127.0.0.1:{settings.reader_port}", timeout=30) as client,
        AsyncExitStack() as stack,
    ):
        await until(lambda: is_applied(client, settings), served)
        before = resident_bytes(served)
        await stack.enter_async_context(reading(*remotes))
        deaf = socket.socket()
        stack.callback(deaf.close)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", settings.reader_port))
        everything = [(name, id_) for id_ in products for name in ("product", "entries")]
        deaf.sendall(f"GET {query(everything)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

        async def all_began() -> bool:
            return all(remote.newest for remote in remotes)

        await until(all_began, served)
        most = resident_bytes(served)
        for start in range(1000, len(events), 200):
            await write(settings, events[start : start + 200])
            most = max(most, resident_bytes(served))
        await until(lambda: is_applied(client, settings), served)

        async def all_newest() -> bool:
            rows = {
                id_: lasting(await answer(client, f"/v1/products/{quote(id_, safe='')}"))
                for id_ in products
            }
            return all(
                lasting(event.data["answer"]) == rows[subject[1]]
                for remote in remotes
                for subject, event in remote.newest.items()
                if subject[0] == "product"
            )

        await until(all_newest, served)
        most = max(most, resident_bytes(served))
        assert most - before < 200 * MIB, (before / MIB, most / MIB)
