"""The processes of one machine together: Kafka, workers, a reader and simulated traffic.

`netsold up` runs them and shows what sells.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from operations.local.children import Children, KafkaChild
from operations.local.data_dir import usable
from operations.local.kafka import KafkaSlow, LocalKafka, LocalKafkaFailed, with_local
from operations.local.locks import locked
from operations.local.ports import accepts, free_port
from schemas.errors import NetsoldError
from streams.signals import interruptible
from tables.catalogue import ORDERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streams.settings import Settings
    from streams.versions import Versions

LAST_LINE = "Ctrl-C ends it all; what sells, and how shops reply:"
HISTORY_DAYS = 100
"""Days of simulated history of a new log: three cycles have ended, and a fourth goes on."""

KAFKA_REPORT_EVERY_S = 10.0
"""Between two lines that Kafka still starts: after a power cut it reads its whole log."""


class AlreadyUp(NetsoldError):
    """Another `netsold up` runs on the same data directory."""


class PortInUse(NetsoldError):
    """Another process listens at our reader's address."""


def start(
    settings: Settings, workers: int, rate: float, report: Callable[[str], None], ends: ExitStack
) -> tuple[Settings, Callable[[float], None]]:
    """Start everything; the settings with which it runs, and a function that keeps it running.

    That function restarts what ended; it is to be called with the monotonic time. `ends` gets
    what ends the processes.
    """
    directory = settings.data_dir.resolve()
    with usable(directory):
        directory.mkdir(parents=True, exist_ok=True)
    ends.enter_context(_locked(directory))
    kafka = _start_kafka(settings, report, ends)
    settings = with_local(settings)
    if settings.reader_port == 0:  # we query the reader, so its port must be known
        settings = settings.model_copy(update={"reader_port": free_port(0)})
    children = Children(directory, _environment(settings), report)
    leftovers = children.end_leftovers()
    if leftovers:
        report(f"ended what a former run left behind: {', '.join(leftovers)}")
    require_free(settings.reader_host, settings.reader_port)
    versions = _read_versions(settings)
    answered = versions.settings_of(versions.pointed, settings)
    is_new = settings.topic(ORDERS_TOPIC) in _create_topics(answered, report)
    ends.callback(children.end)
    start_children(children, answered, workers, rate, HISTORY_DAYS if is_new else 0)
    lines = summary(settings, workers, rate, is_local=kafka is not None)
    for text in (*lines, *of_versions(versions), LAST_LINE):
        report(text)
    kafka_child = KafkaChild(kafka, report, time.monotonic()) if kafka else None

    def tend(now_s: float) -> None:
        if kafka_child is not None:
            kafka_child.tend(now_s)
        children.tend(now_s)

    return settings, tend


def summary(settings: Settings, workers: int, rate: float, *, is_local: bool) -> tuple[str, ...]:
    """What runs, and the addresses and logs of it, a line each."""
    traffic = f"simulated traffic ({rate:g} events/s)" if rate else "no traffic"
    scheme = "https" if settings.reader_tls_certfile else "http"
    reader = f"{scheme}://{settings.reader_host}:{settings.reader_port}"
    kafka_log = f", and {settings.data_dir / 'kafka' / 'kafka.log'}" if is_local else ""
    return (
        f"running: {'a worker' if workers == 1 else f'{workers} workers'}, a reader, {traffic}",
        f"page:    {reader}/",
        f"answers: {reader}/v1/status",
        f"Kafka:   {settings.kafka.bootstrap_servers}",
        f"logs:    {settings.data_dir / 'logs'}{kafka_log}",
    )


def of_versions(versions: Versions) -> Iterator[str]:
    """Which version's workers run here, and how to run those of the others; a line each.

    None before the first rebuild.
    """
    for app, version in versions.registered.items():
        is_copied = version.copied is not None
        if app == versions.pointed:
            yield f"version: {app}, which is answered{', and its copier' if is_copied else ''}"
            continue
        commands = [f"`netsold rebuild copy {app}`"] if is_copied else []
        commands.append(f"`netsold worker --version {app}`")
        yield f"beside:  {app} is not run here: {' and '.join(commands)} run it"


def require_free(host: str, port: int) -> None:
    """Raise PortInUse if another process listens there: its answers would be shown as ours."""
    if accepts(host, port):
        raise PortInUse(
            f"something else answers at {host}:{port}: end it, or set NETSOLD_READER_PORT"
        )


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the data directory's lock of `netsold up`. Raises AlreadyUp."""
    up = AlreadyUp(f"netsold is up already on {directory}: end that one, or set NETSOLD_DATA_DIR")
    with ExitStack() as lock:
        with usable(directory):
            lock.enter_context(locked(directory / "up.lock", up))
        yield


def _start_kafka(
    settings: Settings, report: Callable[[str], None], ends: ExitStack
) -> LocalKafka | None:
    """The local Kafka, running; None if a cluster is named.

    If it had to be started, `ends` stops it.
    """
    if settings.kafka.bootstrap_servers is not None:
        return None
    kafka = LocalKafka(settings.data_dir, report)
    if not kafka.status().running:
        report("starting Kafka (the first time its jars are fetched)")
        ends.callback(kafka.stop)
    kafka.launch()
    while True:
        try:
            kafka.until_ready(KAFKA_REPORT_EVERY_S)
        except KafkaSlow as slow:
            report(f"{slow}; still waiting")
        else:
            return kafka


def _environment(settings: Settings) -> dict[str, str]:
    """The settings that children can't read from our own environment."""
    if settings.kafka.bootstrap_servers is None:
        raise LocalKafkaFailed("Kafka ended right after its start")
    return {
        "NETSOLD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "NETSOLD_DATA_DIR": str(settings.data_dir.resolve()),
        "NETSOLD_READER_PORT": str(settings.reader_port),
        "PYTHONUNBUFFERED": "1",
    }


def _create_topics(settings: Settings, report: Callable[[str], None]) -> list[str]:
    """Create the topics that don't exist; their names."""
    from streams import topics

    async def create_and_check() -> list[str]:
        created = await topics.create(settings)
        await topics.require(settings)
        return created

    created = interruptible(create_and_check())
    if created:
        report(f"created {len(created)} topics")
    return created


def _read_versions(settings: Settings) -> Versions:
    """The versions of the application's family."""
    from streams.versions import read_versions

    return interruptible(read_versions(settings))


def start_children(
    children: Children, answered: Settings, workers: int, rate: float, history_days: int
) -> None:
    """Workers of the version that is answered, with its copier if it has one, and the others."""
    now_s = time.monotonic()
    cli = ("-m", "operations.cli")
    version = ("--version", answered.app) if answered.app != answered.family else ()
    for number in range(1, workers + 1):
        name = ("--name", str(number))
        children.add(f"worker-{number}", *cli, "worker", *name, *version, now_s=now_s)
    if answered.copied_by is not None:
        children.add("copier", *cli, "rebuild", "copy", answered.app, now_s=now_s)
    children.add("reader", *cli, "serve", now_s=now_s)
    if rate:
        history = ("--history-days", str(history_days)) if history_days else ()
        children.add("traffic", *cli, "simulate", "--rate", str(rate), *history, now_s=now_s)
