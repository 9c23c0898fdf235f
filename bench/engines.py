"""The engines of the bench: their commands, the topics they read, and how to read their tables."""

from __future__ import annotations

import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import job
from bench.measure import ROOT, Job, Measured, processes, watch
from operations.commands.tables import from_changelogs
from operations.local.kafka import LocalKafka
from schemas.envelope import encode, tick
from streams import log, topics
from streams.log_writer import Writer
from streams.settings import Kafka, Settings
from tables import catalogue
from tables.report import report

QUIX_PYTHON = ROOT / ".venv-bench" / "bin" / "python"

Report = dict[str, list[dict[str, Any]]]
SUMS = tuple(
    name for names in job.TABLES.values() for name in names if name != catalogue.SHOP_BUYERS.name
)
Between = Callable[[set[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Engine:
    """One row of the bench.

    `most_events` bounds an engine that is too slow for a whole history; `topic` is the topic that
    it reads. `report` returns its tables in the form of recount, of which `lists` are compared.
    """

    name: str
    title: str
    commands: Callable[[], Sequence[Sequence[str]]]
    between: Callable[[Settings], Between]
    report: Callable[[Settings], Awaitable[Report]] | None
    most_events: int | None = None
    ready: str = ""
    topic: str = catalogue.ORDERS_TOPIC
    lists: tuple[str, ...] = (
        "products",
        "shops",
        "product_service",
        "shop_service",
        "shop_service_totals",
    )

    def events_of(self, count: int) -> int:
        """The number of events that it gets in a run of `count` events."""
        return min(count, self.most_events or count)


@dataclass(frozen=True, slots=True)
class Events:
    """The events of one topic as lines of a file by arrival; the latest event time is `last_ms`."""

    path: Path
    count: int
    last_ms: int

    def bare(self) -> Iterator[dict[str, Any]]:
        """The events in bare JSON form."""
        with self.path.open("rb") as file:
            for line in file:
                yield msgspec.json.decode(line)


def settings_of(bootstrap: str, directory: Path) -> Settings:
    """Settings of an application with a new name."""
    app = f"bench-{uuid.uuid4().hex[:8]}"
    return Settings(
        _env_file=None,
        app=app,
        topic_prefix=f"{app}.",
        data_dir=directory / app,
        kafka=Kafka(bootstrap_servers=bootstrap),
    )


def by_size(show: Callable[[Settings, Path, int], None], sizes: Sequence[int]) -> None:
    """Measure and print each size that the command line names, or each of `sizes`."""
    of_sizes(show, [int(one) for one in sys.argv[1:]] or sizes)


def of_sizes(show: Callable[[Settings, Path, int], None], sizes: Sequence[int]) -> None:
    """Measure and print each size, with an application and a directory of its own, on one Kafka."""
    with tempfile.TemporaryDirectory() as name:
        kafka = LocalKafka(Path(name))
        bootstrap = kafka.start()
        try:
            for size in sizes:
                directory = Path(name) / str(size)
                show(settings_of(bootstrap, directory), directory, size)
        finally:
            kafka.stop()


async def load(
    settings: Settings, name: str, events: Iterable[dict[str, Any]], last_ms: int
) -> None:
    """Declare the topics, and write events to one of them; their latest time is `last_ms`."""
    await topics.create(settings)
    topic = settings.topic(name)
    async with Writer(settings) as writer:
        for event in events:
            await writer.send(topic, *encode(event))
        if (
            name == catalogue.CHATS_TOPIC
        ):  # what is overdue depends on event time: the same everywhere
            value, headers = tick(last_ms)
            for partition in range(settings.partitions):
                await writer.send(topic, None, value, headers, partition)


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of a run's processes."""
    return {
        "NETSOLD_APP": settings.app,
        "NETSOLD_TOPIC_PREFIX": settings.topic_prefix,
        "NETSOLD_DATA_DIR": str(settings.data_dir),
        "NETSOLD_KAFKA__BOOTSTRAP_SERVERS": str(settings.kafka.bootstrap_servers),
        # Ticks are written to idle partitions, where they would move the ends.
        "NETSOLD_IDLE_TICK_MS": "0",
        "BENCH_APP": settings.app,
        "BENCH_TOPIC": settings.topic(catalogue.ORDERS_TOPIC),
        "BENCH_KAFKA": str(settings.kafka.bootstrap_servers),
        "BENCH_PARTITIONS": str(settings.partitions),
        "BENCH_DIRECTORY": str(settings.data_dir / "state"),
    }


async def run(engine: Engine, settings: Settings, events: Events) -> tuple[Measured, Report | None]:
    """Load, run and measure one engine; also its tables, if it has any. Raises EngineFailed."""
    await load(settings, engine.topic, events.bare(), events.last_ms)
    environment = environment_of(settings)
    job_ = Job(settings.app, settings.topic(engine.topic), engine.between(settings), engine.ready)
    with processes(settings.data_dir / "logs") as running:
        for command in engine.commands():
            running.start(command, environment)
        measured = await watch(settings, running, job_)
    return measured, None if engine.report is None else await engine.report(settings)


# --- their tables


async def _of_faust(settings: Settings) -> Report:
    tables: dict[str, dict[bytes, bytes]] = {}
    for name in SUMS:
        states = await _last(settings, f"{settings.app}-{name}-changelog")
        tables[name] = {
            _key(*msgspec.json.decode(key).rsplit(" ", 1)): value for key, value in states.items()
        }
    return _report(tables)


async def _of_quix(settings: Settings) -> Report:
    tables: dict[str, dict[bytes, bytes]] = {name: {} for name in SUMS}
    for changelog in [
        name
        for name in await _topics(settings)
        if name.startswith(f"changelog__{settings.app}--repartition")
    ]:
        for key, value in (await _last(settings, changelog)).items():
            id_, _, name = key.rpartition(b"|")
            table, _, rest = msgspec.json.decode(name).partition(" ")
            if table in tables:
                tables[table][_key(msgspec.json.decode(id_), rest)] = value
    return _report(tables)


def _key(id_: str, start_ms: str) -> bytes:
    """A row's key in netsold's form; `start_ms` is empty for rows of all time."""
    return catalogue.cycle_key(id_.encode(), int(start_ms)) if start_ms else id_.encode()


async def _last(settings: Settings, topic: str) -> dict[bytes, bytes]:
    """The last value of every key."""
    found = {}
    async for records in log.records(settings, topic):
        for record in records:
            found[record.key] = record.value
    return found


async def _topics(settings: Settings) -> set[str]:
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


def _report(tables: dict[str, dict[bytes, bytes]]) -> Report:
    none = {table.name: () for table in catalogue.TABLES}
    return report(job.TERMS, none | {name: table.items() for name, table in tables.items()})


# --- the engines


def _nothing_between(_: Settings) -> Between:
    return lambda _: ()


def _netsold_between(settings: Settings) -> Between:
    return lambda _: [
        settings.topic(catalogue.SALES_TOPIC),
        settings.topic(catalogue.SHOP_ACTIVITY_TOPIC),
    ]


def _chats_between(settings: Settings) -> Between:
    return lambda _: [settings.topic(catalogue.SHOP_ACTIVITY_TOPIC)]


def _faust_between(settings: Settings) -> Between:
    return lambda _: [f"{settings.app}-{subject}-entries" for subject in ("product", "shop")]


def _quix_between(settings: Settings) -> Between:
    return lambda there: [
        name for name in there if name.startswith(f"repartition__{settings.app}--")
    ]


def _worker(name: str) -> Sequence[str]:
    return (sys.executable, "-m", "operations.cli", "worker", "--name", name)


ENGINES = (  # netsold and Quix are neighbours, so that a slow phase of the machine affects both
    Engine(
        "read",
        "reading alone (aiokafka)",
        lambda: [(sys.executable, "-m", "bench.read")],
        _nothing_between,
        None,
    ),
    Engine(
        "netsold_2_processes",
        "netsold, 2 processes",
        lambda: [_worker("1"), _worker("2")],
        _netsold_between,
        from_changelogs,
        ready='"event": "lanes open"',
    ),
    Engine(
        "netsold_chats",
        "netsold, 1 process, chats alone",
        lambda: [_worker("1")],
        _chats_between,
        from_changelogs,
        topic=catalogue.CHATS_TOPIC,
        lists=("shop_service", "shop_service_totals", "overdue"),
    ),
    Engine(
        "faust",
        "Faust, idiomatic, at least once",
        lambda: [(sys.executable, "-m", "bench.idiomatic_faust")],
        _faust_between,
        _of_faust,
        most_events=20_000,
    ),
    Engine(
        "netsold", "netsold, 1 process", lambda: [_worker("1")], _netsold_between, from_changelogs
    ),
    Engine(
        "quix",
        "Quix Streams, exactly once",
        lambda: [(str(QUIX_PYTHON), "-m", "bench.idiomatic_quix")],
        _quix_between,
        _of_quix,
    ),
)
