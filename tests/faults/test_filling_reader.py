"""A reader is killed while it fills its first store, which nothing but flushes brings to disk."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from httpx import AsyncClient, HTTPError

from operations.local.ports import free_port
from operations.simulation.traffic import Plan, traffic
from schemas import envelope
from schemas.events import topic_of
from streams import log, topics
from streams.log_writer import Writer
from tests.faults.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.settings import Settings

pytestmark = [pytest.mark.faults, pytest.mark.kafka]

WAIT_S = 180.0
JULY_MS = 1_783_123_200_000
KILLS = 4
SLOW = """
import random, time
from schemas import limits
from serving import applying, store
limits.FOLLOW_RECORDS = 20
limits.LOOSE_ENTRIES = 3
apply, write = applying.Applier.apply, store.CacheStore.write
def slowly(self, step):
    time.sleep(0.02)
    return apply(self, step)
def flushed_at_times(self, batch, progress, *, logged=True):
    write(self, batch, progress, logged=logged)
    if not logged and random.random() < 0.2:
        self._db.flush()
applying.Applier.apply, store.CacheStore.write = slowly, flushed_at_times
"""
"""A reader with small steps that take their time, some of which are flushed, and which adds up the
entries of nearly each product."""


APART = """
from schemas import limits
limits.APART_RECORDS = 1
"""
"""A reader whose other process reads and folds the log."""


async def test_a_reader_killed_while_it_fills_is_as_one_never_killed(
    settings: Settings, tmp_path: Path
) -> None:
    """Whatever was lost is read again, and nothing counts twice: the same answers everywhere.

    The one never killed reads in another process.
    """
    plan = Plan(17, "f", JULY_MS, 40_000_000, products=40, shops=5)
    events = [event for _, event in islice(traffic(plan), 2000)]
    await topics.create(settings)
    async with Writer(settings) as writer:
        for event in events:
            key, value, headers = envelope.encode(event)
            await writer.send(settings.topic(topic_of(event["type"])), key, value, headers)
    await writer_is_done(settings, tmp_path)
    killed = settings.model_copy(update={"reader_port": free_port(0)})
    other = tmp_path / "other"
    other.mkdir()
    never = killed.model_copy(update={"reader_port": free_port(0), "data_dir": other})
    chance = random.Random(3)
    with Workers(killed, tmp_path) as one, Workers(never, other) as two:
        two.serve(APART)
        begun: list[dict[str, Any]] = []
        for _ in range(KILLS):
            one.serve(SLOW)
            number = len(begun) + 1
            await until(lambda n=number: len(followed(one)) == n, one)  # type: ignore[misc] # of a default
            await asyncio.sleep(0.2 + 0.6 * chance.random())
            assert not one.reader.logged('"event": "live"')
            one.kill(one.reader)
            begun = followed(one)
        one.serve(SLOW)
        found = [await all_answers(workers, events) for workers in (one, two)]
        begun = followed(one)
        assert two.reader.logged("reading the log in another process")
    assert not one.reader.logged("reading the log in another process")
    assert not any(line["complete"] for line in begun)
    behind = [line["records_behind"] for line in begun]
    assert behind[-1] < behind[0], "no flushed step survived a kill"
    assert behind == sorted(behind, reverse=True)
    assert found[0].keys() == found[1].keys()
    for path, answer in found[0].items():
        assert answer == found[1][path], path


async def writer_is_done(settings: Settings, directory: Path) -> None:
    """A worker applies all events, and ends."""
    with Workers(settings, directory) as workers:
        worker = workers.start("a")
        sources = [settings.topic("orders"), settings.topic("chats"), settings.topic("sales")]
        ends = await log.ends(settings, sources)
        deadline, steady_s = time.monotonic() + WAIT_S, time.monotonic()
        while time.monotonic() - steady_s < 5 or not worker.alive:
            await asyncio.sleep(0.2)
            assert time.monotonic() < deadline, worker.log.read_text(encoding="utf-8")
            now = await log.ends(settings, sources)
            if now != ends or not sum(now[at] for at in now if at[0] == sources[2]):
                ends, steady_s = now, time.monotonic()


def followed(workers: Workers) -> list[dict[str, Any]]:
    """What the reader logged each time that it began to follow its tables."""
    return [line for line in workers.reader.lines() if line.get("event") == "following"]


async def until(is_true: Callable[[], bool], workers: Workers) -> None:
    """Wait until a condition is met, within bounds."""
    deadline = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < deadline, workers.tail()
        await asyncio.sleep(0.01)


async def all_answers(workers: Workers, events: list[dict[str, Any]]) -> dict[str, Any]:
    """The answers at every address about what the events name, without their freshness."""
    lines = [line for event in events for line in event.get("lines", ())]
    products = sorted({line["product_id"] for line in lines if "product_id" in line})[:25]
    shops = sorted({event["shop_id"] for event in events if "shop_id" in event})
    span = "from=2026-06-01T00:00:00Z&to=2026-12-01T00:00:00Z"
    series = ("", "/cycles", f"/days?{span}")
    paths = ["/v1/cycles", "/v1/overdue?limit=1000", "/v1/export", "/v1/marketplace/hours"]
    paths += [f"/v1/marketplace{end}" for end in series]
    for kind, ids in (("product", products), ("shop", shops)):
        paths += [f"/v1/{kind}s/{quote(id_, safe='')}{end}" for id_ in ids for end in series]
        paths += [f"/v1/{kind}s/{quote(id_, safe='')}/explanation" for id_ in ids]
        for by in ("units", "growth", "reversal-rate", "good-reviews"):
            paths.append(f"/v1/top/{kind}s?by={by}&limit=100")
        paths.append(f"/v1/top/{kind}s?by=revenue&currency=CNY&limit=100")
    paths += [f"/v1/products/{quote(id_, safe='')}/journal?limit=1000" for id_ in products]
    paths += [f"/v1/shops/{quote(id_, safe='')}/top?limit=100" for id_ in shops]
    found: dict[str, Any] = {}
    address = f"http://127.0.0.1:{workers.settings.reader_port}"
    async with AsyncClient(base_url=address, timeout=60) as client:
        await is_live(client, workers)
        for path in paths:
            response = await client.get(path)
            assert response.status_code == 200, (path, response.text)
            if path == "/v1/export":
                found[path] = response.text.splitlines()[:-1]
            else:
                body = response.json()
                found[path] = {name: some for name, some in body.items() if name != "freshness"}
    return found


async def is_live(client: AsyncClient, workers: Workers) -> None:
    """Wait until the reader has all tables and its event index."""
    deadline = time.monotonic() + WAIT_S
    while True:
        assert time.monotonic() < deadline, workers.tail()
        try:
            response = await client.get("/v1/status")
            index = response.json()["index"] if response.status_code == 200 else None
            if index is not None and index["complete"] and not index["records_to_read"]:
                return
        except HTTPError:
            pass
        await asyncio.sleep(0.2)
