"""The Faust application of one worker: binds the catalogue's tables and the agents to the lanes.

There is no application at import: `build_app` makes one from settings, `run_worker` runs it until a
signal.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

import faust
import structlog
from faust.types import TP
from prometheus_client import start_http_server

from schemas.columns import RULES
from schemas.errors import NetsoldError
from streams import agents, logs, metrics, topics, tracing
from streams.build import this_build
from streams.chunks import ChunkTransport
from streams.cluster import Cluster
from streams.collecting import collect_rarely
from streams.copied import is_complete
from streams.faust_tables import CatalogueTable, CycleWindow, LaneTableManager
from streams.open_files import allow_open_files
from streams.pipeline import Pipeline
from streams.process_metrics import measure_process
from streams.recovery import Opener
from streams.signals import interruptible
from streams.throttle import Throttle
from streams.ticks import tick_when_idle
from tables.catalogue import TABLES
from tables.handovers import Speaking
from tables.stages import stages

if TYPE_CHECKING:
    from pathlib import Path

    from aiokafka import TopicPartition

    from streams.errors import Fatal
    from streams.settings import Settings

log = structlog.get_logger()

EXIT_SECONDS = 10.0
"""A worker that must leave, or gets SIGTERM or SIGINT, is ended after this long, even if its clean
stop hangs."""

POLL_SECONDS = 10 * 365 * 86_400.0
"""How long aiokafka lets a member go without a fetch: for ever."""


SWITCH_SECONDS = 0.02
"""How long one thread computes before another may; Python's default is 5 ms. A longer interval lets
the thread that fetches interrupt folding less often."""


class AppConsumer:
    """The `GroupConsumer` of an application: its Faust consumer, made when the app starts."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._seeks: set[asyncio.Task[Any]] = set()

    def seek(self, partition: TopicPartition, position: int) -> None:
        """Fetch a partition from a position on, soon."""
        seek = self._app.consumer.seek_wait({TP(*partition): position})
        task = self._app.loop.create_task(seek)
        self._seeks.add(task)
        task.add_done_callback(self._seeks.discard)

    def pause(self, partition: TopicPartition) -> None:
        """Fetch nothing more of a partition."""
        self._app.consumer.pause_partitions({TP(*partition)})

    def lag(self, partition: TopicPartition, position: int) -> int | None:
        """See `ChunkConsumer.lag`."""
        lag: int | None = self._app.consumer.lag(partition, position)
        return lag

    def rejoin(self) -> None:
        """See `ChunkThread.request_rejoin`."""
        self._app.consumer.request_rejoin()

    def leave(self, error: Fatal) -> None:
        """See `App.leave`."""
        self._app.leave(error)


class App(faust.App):
    """A Faust app with our transport, tables and pipeline.

    It never touches offsets or stores by itself.
    """

    def __init__(
        self, settings: Settings, opener: Opener, rate: float | None, **options: Any
    ) -> None:
        super().__init__(settings.app, **options)
        throttle = None if rate is None else Throttle(rate, time.monotonic)
        self.pipeline = Pipeline(settings, opener, AppConsumer(self), throttle=throttle)
        self._leaving = False

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self, self.pipeline)

    async def _consumer_wait_empty(self, consumer: Any, logger: Any) -> None:  # noqa: ARG002 - Faust's signature
        """At revocation and stop: end the running transactions in a bounded time, close lanes."""
        await self.pipeline.close()

    def leave(self, error: Fatal) -> None:
        """Stop this worker for good, and log why, once; a clean stop that hangs is cut short."""
        if self._leaving:
            return
        self._leaving = True
        self.pipeline.give_up()
        log.error(str(error))
        # Faust and its services would add that a service crashed, without anything new
        for name in ("mode", "faust", "streams"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        _bound_the_stop()
        self.loop.create_task(self.crash(error))


class Worker(faust.Worker):
    """Faust's process around the app.

    A stop by SIGTERM or SIGINT is bounded: while Kafka is away, it would take more than a minute.
    """

    def _schedule_shutdown(self, signal: Any) -> None:
        _bound_the_stop()
        super()._schedule_shutdown(signal)


def _bound_the_stop() -> None:
    """End this process with exit code 1 if it still runs after EXIT_SECONDS; nothing is lost."""
    sentence = (
        f"the stop took longer than {EXIT_SECONDS:.0f} s and is cut short: "
        "what is open will be settled at the next start"
    )

    def end() -> None:
        try:
            log.error(sentence)
        finally:
            os._exit(1)

    watchdog = threading.Timer(EXIT_SECONDS, end)
    watchdog.daemon = True
    watchdog.start()


def build_app(
    settings: Settings,
    name: str,
    cluster: str,
    topic_ids: dict[str, str],
    rate: float | None = None,
) -> App:
    """The application of worker `name`, whose stores lie in `data_dir/APP/worker-NAME`.

    It applies at most `rate` events a second. Topics must exist and fit.
    """
    state_dir = settings.data_dir / settings.app / f"worker-{name}"
    state_dir.mkdir(parents=True, exist_ok=True)
    speaking = Speaking(settings.app, settings.family)
    staged = stages(settings.terms, settings.refusals_in_a_row, speaking, settings.partitions)
    opener = Opener(settings, staged, state_dir, cluster, topic_ids, Cluster(settings))
    app = App(settings, opener, rate, datadir=state_dir, **_options(settings, name))
    for table in TABLES:
        declared = app.Table(
            table.name,
            partitions=settings.partitions,
            extra_topic_configs={"cleanup.policy": "compact"},
        )
        if table.windowed:
            declared.using_window(CycleWindow(settings.terms.calendar))
    sources = [settings.topic(stage.spec.source) for stage in staged]
    agents.declare(app, sources, app.pipeline.process)
    _start_tasks(app)
    return app


def _options(settings: Settings, name: str) -> dict[str, Any]:
    """Faust's settings of worker `name`."""
    client = settings.client_options()
    member = re.sub(r"[^A-Za-z0-9-]", "-", f"{settings.app}-{socket.gethostname()}-{name}")
    session_s = settings.session_timeout_ms / 1000
    return {
        "broker": ";".join(f"kafka://{server}" for server in client["bootstrap_servers"]),
        "broker_credentials": _credentials(client),
        # a killed worker that is started again needn't wait for its own session to end
        "consumer_group_instance_id": member,
        "broker_session_timeout": session_s,
        "broker_heartbeat_interval": min(3.0, session_s / 5),
        "broker_request_timeout": max(30.0, session_s + 1),
        "broker_rebalance_timeout": 30.0,
        # A worker without partitions fetches nothing; aiokafka would remove it from the group as
        # stuck, and it would never take over. `Pipeline.watch` finds one that is really stuck.
        "broker_max_poll_interval": POLL_SECONDS,
        "consumer_max_fetch_size": settings.chunk_bytes,
        "consumer_auto_offset_reset": "earliest",
        "stream_buffer_maxsize": 1,
        "stream_wait_empty": False,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "web_enabled": False,
        # Faust distinguishes members by it; nothing listens there
        "canonical_url": f"http://{member.lower()}.invalid:80",
        "TableManager": LaneTableManager,
        "Table": CatalogueTable,
        "loghandlers": [],
    }


def _start_tasks(app: App) -> None:
    """Declare the background tasks, which Faust starts after the first opening."""
    pipeline = app.pipeline

    @app.task
    async def watch() -> None:
        collect_rarely(500_000)  # two chunks are this many
        await pipeline.watch()

    @app.task
    async def tick() -> None:
        await tick_when_idle(pipeline, pipeline.lag, lambda: is_complete(pipeline.settings))


def _credentials(options: dict[str, Any]) -> Any:
    """The credentials of every other client, in Faust's form."""
    context = options["ssl_context"]
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            mechanism=options["sasl_mechanism"], username=options["sasl_plain_username"],
            password=options["sasl_plain_password"], ssl_context=context,
        )  # fmt: skip
    return faust.SSLCredentials(context) if context is not None else None


class NameInUse(NetsoldError):
    """Another worker of this name runs on this data directory."""


def _only_one(state_dir: Path, name: str) -> TextIO:
    """Lock a worker's stores, and so its name in the group, for as long as the file is open."""
    lock = (state_dir / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise NameInUse(
            f"a worker named {name} already runs on {state_dir}: give this one another --name"
        ) from error
    return lock


def run_worker(settings: Settings, name: str = "1", rate: float | None = None) -> None:
    """Run one worker until SIGTERM or SIGINT; it applies at most `rate` events a second.

    Raises TopicsUnfit, KafkaUnreachable, NameInUse or TracesUnusable before it starts. Exits 0
    after a clean stop, 1 on Fatal or if the stop had to be cut short.
    """
    logs.configure()
    tracing.switch_on("worker", name)
    sys.setswitchinterval(SWITCH_SECONDS)

    async def checked() -> tuple[str, dict[str, str]]:
        await topics.require(settings)
        return await topics.cluster_id(settings), await topics.topic_ids(settings)

    cluster, topic_ids = interruptible(checked())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build_app(settings, name, cluster, topic_ids, rate)
    if settings.metrics_port is not None:
        measure_process(metrics.REGISTRY, settings.data_dir)
        start_http_server(settings.metrics_port, settings.metrics_host, metrics.REGISTRY)
    lock = _only_one(app.conf.datadir, name)
    build = this_build()
    log.info(
        "worker starts",
        version=build.version,
        commit=build.commit,
        rules=RULES,
        terms=settings.terms.name,
        terms_from=settings.rules.source,
        partitions=settings.partitions,
        state_dir=str(app.conf.datadir.absolute()),
    )
    allow_open_files()
    worker = Worker(
        app,
        loglevel="INFO",
        loop=loop,
        redirect_stdouts=False,
        quiet=True,
        logging_config=logs.of_libraries(),
    )
    with lock:
        worker.execute_from_commandline()
