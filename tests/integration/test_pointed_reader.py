"""A reader's process while the pointer moves, over real workers of two versions of one log."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from operations.commands import tables
from schemas import envelope
from schemas.events import topic_of
from schemas.times import DAY_MS, parse_ms
from serving.reader import end
from streams import topics
from streams.log_writer import Writer
from tests.commands import netsold
from tests.events import Remote
from tests.faults.workers import Workers
from tests.story import parse
from tests.two_versions import in_environment, point, register, weekly_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from streams.settings import Settings

WAIT_S = 60.0
READ_WITHIN_S = 600.0
"""How long all reads may take; a busy machine answers some dozens a second."""

CLIENTS = 4
READS = 10_000
FIXED = """== a product that sells nothing more: this week 10000, in the 30 days 40000
2026-07-07T08:00Z  placed    f-1  1:p-fixed:30000x1 shop=s-fixed
2026-07-07T09:00Z  received  f-1
2026-07-10T08:00Z  placed    f-2  1:p-fixed:10000x1 shop=s-fixed
2026-07-10T09:00Z  received  f-2
"""
SOLD = {30: 40_000, 7: 10_000}
"""Units of that product in the current cycle, by the cycle's days."""

ALL_TIME = 40_000

PATHS = (
    "/v1/products/p-fixed",
    "/v1/products/p-3",
    "/v1/shops/s-fixed",
    "/v1/top/products?limit=30",
    "/v1/top/shops",
    "/v1/products/p-fixed/badge?lang=en",
    "/v1/marketplace",
)


class Answer(NamedTuple):
    """The status, the headers by lower-case name, and the body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def version(self) -> str:
        """The version that it names."""
        return self.headers["netsold-version"]


class Connection:
    """A connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, **headers: str) -> Answer:
        """The answer to GET."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        lines = "".join(f"{name.replace('_', '-')}: {one}\r\n" for name, one in headers.items())
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        head, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found = {
            name.lower(): one.strip()
            for name, _, one in (field.partition(":") for field in fields if field)
        }
        body = await reader.readexactly(int(found.get("content-length", 0)))
        return Answer(int(head.split()[1]), found, body)

    def close(self) -> None:
        """Forget the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Clients:
    """Clients that read all the time, and check each answer against the version that it names."""

    def __init__(self, port: int, days: dict[str, int]) -> None:
        self.days = days
        self.read: Counter[str] = Counter()
        """Answers by version."""

        self.may_read = asyncio.Event()
        self.may_read.set()
        self.idle = 0
        self._connections = [Connection(port) for _ in range(CLIENTS)]

    async def run(self) -> None:
        """Read until cancelled."""
        chance = random.Random(3)
        async with asyncio.TaskGroup() as group:
            for number, connection in enumerate(self._connections):
                loop = self._page if number == 0 else self._read
                group.create_task(loop(connection, random.Random(chance.random())))

    def disconnect(self) -> None:
        """Forget all connections, while no request is under way."""
        for connection in self._connections:
            connection.close()

    async def _turn(self) -> None:
        self.idle += 1
        while not self.may_read.is_set():
            await self.may_read.wait()
        self.idle -= 1

    async def _read(self, connection: Connection, chance: random.Random) -> None:
        known: dict[str, Answer] = {}
        while True:
            await self._turn()
            path = chance.choice(PATHS)
            before = known.get(path) if chance.random() < 0.5 else None
            given = {} if before is None else {"If_None_Match": before.headers["etag"]}
            if chance.random() < 0.5:
                given["TE"] = "trailers"  # which leaves the answer to the framework's router
            answer = await connection.get(path, **given)
            if answer.status == 304:
                assert before is not None
                if "badge" not in path:  # of which equal bytes have equal tags
                    assert answer.version == before.version, (path, answer, before)
            else:
                assert answer.status == 200, (path, answer)
                known[path] = answer
                self._check(path, answer)
            self.read[answer.version] += 1

    async def _page(self, connection: Connection, _: random.Random) -> None:
        """Read lists from page to page: a page of another version than the one before is the first.

        Its units are then the most that are listed.
        """
        while True:
            path, query, version, least = "/v1/top/products?limit=3", "", "", 10**9
            while query is not None:
                await self._turn()
                answer = await connection.get(path + query)
                assert answer.status == 200, answer
                body = self._check(path, answer)
                self.read[answer.version] += 1
                sold = [item["sold_monthly"] for item in body["items"]]
                if answer.version == version:
                    assert max(sold, default=0) <= least + 50  # traffic goes on between two pages
                elif version:
                    assert body["items"][0]["product_id"] == "p-fixed", body
                version, least = answer.version, min(sold, default=0)
                cursor = body["next_cursor"]
                query = None if cursor is None else f"&cursor={cursor}"  # type: ignore[assignment]

    def _check(self, path: str, answer: Answer) -> dict[str, Any]:
        """Check that an answer's numbers are of its version."""
        days = self.days[answer.version]
        if "badge" in path:
            text = f"{SOLD[days]:,} sold monthly · {ALL_TIME:,} successfully traded"
            assert answer.body.decode() == text, answer
            return {}
        body: dict[str, Any] = json.loads(answer.body)
        assert body["freshness"]["version"] == answer.version
        for one in (body, *body.get("items", ())):
            cycle = one.get("cycle", body["cycle"])
            assert parse_ms(cycle["end"]) - parse_ms(cycle["start"]) == days * DAY_MS, body
            if "p-fixed" in one.get("product_id", "") or one.get("shop_id") == "s-fixed":
                sold = one["sold_monthly"], one["successfully_traded"]
                assert sold == (SOLD[days], ALL_TIME), one
        return body


class World:
    """Two versions with a worker each, their reader's process, its clients, and traffic."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.base, self.weekly = settings, weekly_settings(settings)
        self.workers = Workers(settings, directory)
        self.others = Workers(self.weekly, directory, **in_environment(self.weekly, directory))
        days = {one.app: one.rules.values.cycle_days for one in (self.base, self.weekly)}
        self.clients = Clients(settings.reader_port, days)
        self.probe = Connection(settings.reader_port)
        self.beside: list[asyncio.Task[None]] = []
        self.remote = Remote(
            settings.reader_port, [("product", "p-fixed"), ("product", "p-3"), ("entries", "p-3")]
        )

    async def until(
        self, condition: Callable[[], Awaitable[bool] | bool], within_s: float = WAIT_S
    ) -> None:
        """Wait until a condition is met, within bounds, while all that goes on beside goes on."""
        deadline = time.monotonic() + within_s
        while True:
            is_met = condition()
            if is_met if isinstance(is_met, bool) else await is_met:
                return
            for task in self.beside:
                assert not task.done(), task.result()
            assert time.monotonic() < deadline, self._log()
            await asyncio.sleep(0.05)

    async def pause(self) -> None:
        """Let the requests of clients that are under way end."""
        self.clients.may_read.clear()
        await self.until(lambda: self.clients.idle == CLIENTS)
        self.clients.disconnect()

    def _log(self) -> str:
        return self.workers.reader.log.read_text(encoding="utf-8")[-5000:] + self.others.tail()

    async def json(self, path: str) -> dict[str, Any]:
        """The answer to GET, of any status, without one None."""
        try:
            answer = await self.probe.get(path)
        except (OSError, asyncio.IncompleteReadError):
            self.probe.close()
            return {}
        found: dict[str, Any] = json.loads(answer.body)
        return found

    async def answers(self, version: Settings) -> None:
        """Wait until this version is answered."""

        async def is_answered() -> bool:
            found = await self.json("/v1/products/p-fixed")
            return bool(found.get("freshness", {}).get("version") == version.app)

        await self.until(is_answered)

    async def counts(self, version: Settings) -> None:
        """Wait until a version has counted the fixed product, of products and of shops."""

        async def has_counted() -> bool:
            found = await tables.from_changelogs(version)
            ids = {"products": ("product_id", "p-fixed"), "shops": ("shop_id", "s-fixed")}
            return all(
                ALL_TIME in {one["successfully_traded"] for one in found[part] if one[name] == id_}
                for part, (name, id_) in ids.items()
            )

        await self.until(has_counted)

    async def move(self, version: Settings, former: Settings) -> None:
        """Move the pointer, and wait until that is answered and streamed."""
        await point(self.base, version, former)
        await self.is_followed(version)

    async def command(self, version: Settings, *arguments: str) -> None:
        """Move the pointer by a command, and wait until that is answered and streamed."""
        command = ("rebuild", *arguments, "--yes")
        code, out, err = await netsold(self.base, *command)
        for _ in range(9):
            if code != 5:  # a version that is behind on a busy machine
                break
            code, out, err = await netsold(self.base, *command)
        assert code == 0, (out, err)
        await self.is_followed(version)

    async def is_followed(self, version: Settings) -> None:
        """Wait until a version is answered, to many reads, and streamed."""
        await self.answers(version)

        async def is_streamed() -> bool:
            newest = self.remote.newest.get(("product", "p-fixed"))
            return newest is not None and newest.data["answer"]["freshness"]["version"] == (
                version.app
            )

        await self.until(is_streamed)
        enough = self.clients.read[version.app] + 300
        await self.until(lambda: self.clients.read[version.app] >= enough)

    async def restart(self) -> str:
        """Kill the reader, start it again, and return the version that it answers first."""
        await self.pause()
        self.workers.kill(self.workers.reader)
        self.probe.close()
        self.workers.serve()
        found: dict[str, Any] = {}

        async def is_up() -> bool:
            found.update(await self.json("/v1/products/p-fixed"))
            return "freshness" in found

        await self.until(is_up)
        self.clients.may_read.set()
        return str(found["freshness"]["version"])


def load() -> Callable[[int], list[dict[str, Any]]]:
    """A source of events: orders of ten products of this week, one unit each."""
    number = count()

    def some(orders: int) -> list[dict[str, Any]]:
        lines = []
        for _ in range(orders):
            one = next(number)
            second = f"2026-07-11T{one // 3600 % 24:02}:{one // 60 % 60:02}:{one % 60:02}Z"
            lines.append(f"{second}  placed    l-{one}  1:p-{one % 10}:1x100 shop=s-{one % 3}")
            lines.append(f"{second}  received  l-{one}")
        return next(parse("== load\n" + "\n".join(lines) + "\n")).events

    return some


async def write(settings: Settings, events: list[dict[str, Any]]) -> None:
    """Write events to their topics."""
    async with Writer(settings) as writer:
        for event in events:
            key, value, headers = envelope.encode(event)
            await writer.send(settings.topic(topic_of(event["type"])), key, value, headers)


@pytest.fixture
async def world(settings: Settings, tmp_path: Path) -> AsyncIterator[World]:
    """Both versions have counted the fixed product and some traffic; the base is answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings = settings.model_copy(update={"reader_port": probe.getsockname()[1]})
    found = World(settings, tmp_path)
    for version in (found.base, found.weekly):
        await topics.create(version)
    more = load()
    await write(settings, next(parse(FIXED)).events + more(40))

    async def traffic() -> None:
        while True:
            await write(settings, more(20))
            await asyncio.sleep(0.3)

    with found.workers, found.others:
        for workers in (found.workers, found.others):
            workers.start(f"{workers.settings.app}-1")
        for version in (found.base, found.weekly):
            await found.counts(version)
        found.workers.serve()
        await found.answers(found.base)
        works = (traffic(), found.clients.run(), found.remote.run())
        found.beside += [asyncio.create_task(work) for work in works]
        yield found
        for task in found.beside:
            assert not task.done(), task.result()
        await end(*found.beside)


async def test_no_read_fails_and_none_is_mixed_while_the_pointer_moves(world: World) -> None:
    """There and back under load, at first by the commands, then with kills between.

    Each answer's numbers are of its version: single rows, lists from page to page, and streams.
    """
    base, weekly = world.base, world.weekly
    versions = await world.json("/v1/versions")
    assert (versions["answered"], versions["pointed"]) == (base.app, base.app)
    assert (versions["preparing"], versions["former"]) == (None, None)
    await register(base)
    why = "--why", "weeks are what shops plan by"
    await world.command(weekly, "promote", "r1", "--within", "0", "--accept-diff", *why)
    versions = await world.json("/v1/versions")
    assert (versions["answered"], versions["former"]) == (weekly.app, base.app)
    assert [one["app"] for one in versions["beside"]] == [base.app]
    assert (await world.json("/v1/health"))["versions"].keys() == versions.keys()
    assert (await world.json("/v1/status"))["app"] == weekly.app
    metrics = (await world.probe.get("/metrics")).body.decode()
    assert f'netsold_version_info{{app="{weekly.app}"}} 1.0' in metrics
    assert "netsold_version_preparing_records 0.0" in metrics
    assert f'app="{base.app}"' not in metrics
    await world.command(base, "rollback", *why)
    assert await world.restart() == base.app
    await point(base, weekly, base)
    await world.answers(weekly)
    assert await world.restart() == weekly.app
    await point(base, base, weekly)  # the reader is killed before it can follow
    assert await world.restart() in {base.app, weekly.app}
    await world.answers(base)
    await world.move(weekly, base)
    await world.until(lambda: world.clients.read.total() >= READS, READ_WITHIN_S)
    assert min(world.clients.read[one.app] for one in (base, weekly)) > 500
    answers = [one for one in world.remote.events if one.subject == ("product", "p-fixed")]
    for one in answers:
        answer = one.data["answer"]
        days = world.clients.days[answer["freshness"]["version"]]
        assert answer["sold_monthly"] == SOLD[days]
        assert f"@{answer['freshness']['version']}:" in one.id
    assert world.remote.connected >= 6
