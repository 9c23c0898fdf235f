"""The reader on a real broker.

Aborted transactions, restarts, deleted topics, real workers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from operations.commands import tables
from operations.oracle.recount import recount
from operations.simulation.traffic import Plan, traffic
from schemas import envelope
from serving import lists
from serving.exports import exported_rows
from serving.reader import NotReady, Reader
from serving.subjects import PRODUCT
from serving.top_lists import TopWanted, top_products
from streams import log, topics
from streams.log_writer import Writer
from streams.marks import MARK_KEY
from streams.settings import Kafka, Settings
from tables import catalogue
from tests.faults.brokers import READY_S
from tests.reading import Changelogs, form_of, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from operations.local.kafka import LocalKafka
    from streams.log import At

WAIT_S = 60.0
JULY_MS = 1_783_123_200_000
EVENTS = [
    event
    for _, event in islice(
        traffic(Plan(11, "r", JULY_MS, 40_000_000, products=40, shops=5, only_orders=True)), 1200
    )
]


class Writing:
    """Writes a pipeline's changelogs and journal to the broker as workers do.

    Each mark ends a transaction.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.logs = Changelogs(settings, chunk=lambda: 100)
        self._written: dict[At, int] = {}

    async def take(self, events: list[dict[str, Any]]) -> None:
        """Write what events change, then an aborted transaction in each partition."""
        self.logs.take(events)
        for at, records in self.logs.changelogs.items():
            async with AIOKafkaProducer(
                **self.settings.client_options(), transactional_id=f"{self.settings.app}-{at}"
            ) as producer:
                await producer.begin_transaction()
                for record in records[self._written.get(at, 0) :]:
                    await producer.send(at[0], key=record.key, value=record.value, partition=at[1])
                    if record.key == MARK_KEY:
                        await producer.commit_transaction()
                        await producer.begin_transaction()
                await producer.commit_transaction()
                await producer.begin_transaction()
                for number in range(50):
                    await producer.send(
                        at[0], key=b"wrong@%d" % number, value=b"wrong", partition=at[1]
                    )
                await producer.abort_transaction()
            self._written[at] = len(records)


@pytest.fixture
async def writing(settings: Settings) -> Writing:
    """The topics of this test, and a writer to them."""
    await topics.create(settings)
    return Writing(settings)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is met, within bounds."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def exported(reader: Reader) -> dict[str, list[str]]:
    """The reader's rows as text, sorted."""
    found: dict[str, list[str]] = {part: [] for part in catalogue.REPORT_LISTS}
    for part, row in exported_rows(reader.answers()):
        found[part].append(json.dumps(row))
    return {part: sorted(rows) for part, rows in found.items()}


def expected(events: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The rows of an independent recount as text, sorted."""
    return {
        part: sorted(map(json.dumps, rows))
        for part, rows in recount(events, 30 * 86_400_000, 0).items()
    }


def journalled(reader: Reader, product_id: str) -> int:
    """A product's net units of all time, summed from its journal."""
    page = lists.journal(reader.answers(), product_id, 1000, None, newest=False)
    assert page is not None
    assert page.next_cursor is None
    return sum(
        entry["units_gross"] - entry["units_reversed"]
        for entry in page.items
        if entry["type"] == "entry"
    )


async def test_committed_records_are_read_to_the_end_and_others_never(writing: Writing) -> None:
    """The reader is live and has every committed record.

    Each partition ends with an aborted transaction and its marker.
    """
    await writing.take(EVENTS[:800])
    async with running(writing.settings) as reader:
        await until(lambda: reader.live)
        assert exported(reader) == expected(EVENTS[:800])
        assert reader.remaining() == 0
        await writing.take(EVENTS[800:])
        await until(lambda: exported(reader) == expected(EVENTS))
        assert reader.live
        best = form_of(top_products(reader.answers(), TopWanted(limit=1))).items[0]
        await until(lambda: journalled(reader, best.product_id) == best.successfully_traded)


async def test_the_three_ways_to_the_tables_agree(writing: Writing) -> None:
    """Changelogs, journal and an independent recount give the same rows."""
    for table in [table for table in catalogue.TABLES if table.name not in writing.logs.topics]:
        writing.logs.topics[table.name] = topics.changelog(writing.settings, table.name)
        for partition in (0, 1):
            writing.logs.changelogs[writing.logs.topics[table.name], partition] = []
    await writing.take(EVENTS)
    counted = recount(EVENTS, 30 * 86_400_000, 0)
    assert await tables.from_changelogs(writing.settings) == counted
    assert (await tables.read_journal(writing.settings))() == {
        part: counted[part] for part in ("products", "shops", "product_service")
    }
    repeated = next(record for record in writing.logs.logs["sales", 0] if record.key)
    async with Writer(writing.settings) as writer:
        await writer.send(writing.settings.topic("sales"), repeated.key, repeated.value)
    with pytest.raises(tables.EntryRepeated, match=r"the journal has the entry .* again"):
        await tables.read_journal(writing.settings)


async def test_a_restart_continues_from_the_stored_positions(writing: Writing) -> None:
    """The second run answers at once from the first one's store.

    It reads only new records.
    """
    await writing.take(EVENTS[:800])
    async with running(writing.settings) as reader:
        await until(lambda: reader.live)
        positions = {at: position for at, (position, _) in reader.behind().items()}
        known = exported(reader)
    await writing.take(EVENTS[800:])
    with structlog.testing.capture_logs() as lines:
        async with running(writing.settings) as reader:
            await until(lambda: bool(reader.behind()))
            assert all(
                position >= positions[at] > 0 for at, (position, _) in reader.behind().items()
            )
            reader.answers()
            await until(lambda: len(lines) >= 2)
            assert reader.live
            assert exported(reader) == expected(EVENTS) != known
    # the event index may follow
    assert [line["event"] for line in lines[:2]] == ["following", "live"]
    assert lines[0]["complete"]


async def test_an_empty_log_is_live(writing: Writing) -> None:
    """A reader of a log without records waits for nothing."""
    async with running(writing.settings) as reader:
        await until(lambda: reader.live)
        assert reader.answers().about(PRODUCT, "p-1", None) is None


async def test_topics_and_broker_may_be_created_later(settings: Settings) -> None:
    """A reader that started too early follows once they exist.

    It logs once what it waits for.
    """
    nowhere = settings.model_copy(
        update={
            "kafka": Kafka(bootstrap_servers="127.0.0.1:1"),
            "data_dir": settings.data_dir / "x",
        }
    )
    with structlog.testing.capture_logs() as lines:
        async with running(nowhere) as early, running(settings) as reader:
            await until(lambda: [one["log_level"] for one in lines].count("warning") == 2)
            with pytest.raises(NotReady, match="no Kafka answers"):
                early.answers()
            with pytest.raises(
                NotReady, match=r"there is no topic .*: run `netsold topics create`"
            ):
                reader.answers()
            await topics.create(settings)
            await until(lambda: reader.live)


async def test_a_topic_created_again_fills_a_new_store(writing: Writing) -> None:
    """Another log under the same name fills a new store.

    One line is logged, and no row of the old log is left.
    """
    settings = writing.settings
    await writing.take(EVENTS[:300])
    async with running(settings) as reader:
        await until(lambda: reader.live)
        assert exported(reader)["products"]
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    names = [
        topic.name for topic in topics.declared(settings) if topic.name != settings.topic("orders")
    ]
    await admin.delete_topics(names)
    await admin.close()
    await asyncio.sleep(1)
    await topics.create(settings)
    with structlog.testing.capture_logs() as lines:
        async with running(settings) as reader:
            await until(lambda: reader.live)
            assert exported(reader) == {part: [] for part in catalogue.REPORT_LISTS}
    assert [line["event"] for line in lines[:3]] == [
        "store set aside, filling a new one from the log",
        "following",
        "live",
    ]
    assert "it belongs to" in lines[0]["why"]


async def test_a_cut_log_fills_a_new_store(writing: Writing) -> None:
    """A stored position that the log no longer has starts a new store.

    One line is logged, and no gap is skipped.
    """
    settings = writing.settings
    await writing.take(EVENTS[:300])
    async with running(settings) as reader:
        await until(lambda: reader.live)
    await writing.take(EVENTS[300:])
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    await admin.delete_records({TopicPartition(settings.topic("sales"), 0): RecordsToDelete(-1)})
    await admin.close()
    with structlog.testing.capture_logs() as lines:
        async with running(settings) as reader:
            await until(lambda: reader.live)
            assert exported(reader) == expected(EVENTS)
    assert [line["event"] for line in lines[:3]] == [
        "store set aside, filling a new one from the log",
        "following",
        "live",
    ]
    assert "lies outside of" in lines[0]["why"]


async def test_a_stopped_broker_is_waited_for(writing: Writing, kafka: LocalKafka) -> None:
    """The reader answers from its tables meanwhile, and follows again afterwards."""
    await writing.take(EVENTS[:300])
    async with running(writing.settings) as reader:
        await until(lambda: reader.live)
        known = exported(reader)
        kafka.kill()
        try:
            await asyncio.sleep(2)
            assert exported(reader) == known
        finally:
            await asyncio.to_thread(kafka.start, READY_S)
        await writing.take(EVENTS[300:])
        await until(lambda: exported(reader) == expected(EVENTS))


# --- with workers


def _environment(settings: Settings, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "NETSOLD_APP": settings.app,
        "NETSOLD_TOPIC_PREFIX": settings.topic_prefix,
        "NETSOLD_PARTITIONS": str(settings.partitions),
        "NETSOLD_DATA_DIR": str(settings.data_dir),
        "NETSOLD_KAFKA__BOOTSTRAP_SERVERS": str(settings.kafka.bootstrap_servers),
        "NETSOLD_READER_PORT": str(port),
        "NETSOLD_IDLE_TICK_MS": "0",
    }


@contextmanager
def process(
    environment: dict[str, str], output: Path, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A netsold process, which is ended with the block."""
    with output.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "operations.cli", *arguments],
            env=environment,
            cwd=output.parent,
            stdout=file,
            stderr=file,
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


async def netsold(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """The result of a command: exit code, stdout, stderr."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "operations.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def series_agree(environment: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """The marketplace's days and cycles add up to the rows of all products."""
    sums: Counter[str] = Counter()
    by_cycle: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        sums.update(row["units"])
        by_cycle[row["cycle"]["start"]].update(row["units"])
    span = ("--from", "2026-06-01T00:00:00Z", "--to", "2026-12-01T00:00:00Z")
    command = ("series", "marketplace", "--json")
    days = json.loads((await netsold(environment, *command, "--days", *span))[1])["items"]
    cycles = json.loads((await netsold(environment, *command))[1])["items"]
    assert sum((Counter(day["units"]) for day in days), Counter()) == +sums
    assert any(item["units"]["gross"] for item in cycles)
    for item in cycles:
        assert +Counter(item["units"]) == +by_cycle[item["cycle"]["start"]]


def named(directory: Path, product_id: str, name: str) -> str:
    """A file that names a product."""
    path = directory / "names.jsonl"
    event = {"type": "product_named", "product_id": product_id, "name": name, "picture": None}
    path.write_text(json.dumps(event), encoding="utf-8")
    return str(path)


async def names_are_waited_for(
    environment: dict[str, str], directory: Path, product_id: str
) -> None:
    """Once an import of names has waited, the next answer has them."""
    for name in ("Green tea 250 g", "龙井茶 250克"):
        path = named(directory, product_id, name)
        code, out, err = await netsold(environment, "import", "--wait", "--json", path)
        assert (code, err) == (0, "")
        assert [position for position in json.loads(out)["positions"] if "names-" in position]
        shown = await netsold(environment, "get", "product", product_id, "--json")
        assert json.loads(shown[1])["name"] == name


async def test_readers_answer_what_workers_keep(settings: Settings, tmp_path: Path) -> None:
    """All commands agree with the recount.

    A worker and `netsold serve` run as processes, and serve ends by a signal.
    """
    await topics.create(settings)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = _environment(settings, port)
    async with Writer(settings) as writer:
        for event in EVENTS:
            key, value, headers = envelope.encode(event)
            await writer.send(settings.topic("orders"), key, value, headers)
    ends = await log.ends(settings, [settings.topic("orders")])
    wanted = {f"{topic}-{partition}": end - 1 for (topic, partition), end in ends.items()}
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    with (
        process(environment, tmp_path / "worker.log", "worker"),
        process(environment, tmp_path / "serve.log", "serve") as serve,
    ):
        deadline = time.monotonic() + WAIT_S
        while True:
            code, out, err = await netsold(environment, "status", "--json")
            if code == 0 and json.loads(out)["freshness"]["applied"] == wanted:
                break
            assert time.monotonic() < deadline, (
                out,
                err,
                (tmp_path / "worker.log").read_text(),
                (tmp_path / "serve.log").read_text(),
            )
            await asyncio.sleep(0.5)
        _, counted, _ = await netsold(environment, "recount", str(tmp_path / "events.jsonl"))
        code, out, err = await netsold(
            environment, "import", "--wait", "--json", str(tmp_path / "events.jsonl")
        )
        assert (code, err) == (0, "")
        ends = await log.ends(settings, [settings.topic("orders")])
        assert json.loads(out)["positions"] == {
            f"{topic}-{partition}": end - 1 for (topic, partition), end in ends.items()
        }
        assert (
            json.loads((await netsold(environment, "status", "--json"))[1])["freshness"]["applied"]
            == json.loads(out)["positions"]
        )
        for source in ("reader", "changelogs"):
            assert await netsold(environment, "tables", "--from", source) == (0, counted, "")
        code, out, _ = await netsold(environment, "tables", "--from", "journal")
        assert code == 0
        assert json.loads(out) == {
            part: json.loads(counted)[part] for part in ("products", "shops", "product_service")
        }
        best = json.loads((await netsold(environment, "top", "--json"))[1])["items"][0]
        shown = json.loads(
            (await netsold(environment, "get", "product", best["product_id"], "--json"))[1]
        )
        assert {name: value for name, value in shown.items() if name != "freshness"} == best
        await series_agree(environment, json.loads(counted)["products"])
        await names_are_waited_for(environment, tmp_path, best["product_id"])
        serve.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(serve.wait, 20) == 130, (tmp_path / "serve.log").read_text()
    assert (await netsold(environment, "top"))[0] == 5
    with process(environment, tmp_path / "again.log", "serve") as serve:
        deadline = time.monotonic() + WAIT_S
        while (await netsold(environment, "top", "--max-lag", "1000000h"))[0] != 0:
            assert time.monotonic() < deadline, (tmp_path / "again.log").read_text()
        code, _, err = await netsold(environment, "serve")
        assert (code, "can't listen at" in err) == (1, True)
        serve.terminate()
        assert await asyncio.to_thread(serve.wait, 20) == 0, (tmp_path / "again.log").read_text()
