"""The sample consumers of docs/samples on a real journal: each has the tables' revenue, by day.

The journal has restatements, and records of a transaction that was aborted.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from jsonschema_rs import Draft202012Validator

from docs import topic_pages
from operations.contract import forms
from operations.oracle.recount import recount
from operations.simulation.faults import Faults
from schemas import envelope
from schemas.envelope import Tick, read_chat
from schemas.refusals import Refusal
from schemas.times import DAY_MS, format_ms
from streams import log, topics
from streams.settings import Kafka, Settings
from tables import catalogue
from tests import published
from tests.applications import new_application
from tests.faults.evidence import published_logs
from tests.faults.runner import Run, made
from tests.pages import program
from tests.two_versions import in_environment, point, register, weekly_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from operations.local.kafka import LocalKafka

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="session")]

SAMPLES: Final = Path(__file__).parents[2] / "docs" / "samples"
EVENTS: Final = 1500
FAULTS: Final = Faults(duplicates=0.02, out_of_order=0.2, late=3 * DAY_MS, poison=0.01)
ABORTED: Final = {
    "type": "entry",
    "sold_at": "2026-07-20T00:00:00.000Z",
    "currency": "CNY",
    "amount_gross": 10**12,
    "amount_reversed": 0,
}


@dataclass(frozen=True, slots=True)
class Sold:
    """An application whose events are all applied, and what the samples must print."""

    settings: Settings
    expected: dict[str, Any]

    @property
    def arguments(self) -> tuple[str, str]:
        """Those of every sample."""
        servers = self.settings.kafka.bootstrap_servers
        return str(servers), self.settings.topic(catalogue.SALES_TOPIC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sold(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sold]:
    """One worker has applied events with faults, and ended."""
    folder = tmp_path_factory.mktemp("samples")
    servers = Kafka(bootstrap_servers=kafka.status().bootstrap)
    settings = new_application(folder, kafka=servers)
    with Run(settings, folder) as run:
        await run.write(made(21, EVENTS, FAULTS))
        run.workers.start("a")
        await run.end_time()
        await run.caught_up()
        await asyncio.to_thread(run.workers.stop)
        await abort(settings)
        yield Sold(settings, await expected_of(settings, run.events))


async def abort(settings: Settings) -> None:
    """Write an entry to each partition of the journal, in a transaction that is aborted."""
    producer = AIOKafkaProducer(
        **settings.client_options(), transactional_id=f"{settings.app}-aborted"
    )
    async with producer:
        await producer.begin_transaction()
        for partition in range(settings.partitions):
            value = json.dumps(ABORTED).encode()
            await producer.send(settings.topic(catalogue.SALES_TOPIC), value, partition=partition)
        await producer.flush()
        await producer.abort_transaction()


async def expected_of(settings: Settings, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Revenue by day, as the recount has it with cycles of a day, and the last marks' time."""
    by_day: Counter[tuple[str, str]] = Counter()
    for row in recount(events, DAY_MS, 0)["products"]:
        for currency, sums in row["revenue"].items():
            by_day[row["cycle"]["start"][:10], currency] += sums["net"]
    marks = {
        (record.partition, found["partition"]): found["watermark_ms"]
        for record, found in await values(settings, catalogue.SALES_TOPIC)
        if found["type"] == "mark"
    }
    assert len(marks) == settings.partitions**2
    return {
        "complete_through": format_ms(min(marks.values())),
        "revenue": [[*key, amount] for key, amount in sorted(by_day.items()) if amount],
    }


async def records_of(settings: Settings, topic: str) -> list[Any]:
    """The committed records of a topic (without prefix)."""
    async with aclosing(log.records(settings, settings.topic(topic))) as batches:
        return [record async for records in batches for record in records]


async def values(settings: Settings, topic: str) -> list[tuple[Any, Any]]:
    """The same, each with its JSON."""
    return [(record, json.loads(record.value)) for record in await records_of(settings, topic)]


async def printed(*command: str | Path, folder: Path) -> dict[str, Any]:
    """The JSON object that a sample prints; its time as netsold writes it."""
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    through = str(found["complete_through"]).removesuffix("Z").removesuffix("+00:00")
    return found | {"complete_through": f"{through.ljust(19 + 1, '.').ljust(23, '0')[:23]}Z"}


async def test_the_journal_has_restatements(sold: Sold) -> None:
    """So the samples are tested with what a cycle gets after its end."""
    entries = [one for _, one in await values(sold.settings, catalogue.SALES_TOPIC)]
    assert any(one.get("restates") for one in entries if one["type"] == "entry")
    assert len(sold.expected["revenue"]) > 20


async def test_python(sold: Sold) -> None:
    """The sample by aiokafka."""
    folder = SAMPLES / "python"
    found = await printed(sys.executable, "revenue.py", *sold.arguments, folder=folder)
    assert found == sold.expected


async def test_a_rebuild_has_a_journal_of_its_own(sold: Sold, tmp_path: Path) -> None:
    """The topic `control` names it, as its page shows; it gives the same revenue.

    The rebuild has other cycles, so its entries differ.
    """
    weekly = weekly_settings(sold.settings)
    await register(sold.settings)
    with Run(weekly, tmp_path, **in_environment(weekly, tmp_path)) as rebuild:
        await topics.create(weekly)
        rebuild.workers.start("r1")
        await rebuild.caught_up()
        await asyncio.to_thread(rebuild.workers.stop)
    await point(sold.settings, weekly, sold.settings)
    control = {
        record.key.decode(): found
        for record, found in await values(sold.settings, catalogue.CONTROL_TOPIC)
    }
    journal = program(topic_pages.FOLDER / "control.md")["journal"](
        control, sold.settings.topic_prefix
    )
    assert journal == weekly.topic(catalogue.SALES_TOPIC) != sold.arguments[1]
    folder = SAMPLES / "python"
    command = (sys.executable, "revenue.py", sold.arguments[0], journal)
    assert await printed(*command, folder=folder) == sold.expected


async def test_go(sold: Sold, tmp_path: Path) -> None:
    """The sample by franz-go."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    folder = SAMPLES / "go"
    built = tmp_path / "revenue"
    done = await asyncio.to_thread(
        subprocess.run,
        [go, "build", "-o", str(built), "."],
        cwd=folder,
        env=os.environ | {"GOPROXY": "off"},  # only what is here already
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if "GOPROXY=off" in done.stderr:
        pytest.skip("`make clients` was not run")
    assert done.returncode == 0, done.stderr
    assert await printed(built, *sold.arguments, folder=folder) == sold.expected


async def test_javascript(sold: Sold) -> None:
    """The sample by kafkajs, without a plugin: it can read the default compression."""
    node, folder = shutil.which("node"), SAMPLES / "javascript"
    if node is None or not (folder / "node_modules").exists():
        pytest.skip("node is not installed, or `make clients` was not run")
    found = await printed(node, "revenue.js", *sold.arguments, folder=folder)
    assert found == sold.expected


async def test_tables_in_javascript(
    settings: Settings, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The table and the ends of cycles, by kafkajs: the recount's, each time it goes on.

    Between its runs more events arrive, which restate cycles, and readers are led to a rebuild
    with other cycles. It knows through when it is complete, and reads no record twice.
    """
    node, folder = shutil.which("node"), SAMPLES / "javascript"
    if node is None or not (folder / "node_modules").exists():
        pytest.skip("node is not installed, or `make clients` was not run")
    items, file = made(23, EVENTS, FAULTS), tmp_path / "table.json"
    arguments = (str(settings.kafka.bootstrap_servers), str(file), settings.topic_prefix)
    offsets: list[dict[str, str]] = [{}, {}]
    with Run(settings, tmp_path) as run:
        for part in (items[: EVENTS // 2], items[EVENTS // 2 :]):
            await run.write(part)
            run.workers.start("a")
            await run.end_time()
            await run.until_ends_are_sent()
            await asyncio.to_thread(run.workers.stop)
            await has_the_recount(run, await printed(node, "tables.js", *arguments, folder=folder))
            before, offsets = offsets, json.loads(file.read_bytes())["offsets"]
            assert all(int(offsets[0][key]) > int(one) for key, one in before[0].items())
        events, weekly = run.events, weekly_settings(settings)
    await register(settings)
    rebuilt = tmp_path_factory.mktemp("rebuilt")
    with Run(weekly, rebuilt, **in_environment(weekly, rebuilt)) as rebuild:
        rebuild.events = events
        await topics.create(weekly)
        rebuild.workers.start("r1")
        await rebuild.until_ends_are_sent()
        await asyncio.to_thread(rebuild.workers.stop)
        await point(settings, weekly, settings)
        found = await printed(node, "tables.js", *arguments, folder=folder)
        await has_the_recount(rebuild, found)


async def has_the_recount(run: Run, found: dict[str, Any]) -> None:
    """What a sample printed has the recount's products, now and at the ends of cycles."""
    settings = run.settings
    calendar = settings.terms.calendar
    counted = recount(run.events, calendar.length_ms, calendar.anchor_ms)["products"]
    wanted = {(row["product_id"], row["cycle"]["start"]): row["revenue"] for row in counted}
    rows = {
        (row["product_id"], row["cycle"]["start"]): row["revenue"]
        for row in found["rows"]
        if row["cycle"] is not None and (row["units_by_currency"] or row["revenue"])
    }
    assert rows == wanted
    logs = await published_logs(settings)
    assert not [*published.unsent(logs, settings.terms.calendar)]
    last = {
        partition: record["as_of"]
        for partition, _, record in published.of_topic(logs, catalogue.PRODUCT_SALES_TOPIC)
        if record["type"] == "complete_through"
    }
    assert found["complete_through"] == min(last.values())
    ended = {at: revenue for at, revenue in wanted.items() if at[1] < found["ended_until"]}
    of_cycles = {
        (name.split("product/")[1].split(" ")[0], name.split(" ")[-1]): one["sales"]["revenue"]
        for name, one in found["cycles"].items()
        if name.startswith("product/")
        and (one["sales"]["units_by_currency"] or one["sales"]["revenue"])
    }
    assert ended
    assert {at: revenue for at, revenue in of_cycles.items() if at in ended} == ended
    shares: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    for name, one in found["cycles"].items():
        if name.startswith("marketplace"):
            for currency, money in one["sales"]["revenue"].items():
                shares[name.split(" ")[-1], currency] += money["net"]
    for (_, start), revenue in ended.items():
        for currency, money in revenue.items():
            sums[start, currency] += money["net"]
    assert shares == sums


async def test_sql(sold: Sold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal as JSON lines, and a query of DuckDB over it."""
    with (tmp_path / "sales.jsonl").open("wb") as lines:
        await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(SAMPLES / "sql" / "export.py"), *sold.arguments],
            stdout=lines,
            check=True,
            timeout=300,
        )
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as connection:
        text = (SAMPLES / "sql" / "revenue.sql").read_text(encoding="utf-8")
        *made_, revenue, complete = connection.extract_statements(text)
        for statement in made_:
            connection.execute(statement)
        days = connection.execute(revenue).fetchall()
        (through,) = connection.execute(complete).fetchone() or (None,)
    assert {
        "complete_through": through,
        "revenue": [list(row) for row in days],
    } == sold.expected


async def test_every_record_fits_its_schema(sold: Sold) -> None:
    """Accepted events, journal rows, marks, alerts and dead letters, as they are in Kafka."""
    by_name = {one.title: Draft202012Validator(forms.schema_of(one)) for one in forms.FORMS}
    seen: Counter[str] = Counter()

    def fits(name: str, found: object) -> None:
        by_name[name].validate(found)
        seen[name] += 1

    for topic in (
        catalogue.SALES_TOPIC,
        catalogue.SHOP_ACTIVITY_TOPIC,
        catalogue.PRODUCT_SALES_TOPIC,
        catalogue.SHOP_SALES_TOPIC,
        catalogue.CYCLES_TOPIC,
        catalogue.ALERTS_TOPIC,
    ):
        for _, found in await values(sold.settings, topic):
            fits("alert" if topic == catalogue.ALERTS_TOPIC else found["type"], found)
    for topic, read in (
        (catalogue.ORDERS_TOPIC, envelope.read),
        (catalogue.CHATS_TOPIC, read_chat),
    ):
        for record in await records_of(sold.settings, topic):
            event = read(record)
            if isinstance(event, Refusal):
                continue
            headers = {name: value.decode() for name, value in record.headers}
            if not isinstance(event, Tick):
                fits("event_headers", headers)
            is_tick = isinstance(event, Tick)
            _, kind, version = headers.get("ce_dataschema", f"::{headers['ce_type']}:1").rsplit(
                ":", 2
            )
            title = kind if version == "1" else f"{kind}.{version}"
            fits(title, headers if is_tick else json.loads(record.value))
    for record in await records_of(sold.settings, catalogue.DEAD_LETTERS_TOPIC):
        fits("dead_letter", {name: raw.decode(errors="replace") for name, raw in record.headers})
    wanted = {"entry", "service", "mark", "shop_activity", "alert", "dead_letter", "time_tick"}
    wanted |= {"product_sales", "shop_sales", "complete_through", "cycle_ended"}
    assert wanted | {"order_placed", "refund_succeeded", "buyer_messaged"} <= set(seen)
