"""Streams that are cut off at any event and resumed, over any steps of the log."""

from __future__ import annotations

import asyncio
import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from operations.simulation.traffic import Plan, traffic
from serving import hub
from serving.api import make_app
from tests.events import Client, Event
from tests.reading import Changelogs, FedReader, settings_in
from tests.unit.test_stream import answers, shows, step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

JULY_MS = 1_783_123_200_000
EVENTS = [
    event
    for _, event in islice(
        traffic(Plan(7, "s", JULY_MS, 40_000_000, products=6, shops=2, only_orders=True)), 160
    )
]
PRODUCTS = sorted(
    {
        line["product_id"]
        for event in EVENTS
        for line in event.get("lines", ())
        if "product_id" in line
    }
)
STATES = [*(("product", id_) for id_ in PRODUCTS), ("top", "products:units"), ("marketplace", "")]
WATCHED = [*STATES, *(("entries", id_) for id_ in PRODUCTS)]

Cut = tuple[int, float, bool]
"""How many events come, at which part of the received events the client is cut off (1: it isn't),
and whether it resumes at the other reader."""

cuts = st.lists(
    st.tuples(st.integers(1, 60), st.floats(0, 1), st.booleans()), min_size=1, max_size=6
)


@given(cuts=cuts)
@examples(max_examples=6)
def test_what_a_client_has_in_the_end_is_the_tables_and_the_journal(cuts: list[Cut]) -> None:
    """Whatever came last before it was cut off, each entry comes once, and the states are right."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_is_complete(Path(directory), cuts))


async def _is_complete(directory: Path, cuts: list[Cut]) -> None:
    hub.TICK_S, tick_s = 0.0, hub.TICK_S  # type: ignore[misc]
    logs = Changelogs(settings_in(directory))
    readers = [FedReader(settings_in(directory / name), logs) for name in ("a", "b")]
    apps = [make_app(reader) for reader in readers]
    try:
        received = await _received(logs, readers, apps, cuts)
    finally:
        hub.TICK_S = tick_s  # type: ignore[misc]
        for reader in readers:
            reader.close()
    for product_id in PRODUCTS:
        assert [
            event.data["entry"] for event in received if event.subject == ("entry", product_id)
        ] == _journal(logs, product_id)


async def _received(
    logs: Changelogs, readers: list[FedReader], apps: Sequence[FastAPI], cuts: list[Cut]
) -> list[Event]:
    """What a client has that is cut off and resumes."""
    received: list[Event] = []
    coming = iter(EVENTS)
    at = 0
    for reader in readers:
        await step(reader)
    client = Client(apps[at], WATCHED)
    await client.until(lambda: client.events)
    for count, part, other in cuts:
        logs.take(list(islice(coming, count)))
        await step(readers[at])
        await shows(client, await answers(apps[at], STATES))
        await client.leave()
        received += client.events[: max(1, round(part * len(client.events)))]
        at = 1 - at if other else at
        await step(readers[at])
        client = Client(apps[at], WATCHED, received[-1].id)
    logs.take(list(coming))
    await step(readers[at])
    await shows(client, await answers(apps[at], STATES))
    wanted = sum(len(_journal(logs, product_id)) for product_id in PRODUCTS)
    await client.until(lambda: _entries(received) + _entries(client.events) >= wanted)
    await client.leave()
    return received + client.events


def _entries(events: list[Event]) -> int:
    return [event.name for event in events].count("entry")


def _journal(logs: Changelogs, product_id: str) -> list[dict[str, Any]]:
    return [
        json.loads(record.value or b"")
        for partition in (0, 1)
        for record in logs.changelogs[logs.topics["journal"], partition]
        if record.key == product_id.encode()
    ]
