"""A real Prometheus over a real worker and reader: rules and panels find what they are for."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from operations.local.ports import LOCALHOST, free_port
from operations.simulation.traffic import Plan, traffic
from schemas import envelope
from schemas.events import topic_of
from streams import topics
from streams.log_writer import Writer
from tests.faults.workers import Workers
from tests.monitoring import PROMETHEUS, expressions, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streams.settings import Settings

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="prometheus isn't installed: apt-get install prometheus",
    ),
]

WAIT_S: Final = 60.0
EVERY: Final = "1s"
EMPTY: Final = {
    "panel Faults by code, A": "nothing is wrong",
    "panel Faults by code, B": "the reader is ready",
    "panel Faults by code, C": "nothing is paused",
    "panel Since an audit agreed, A": "no audit was run",
    "panel Connections and streams, C": "no connection was closed",
    "panel Events of streams, A": "no stream is open",
    "panel Wrong partition, and refused journal records, A": "every event is where it belongs",
    "panel Refused requests, A": "no request was refused",
}
"""Panels that show nothing while all is well, and why."""


class Prometheus:
    """A Prometheus at a port of this machine."""

    def __init__(self, port: int) -> None:
        self._address = f"http://{LOCALHOST}:{port}/api/v1"

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - the data of an answer
        """The data of an answer. Raises HTTPError where an expression can't be evaluated."""
        with urlopen(f"{self._address}{path}?{urlencode(query)}", timeout=10) as answer:  # noqa: S310 - http alone
            return json.load(answer)["data"]

    def found(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now."""
        found: list[dict[str, Any]] = self.get("/query", query=expression)["result"]
        return found


@contextmanager
def scraping(directory: Path, worker_port: int, reader_port: int) -> Iterator[Prometheus]:
    """Prometheus with our configuration, but for the addresses and how often it looks."""
    config = read(PROMETHEUS / "prometheus.yml")
    config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    config["rule_files"] = [str(PROMETHEUS / "rules.yml")]
    for job, port in zip(config["scrape_configs"], (worker_port, reader_port), strict=True):
        del job["dns_sd_configs"]
        job.pop("authorization", None)
        job["static_configs"] = [{"targets": [f"{LOCALHOST}:{port}"]}]
    path, port = directory / "prometheus.yml", free_port(0)
    path.write_text(yaml.safe_dump(config))
    options = (f"--config.file={path}", f"--storage.tsdb.path={directory / 'prometheus'}")
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ("prometheus", *options, f"--web.listen-address={LOCALHOST}:{port}"),
            stdout=log,
            stderr=log,
        )
        try:
            yield Prometheus(port)
        finally:
            process.terminate()
            process.wait(20)


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; the last failure is raised after WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            if await asyncio.to_thread(condition):
                return
        except (URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, condition
        await asyncio.sleep(0.5)


async def write(settings: Settings, count: int) -> None:
    """Write events of orders and chats, and a record that is none."""
    start_ms = int(time.time() * 1000) - 600_000
    plan = Plan(5, "m", start_ms, 1_000, day_ms=10_000, shops=3, products=10)
    async with Writer(settings) as writer:
        for _, event in islice(traffic(plan), count):
            await writer.send(settings.topic(topic_of(event["type"])), *envelope.encode(event))
        await writer.send(settings.topic("orders"), b"o-1", b"no event")


async def test_rules_and_panels_find_what_they_are_for(settings: Settings, tmp_path: Path) -> None:
    """Every rule is healthy and every panel shows something, except where all is well."""
    settings = settings.model_copy(update={"reader_port": free_port(0)})
    worker_port = free_port(0)
    await topics.create(settings)
    with (
        Workers(settings, tmp_path) as workers,
        scraping(tmp_path, worker_port, settings.reader_port) as prometheus,
    ):
        workers.start("a", METRICS_PORT=str(worker_port))
        workers.serve()
        await until(lambda: len(prometheus.found("up == 1")) == 2)
        await write(settings, 400)  # scraped from the start, so the counters rise from 0
        await until(lambda: prometheus.found('netsold_events_total{outcome="refused"} > 0'))
        await write(settings, 800)
        for where, expression in expressions().items():
            if where.startswith("panel") and where not in EMPTY:
                await until(partial(prometheus.found, expression))
        groups = prometheus.get("/rules")["groups"]
        checked = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        assert set(checked.values()) == {"ok"}, checked
        for expression in expressions().values():
            try:
                prometheus.found(expression)
            except HTTPError as error:
                pytest.fail(f"{expression}: {error.read().decode()}")
        await until(lambda: prometheus.found('ALERTS{alertname="NetsoldDeadLettersOpen"}'))
        worker = workers.all["a"]
        assert worker.process is not None
        worker.process.kill()
        await until(lambda: prometheus.found('ALERTS{alertname="NetsoldAway"}'))
        await until(lambda: prometheus.found('ALERTS{alertname="NetsoldNotLive"}'))
