"""The Faust application of one worker.

Binds the catalogue's tables and the agents to the chunk transport.

There is no application at import: `build_app` makes one from settings, `run_worker` runs it until a
signal.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import re
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

import faust
import structlog
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode import Service
from prometheus_client import start_http_server

from schemas.errors import NetsoldError
from schemas.journal import RULES
from streams import agents, logs, topics
from streams.build import this_build
from streams.chunks import ChunkTransport
from streams.cluster import Cluster
from streams.errors import Fatal
from streams.open_files import allow_open_files
from streams.pipeline import Pipeline
from streams.recovery import Opener
from streams.stores import CycleWindow, RocksStore
from streams.ticks import tick_when_idle
from tables.catalogue import TABLES
from tables.cycles import Calendar
from tables.stages import stages

if TYPE_CHECKING:
    from pathlib import Path

    from faust.types import TP

    from streams.settings import Settings

log = structlog.get_logger()

EXIT_SECONDS = 10.0
"""A worker that must leave, or is told to stop, is ended after this long, even if its clean stop
hangs."""

POLL_SECONDS = 10 * 365 * 86_400.0
"""How long aiokafka lets a member go without a fetch: for ever."""


SWITCH_SECONDS = 0.02
"""How long one thread computes before another may, where Python has 5 ms: what is fetched
meanwhile needn't cut so often into folding. In five interleaved runs, medians: 13.6 CPU s in
place of 14.2."""


class LaneRecovery(Recovery):
    """Faust's recovery service, with the opening of our lanes in place of its replay of changelogs."""

    async def on_rebalance(
        self,
        assigned: set[TP],  # noqa: ARG002 - Faust's signature; what is assigned is asked for when the lanes are opened
        revoked: set[TP],  # noqa: ARG002 - as above
        newly_assigned: set[TP],  # noqa: ARG002 - as above
        generation_id: int = 0,
    ) -> None:
        """Start opening lanes, unless a later rebalance is already under way."""
        if generation_id == self.app.consumer_generation_id:
            self._generation_id = generation_id
            self.signal_recovery_start.set()

    @Service.task
    async def _restart_recovery(self) -> None:
        app: App = self.app
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                return
            self.signal_recovery_start.clear()
            generation = self._generation_id
            try:
                self._set_recovery_started()
                await self._wait(app.pipeline.open(app.consumer.assignment()))
                self._show_partitions(app)
                self._set_recovery_ended()
                await self._resume_streams(generation_id=generation)
            except RebalanceAgain:
                log.info("another rebalance while opening partitions")
            except ServiceStopped:
                return
            except Fatal as error:
                app.leave(error)
                return

    @Service.task
    async def _speak_of_waiting(self) -> None:
        """Faust begins an application's own tasks only when the first opening is over."""
        app: App = self.app
        while not self.should_stop:
            app.pipeline.waiting.turn()
            await self.sleep(1.0)

    def _show_partitions(self, app: App) -> None:
        """Let Faust's tables look into the partitions that are open now."""
        for name, table in app.tables.items():
            table.data.partitions = {
                lane.partition: lane.stores[name]
                for lane in app.pipeline.lanes.values()
                if name in lane.stores
            }


class LaneTableManager(TableManager):
    """Faust's table manager with our recovery."""

    _recovery: LaneRecovery | None

    @property
    def recovery(self) -> LaneRecovery:
        """The service that opens lanes after a rebalance."""
        if self._recovery is None:
            self._recovery = LaneRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        """Register the changelogs at once.

        Faust waits a second for tables declared late, ours never are.
        """
        await self._update_channels()
        await self.recovery.start()


class CatalogueTable(faust.Table):
    """A Faust table over rocksdict partitions.

    Its changelog is compacted only, also where it is windowed (C4).
    """

    def _new_store(self) -> RocksStore:
        return RocksStore("rocksdict://", self.app, self, table_name=self.name, loop=self.loop)


class App(faust.App):
    """A Faust app with our transport, tables and pipeline.

    Never touches offsets or stores by itself.
    """

    pipeline: Pipeline
    _leaving = False

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)

    async def _consumer_wait_empty(self, consumer: Any, logger: Any) -> None:  # noqa: ARG002 - Faust's signature
        """At revocation and stop.

        End the running transactions within a bound and give up the lanes.
        """
        await self.pipeline.close()

    def leave(self, error: Fatal) -> None:
        """Stop this worker for good, saying why, once; a clean stop that hangs is cut short."""
        if self._leaving:
            return
        self._leaving = True
        self.pipeline.give_up()
        log.error(str(error))
        for name in (
            "mode",
            "faust",
            "streams",
        ):  # Faust and its services would add that a service crashed, with no more to say
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        _bound_the_stop()
        self.loop.create_task(self.crash(error))


class Worker(faust.Worker):
    """Faust's process around the app.

    A stop by SIGTERM or SIGINT is bounded: while Kafka is away, it would take a minute and more.
    """

    def _schedule_shutdown(self, signal: Any) -> None:
        _bound_the_stop()
        super()._schedule_shutdown(signal)


def _bound_the_stop() -> None:
    """End this process with exit code 1 if it still runs after EXIT_SECONDS.

    Nothing is lost by that, as by any other end.
    """

    def end() -> None:
        sentence = f"the stop took longer than {EXIT_SECONDS:.0f} s and is cut short: what is open will be settled at the next start"
        try:
            log.error(sentence)
        finally:
            os._exit(1)

    watchdog = threading.Timer(EXIT_SECONDS, end)
    watchdog.daemon = True
    watchdog.start()


def build_app(settings: Settings, name: str, cluster: str, topic_ids: dict[str, str]) -> App:
    """The application of worker `name`, whose stores lie in `data_dir/APP/worker-NAME`.

    Topics must exist and fit.
    """
    options = settings.client_options()
    member = re.sub(r"[^A-Za-z0-9-]", "-", f"{settings.app}-{socket.gethostname()}-{name}")
    state_dir = _state_dir(settings, name)
    state_dir.mkdir(parents=True, exist_ok=True)
    app = App(
        settings.app,
        broker=";".join(f"kafka://{server}" for server in options["bootstrap_servers"]),
        broker_credentials=_credentials(options),
        # a killed worker that comes back needn't wait for its own session to end
        consumer_group_instance_id=member,
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=min(3.0, settings.session_timeout_ms / 5000),
        broker_request_timeout=max(30.0, settings.session_timeout_ms / 1000 + 1),
        broker_rebalance_timeout=30.0,
        # A worker without partitions fetches nothing; aiokafka would take it for stuck, and it
        # would never take over. One that is stuck is found by `Pipeline.watch`.
        broker_max_poll_interval=POLL_SECONDS,
        consumer_max_fetch_size=settings.chunk_bytes,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=1,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        # Faust tells members apart by it; nothing listens there
        canonical_url=f"http://{member.lower()}.invalid:80",
        datadir=state_dir,
        TableManager=LaneTableManager,
        Table=CatalogueTable,
        loghandlers=[],
    )
    calendar = Calendar(settings.cycle_ms, settings.anchor_ms)
    folds = stages(calendar, settings.service_rules, settings.refusals_in_a_row)
    app.pipeline = Pipeline(
        settings, Opener(settings, folds, state_dir, cluster, topic_ids, Cluster(settings))
    )
    for table in TABLES:
        made = app.Table(
            table.name,
            partitions=settings.partitions,
            extra_topic_configs={"cleanup.policy": "compact"},
        )
        if table.windowed:
            made.using_window(CycleWindow(calendar))
    agents.declare(app, [settings.topic(fold.stage.source) for fold in folds])
    _bind(app)
    return app


def _state_dir(settings: Settings, name: str) -> Path:
    return settings.data_dir / settings.app / f"worker-{name}"


def _bind(app: App) -> None:
    """Give the pipeline its ways to act on the consumer, and start the background tasks."""
    pipeline = app.pipeline
    waiting: set[Any] = set()

    def seek(tp: TP, position: int) -> None:
        task = app.loop.create_task(app.consumer.seek_wait({tp: position}))
        waiting.add(task)
        task.add_done_callback(waiting.discard)

    pipeline.seek = seek
    pipeline.pause = lambda tp: app.consumer.pause_partitions({tp})
    pipeline.rejoin = lambda: app.consumer.request_rejoin()  # noqa: PLW0108 - the consumer is made when the app starts
    pipeline.fatal = app.leave

    def lag(tp: TP) -> int | None:
        lane = pipeline.lanes.get(tp)
        return None if lane is None else app.consumer.lag(tp, lane.position)

    @app.task
    async def watch() -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(
            500_000, 20, 50
        )  # two chunks are so many objects, and hardly a cycle among them
        await pipeline.watch(lag)

    @app.task
    async def tick() -> None:
        await tick_when_idle(pipeline, lag)


def _credentials(options: dict[str, Any]) -> Any:
    """Faust's form of the same credentials with which every other client is made."""
    context = options["ssl_context"]
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            mechanism=options["sasl_mechanism"], username=options["sasl_plain_username"],
            password=options["sasl_plain_password"], ssl_context=context,
        )  # fmt: skip
    return faust.SSLCredentials(context) if context is not None else None


class NameTaken(NetsoldError):
    """Another worker of this name runs on this data directory."""

    exit_code = 1


def _only_one(state_dir: Path, name: str) -> TextIO:
    """Hold the lock on a worker's stores, and with it its name in the group, as long as the file is open."""
    lock = (state_dir / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise NameTaken(
            f"a worker named {name} already runs on {state_dir}: give this one another --name"
        ) from error
    return lock


def run_worker(settings: Settings, name: str = "1") -> None:
    """Run one worker until SIGTERM or SIGINT.

    Raises TopicsUnfit, KafkaUnreachable or NameTaken before it starts.

    Exits 0 after a clean stop, 1 on Fatal or where the stop had to be cut short.
    """
    logs.configure()
    build = this_build()
    log.info(
        "worker starts",
        version=build.version,
        commit=build.commit,
        rules=RULES,
        partitions=settings.partitions,
        state_dir=str(_state_dir(settings, name)),
    )
    allow_open_files()
    sys.setswitchinterval(SWITCH_SECONDS)

    async def look() -> tuple[str, dict[str, str]]:
        await topics.require(settings)
        return await topics.cluster_id(settings), await topics.topic_ids(settings)

    cluster, topic_ids = asyncio.run(look())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build_app(settings, name, cluster, topic_ids)
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, settings.metrics_host)
    lock = _only_one(app.conf.datadir, name)
    worker = Worker(
        app,
        loglevel="INFO",
        loop=loop,
        redirect_stdouts=False,
        quiet=True,
        logging_config=logs.LIBRARIES,
    )
    with lock:
        worker.execute_from_commandline()
