"""Traces of a real worker and a real reader, as a collector gets them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from operations.local.ports import LOCALHOST, free_port
from schemas import envelope
from streams import topics
from streams.log_writer import Writer
from tests.collector import attributes, collecting
from tests.faults.workers import Workers
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.kafka

WAIT_S: Final = 90.0
TRACE, WRITER, CLIENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
STORY: Final = """== of the test
2026-07-08T08:00Z  placed    o-1  1:p-3:2x1000 shop=s-1
2026-07-09T08:00Z  received  o-1
"""


async def until(condition: Callable[[], object], workers: Workers) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, workers.tail()
        await asyncio.sleep(0.2)


async def test_a_collector_gets_chunks_steps_and_requests(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk is linked to the span that wrote its event, a request is in its client's trace.

    A collector that is away delays no stop.
    """
    settings = settings.model_copy(update={"reader_port": free_port(0)})
    await topics.create(settings)
    with Workers(settings, tmp_path) as workers:
        with collecting() as collector:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
            monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
            workers.start("a")
            workers.serve()
            async with Writer(settings) as writer:
                for event in next(parse(STORY)).events:
                    key, value, headers = envelope.encode(event)
                    traced = ("traceparent", f"00-{TRACE}-{WRITER}-01".encode())
                    await writer.send(settings.topic("orders"), key, value, [*headers, traced])
            address = f"http://{LOCALHOST}:{settings.reader_port}/v1/products/p-3"

            def answered() -> bool:
                header = {"traceparent": f"00-{TRACE}-{CLIENT}-01"}
                try:
                    with urlopen(Request(address, headers=header), timeout=10):
                        return True
                except (URLError, ConnectionError):
                    return False

            await until(answered, workers)
            name = f"process {settings.topic('orders')}"
            await until(lambda: collector.named("netsold-worker", name), workers)
            await until(lambda: collector.named("netsold-reader", "apply tables"), workers)
            route = "GET /v1/products/{product_id:path}"
            await until(lambda: collector.named("netsold-reader", route), workers)
            (first, *_) = collector.named("netsold-worker", name)
            steps = [span.name for span in collector.children(first)]
            assert steps == ["fetch", "wait", "fold", "begin", "produce", "commit", "store write"]
            linked = {(one.trace_id.hex(), one.span_id.hex()) for one in first.links}
            assert linked == {(TRACE, WRITER)}
            assert attributes(first)["messaging.destination.name"] == settings.topic("orders")
            requests = collector.named("netsold-reader", route)
            assert {one.trace_id.hex() for one in requests} == {TRACE}
            assert {one.parent_span_id.hex() for one in requests} == {CLIENT}
        workers.stop()
        workers.stop_one(workers.reader)
