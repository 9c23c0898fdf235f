"""The files of the local Kafka in its directory: configuration, state, output and log.

Starting and stopping its process is in `kafka`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from operations.local.data_dir import read_whole, usable, write_whole
from operations.local.ports import LOCALHOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class Ports:
    """The two ports of a broker: for clients, and for its controller."""

    client: int
    controller: int

    @property
    def address(self) -> str:
        """Where clients reach the broker, as `host:port`."""
        return f"{LOCALHOST}:{self.client}"

    @property
    def controller_address(self) -> str:
        """Where the controller listens, as `host:port`."""
        return f"{LOCALHOST}:{self.controller}"


@dataclass(frozen=True, slots=True)
class State:
    """What the state file keeps between starts.

    `pid` and `created` name the last process, whether it runs or not; `created` is 0 where no
    process is on record.
    """

    cluster_id: str
    port: int
    controller_port: int
    pid: int = 0
    created: float = 0.0

    @property
    def ports(self) -> Ports:
        """The ports of the last start."""
        return Ports(self.port, self.controller_port)

    @property
    def address(self) -> str:
        """Where clients reach the broker, as `host:port`."""
        return self.ports.address


class KafkaFiles:
    """The files of one broker in `directory`; `report` gets a sentence about an unreadable one."""

    def __init__(self, directory: Path, report: Callable[[str], None]) -> None:
        self.directory = directory
        self.log = directory / "kafka.log"
        self.output = directory / "kafka.out"
        self.config = directory / "server.properties"
        self.log4j = directory / "log4j2.properties"
        self._meta = directory / "log" / "meta.properties"
        self._state = directory / "state.json"
        self._report = report

    def is_formatted(self) -> bool:
        """Whether its storage was formatted by an earlier start."""
        return self._meta.exists()

    def read_state(self) -> State | None:
        """The state of the last start; None if there was none. Raises DataDirUnusable."""
        return read_whole(self._state, State, self._report) or self._state_from_kafka()

    def write_state(self, state: State) -> None:
        """Put a state on disk. Raises OSError."""
        write_whole(self._state, msgspec.json.encode(state))

    def _state_from_kafka(self) -> State | None:
        """The state as Kafka's own files have it, for a lost state file; None before any start."""
        with usable(self.directory):
            config, meta = (
                file.read_text(errors="replace") if file.exists() else ""
                for file in (self.config, self._meta)
            )
        cluster = re.search(r"^cluster\.id=(.+)$", meta, re.MULTILINE)
        if cluster is None:
            return None  # nothing is stored yet, so nothing is lost
        listeners = re.search(r"^listeners=(.+)$", config, re.MULTILINE)
        ports = dict(re.findall(r"(\w+)://[^:,]+:(\d+)", listeners[1] if listeners else ""))
        return State(
            cluster[1].strip(), int(ports.get("PLAINTEXT", 0)), int(ports.get("CONTROLLER", 0))
        )

    def configure(
        self, last: State | None, further_settings: Callable[[str, str], Mapping[str, object]]
    ) -> Ports:
        """Choose the ports, those of the last start if they are free, and write the configuration.

        `further_settings` gets both addresses; its settings replace the usual ones of their names.
        """
        ports = Ports(
            free_port(last.port if last else 0), free_port(last.controller_port if last else 0)
        )
        listeners = f"PLAINTEXT://{ports.address}"
        own: dict[str, object] = {
            "listeners": f"{listeners},CONTROLLER://{ports.controller_address}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@{ports.controller_address}",
            "log.dirs": self.directory / "log",
        }
        own |= further_settings(ports.address, ports.controller_address)
        shared = files("operations.local").joinpath("kafka.properties").read_text()
        text = shared + "\n" + "".join(f"{name}={value}\n" for name, value in own.items())
        write_whole(self.config, text.encode())
        write_whole(self.log4j, LOG4J.format(log=self.log).encode())
        return ports

    def last_error(self) -> str:
        """The last line of its output or log that names an error, for a broker that ended."""
        output, log = (
            file.read_text(errors="replace").strip().splitlines() if file.exists() else []
            for file in (self.output, self.log)
        )
        for lines in (output, log):
            errors = [  # and no line of a stack trace
                line for line in lines if re.search(r"^(?!\s+at ).*(ERROR|Exception|FATAL)", line)
            ]
            if errors:
                return errors[-1]
        words = [line for line in output if not line.startswith("WARNING: ")]  # Java's own
        return words[-1] if words else "it left no message"
