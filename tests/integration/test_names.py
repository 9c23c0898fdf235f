"""Names and lists of the best on a real broker: import, a reader, and its answers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from httpx import ASGITransport, AsyncClient

from serving.api import make_app
from streams import topics
from streams.log_writer import Writer
from tests.integration.test_reader import EVENTS, Writing, until
from tests.reading import running

if TYPE_CHECKING:
    from streams.settings import Settings

LONG_S = 60.0


@pytest.fixture
async def writing(settings: Settings) -> Writing:
    """The topics of this test, and a writer to them."""
    await topics.create(settings)
    return Writing(settings)


async def imported(settings: Settings, *lines: dict[str, Any]) -> dict[str, Any]:
    """The summary of `netsold import` of these lines."""
    environment = {
        "NETSOLD_APP": settings.app,
        "NETSOLD_TOPIC_PREFIX": settings.topic_prefix,
        "NETSOLD_PARTITIONS": str(settings.partitions),
        "NETSOLD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers or "",
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "operations.cli", "import", "--json", "-"),
        env=environment,
        stdin=pipe,
        stdout=pipe,
    )
    async with asyncio.timeout(LONG_S):
        out, _ = await process.communicate("\n".join(map(json.dumps, lines)).encode())
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    return found


async def test_imported_names_are_shown_and_found(writing: Writing) -> None:
    """They come beside events, survive a restart, and are removed without a name.

    A record that can't be read leaves the last good name.
    """
    settings = writing.settings
    await writing.take(EVENTS[:300])
    tea = {"type": "product_named", "product_id": "p-1", "name": "龙井茶 250克", "picture": None}
    summary = await imported(settings, tea, {"type": "shop_named", "shop_id": "s-1", "name": "Inn"})
    assert summary["topics"] == {settings.topic("names"): 2}

    async def name(client: AsyncClient, path: str) -> object:
        return (await client.get(f"/v1/{path}")).json().get("name")

    async with running(settings) as reader:
        transport = ASGITransport(make_app(reader))
        async with AsyncClient(transport=transport, base_url="http://r") as client:
            await until(lambda: reader.live and not reader.remaining())
            assert await name(client, "products/p-1") == tea["name"]
            assert await name(client, "shops/s-1") == "Inn"
            found = (await client.get("/v1/search", params={"q": "井茶"})).json()["items"]
            assert [(one["id"], one["name"]) for one in found] == [("p-1", tea["name"])]
            async with Writer(settings) as writer:
                await writer.send(settings.topic("names"), b"product/p-1", b"{")
            await imported(settings, {"type": "shop_named", "shop_id": "s-1", "name": None})
            async with asyncio.timeout(LONG_S):
                while await name(client, "shops/s-1") is not None:
                    await reader.change()
    async with running(settings) as reader:
        transport = ASGITransport(make_app(reader))
        async with AsyncClient(transport=transport, base_url="http://r") as client:
            await until(lambda: reader.live and not reader.remaining())
            assert await name(client, "products/p-1") == tea["name"]


async def test_lists_of_the_best_are_those_of_the_log(writing: Writing) -> None:
    """The products of a shop add up to its entries, while the reader follows and at its end."""
    settings = writing.settings
    async with running(settings) as reader:
        await writing.take(EVENTS)
        entries = writing.logs.entries
        cycle = max(Counter(entry.cycle for entry in entries).items(), key=lambda one: one[1])[0]
        totals: Counter[str] = Counter()
        for entry in entries:
            if (entry.shop_id, entry.cycle) == ("s-1", cycle):
                totals[entry.product_id] += entry.units_gross - entry.units_reversed
        expected = sorted((-units, id_) for id_, units in totals.items() if units)
        assert expected
        transport = ASGITransport(make_app(reader))
        async with AsyncClient(transport=transport, base_url="http://r") as client:

            async def listed() -> list[tuple[int, str]]:
                answer = await client.get(f"/v1/shops/s-1/top?cycle={cycle}&limit=1000")
                items = answer.json().get("items", [])
                return [(-one["in_shop"]["units"], one["product_id"]) for one in items]

            async with asyncio.timeout(LONG_S):
                while await listed() != expected:
                    await reader.change()
            rated = await client.get(f"/v1/top/products?cycle={cycle}&by=reversal-rate")
            rates = [
                one["units"]["reversed"] / one["units"]["gross"] for one in rated.json()["items"]
            ]
            assert rates == sorted(rates, reverse=True)
