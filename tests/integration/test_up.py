"""`netsold up` as a person runs it.

It starts, sells, ends by Ctrl-C, and continues later.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest

from operations.local.kafka import LocalKafka

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

WAIT_S = 120.0


class _Up:
    """One `netsold up` without a terminal, in its own directory."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, directory: Path, port: int) -> None:
        self.output = directory / "up.txt"
        environment = {
            **os.environ,
            "NETSOLD_DATA_DIR": str(directory / "data"),
            "NETSOLD_READER_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", "operations.cli", "up", "--workers", "1", "--rate", "100"]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        self.started.append(self.process)

    def until(self, pattern: str, *, dies: str = "", behind: int = 0) -> re.Match[str]:
        """Wait for a matching line; fail if up ends or a process other than `dies` died.

        Output before the position `behind` doesn't count.
        """
        deadline = time.monotonic() + WAIT_S
        while True:
            output = self.output.read_text()
            if found := re.compile(pattern).search(output, behind):
                return found
            assert self.process.poll() is None, output
            assert {line.split()[0] for line in output.splitlines() if "starts again" in line} <= {
                dies
            }, output
            assert time.monotonic() < deadline, output
            time.sleep(0.2)


@pytest.fixture
def port() -> int:
    """A free port for the reader."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    """End all processes that the test started."""
    yield
    for up in _Up.started:  # first, because it would restart its Kafka
        up.kill()
        up.wait()
    LocalKafka(tmp_path / "data").kill()
    for process in _children(tmp_path):
        process.kill()


def _children(directory: Path) -> list[psutil.Process]:
    record = directory / "data" / "children.json"
    found = []
    for pid, created in json.loads(record.read_text()).values() if record.exists() else []:
        if psutil.pid_exists(pid) and psutil.Process(pid).create_time() == created:
            found.append(psutil.Process(pid))
    return found


@pytest.mark.usefixtures("_nothing_left")
def test_it_starts_sells_ends_and_continues(tmp_path: Path, port: int) -> None:
    """Products sell; Ctrl-C ends all children and Kafka with exit code 0.

    The next run has the data of the first one.
    """
    first = _Up(tmp_path, port)
    first.until(rf"answers: http://127\.0\.0\.1:{port}/v1/status")
    shown = first.until(
        r"live, .* ([\d,]+) records in all; \d+ best-selling shops: .*; all shops: [\d,]+"
        r" overdue; best: \S+ [\d,]+ sold"
    )
    records = int(shown.group(1).replace(",", ""))
    assert records > 0
    children = _children(tmp_path)
    assert len(children) == 3
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(WAIT_S) == 0, first.output.read_text()
    assert "killed" not in first.output.read_text()
    assert not any(child.is_running() for child in children)
    kafka = LocalKafka(tmp_path / "data")
    assert not kafka.status().running
    made = [
        path
        for path in ((tmp_path / "data"), *(tmp_path / "data").rglob("*"))
        if not path.is_symlink()
    ]
    assert len(made) > 100
    assert [path for path in made if path.stat().st_mode & 0o077] == [], "for their user alone"

    torn = (
        kafka.directory / "state.json",
        tmp_path / "data" / "children.json",
    )  # as a power cut may leave them
    for path in torn:
        path.write_text("")
    second = _Up(tmp_path, port)
    again = int(second.until(r"live, .* ([\d,]+) records in all").group(1).replace(",", ""))
    assert again > records
    for path in torn:
        assert (
            f"it is set aside as {path.name}.unreadable, and work continues without it"
            in second.output.read_text()
        )
    second.process.terminate()
    assert second.process.wait(WAIT_S) == 0


@pytest.mark.usefixtures("_nothing_left")
def test_children_of_a_killed_one_are_ended(tmp_path: Path, port: int) -> None:
    """The next `up` first ends the children that a kill -9 left running.

    A second `up` beside it is refused.
    """
    first = _Up(tmp_path, port)
    first.until(r"answers: ")
    first.process.kill()
    first.process.wait()
    assert len(_children(tmp_path)) == 3

    second = _Up(tmp_path, port)
    second.until(r"ended what a former run left behind: reader, traffic, worker-1")
    command = [sys.executable, "-m", "operations.cli", "up"]
    beside = subprocess.run(
        command,
        env={**os.environ, "NETSOLD_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert beside.returncode == 1
    assert "netsold is up already on" in beside.stderr
    second.until(r"live, .* records in all")
    second.process.terminate()
    assert second.process.wait(WAIT_S) == 0


@pytest.mark.usefixtures("_nothing_left")
def test_kafka_that_dies_while_it_restarts_is_tried_again(tmp_path: Path, port: int) -> None:
    """Kafka is killed, and its next start fails as well.

    Both failures are reported with their pauses. The other processes continue, and then all work
    again.
    """
    up = _Up(tmp_path, port)
    up.until(r"live, .* records in all")
    kafka = LocalKafka(tmp_path / "data")
    meta = kafka.directory / "log" / "meta.properties"
    whole = meta.read_text()
    meta.write_text(whole.replace("node.id=1", "node.id=7"))
    assert kafka.kill()
    up.until(r"Kafka ended: .*; it starts again in 1 s \(log: .*kafka\.log\)", dies="Kafka")
    failed = up.until(r"Kafka ended: .*7.*; it starts again in 2 s", dies="Kafka")
    meta.write_text(whole)
    shown = up.until(r"live, .* ([\d,]+) records in all", dies="Kafka", behind=failed.end())
    before = int(shown.group(1).replace(",", ""))
    while int(shown.group(1).replace(",", "")) <= before:
        shown = up.until(r"live, .* ([\d,]+) records in all", dies="Kafka", behind=shown.end())
    up.process.terminate()
    assert up.process.wait(WAIT_S) == 0, up.output.read_text()
    assert not kafka.status().running


@pytest.mark.usefixtures("_nothing_left")
@pytest.mark.parametrize("sign", ["server.properties", "kafka.out"])
def test_an_interrupted_start_of_kafka_leaves_nothing(tmp_path: Path, port: int, sign: str) -> None:
    """The exit code is 130, and no such process is left.

    Ctrl-C is sent while storage is formatted, and while the process starts.
    """
    up = _Up(tmp_path, port)
    kafka = LocalKafka(tmp_path / "data")
    deadline = time.monotonic() + WAIT_S
    while not (kafka.directory / sign).exists():
        assert time.monotonic() < deadline, up.output.read_text()
        time.sleep(0.01)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(WAIT_S) == 130, up.output.read_text()
    assert (
        up.output.read_text().splitlines()[-1]
        == "interrupted while starting: ending what was started"
    )
    assert not kafka.status().running
    ours = str(kafka.directory / "server.properties")
    assert [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if ours in (process.info["cmdline"] or ())
    ] == []
