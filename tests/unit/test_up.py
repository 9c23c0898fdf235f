"""The parts of `netsold up`: children that die and restart, the rate, and the view."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest
from rich.console import Console

from operations.commands.up_view import Rate, View, line, picture, read_view
from operations.local.children import FIRST_PAUSE_S, STEADY_S, Children, KafkaChild
from operations.local.data_dir import DataDirUnusable
from operations.local.kafka import LocalKafka, LocalKafkaFailed, Status
from operations.local.kafka_jars import JarsOutOfReach
from operations.local.stack import PortInUse, of_versions, require_free, start_children
from schemas.control import CopiedLog, Pointer
from streams.settings import Settings
from streams.versions import Versions
from tests.unit.test_control import FIRST, R1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
    " time.sleep(60)"
)
ANSWER = {
    "items": [{"product_id": "p-3", "sold_monthly": 1204, "successfully_traded": 98311}],
    "freshness": {
        "as_of": "2026-07-05T09:00:00Z",
        "lag_seconds": 0.42,
        "state": "live",
        "applied": {"orders-0": 1000, "orders-1": 234},
    },
}
SHOPS = {
    "items": [
        {"service": {"inquiries": {"counted": counted, "timely": timely}}}
        for counted, timely in ((30, 29), (10, 8), (0, 0))
    ]
}
OVERDUE = {"count": 7, "freshness": {"applied": {"chats-0": 99, "chats-1": 63}}}
SHOWN = View(tuple(ANSWER["items"]), "live", 0.42, 1400, 3, 40, 37, 7)  # type: ignore[arg-type]


@pytest.fixture
def reports() -> list[str]:
    """The sentences that the keeper of the children reports."""
    return []


@pytest.fixture
def children(tmp_path: Path, reports: list[str]) -> Iterator[Children]:
    """Children that are all ended after the test."""
    children = Children(tmp_path, {"GREETING": "hello"}, reports.append)
    yield children
    children.end(wait_s=0.0)


def _pids(directory: Path) -> dict[str, int]:
    return {
        name: pid
        for name, (pid, _) in json.loads((directory / "children.json").read_text()).items()
    }


def _until_logged(log: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < deadline, f"{log} never reports {text!r}"
        time.sleep(0.01)


def _until_dead(pid: int) -> None:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_dead_child_is_reported_and_restarts_after_a_growing_pause(
    tmp_path: Path, children: Children, reports: list[str]
) -> None:
    """Each death is one sentence, which names the log.

    The pause doubles while the child keeps dying. After a long life it is the first pause again.
    """
    now_s = 100.0
    children.add("worker-1", "-c", SLEEPER, now_s=now_s)
    for life_s, pause_s in ((0.0, 1.0), (0.0, 2.0), (0.0, 4.0), (STEADY_S, FIRST_PAUSE_S)):
        pid = _pids(tmp_path)["worker-1"]
        psutil.Process(pid).kill()
        _until_dead(pid)
        now_s += life_s
        reports.clear()
        children.tend(now_s)
        assert reports == [
            (
                f"worker-1 was ended by signal 9; it starts again in {pause_s:.0f} s (log:"
                f" {tmp_path}/logs/worker-1.log)"
            )
        ]
        children.tend(now_s + pause_s - 0.1)
        assert "worker-1" not in _pids(tmp_path) or _pids(tmp_path)["worker-1"] == pid
        now_s += pause_s
        children.tend(now_s)
        assert _pids(tmp_path)["worker-1"] != pid
    assert len(reports) == 1


def test_a_child_has_its_log_and_its_environment(tmp_path: Path, children: Children) -> None:
    """Output and errors are written to the log.

    The given environment is added to ours.
    """
    children.add(
        "one",
        "-c",
        "import os, sys; print(os.environ['GREETING'], flush=True); sys.exit('bad luck')",
        now_s=0.0,
    )
    _until_logged(tmp_path / "logs" / "one.log", "bad luck")
    assert (tmp_path / "logs" / "one.log").read_text().splitlines() == ["hello", "bad luck"]


def test_children_end_in_order_or_by_force(
    tmp_path: Path, children: Children, reports: list[str]
) -> None:
    """SIGTERM ends all children.

    SIGKILL ends those that ignore it, which is reported.
    """
    children.add("willing", "-c", SLEEPER, now_s=0.0)
    children.add("stubborn", "-c", STUBBORN, now_s=0.0)
    for name in ("willing", "stubborn"):
        _until_logged(tmp_path / "logs" / f"{name}.log", "up")
    pids = _pids(tmp_path)
    children.end(wait_s=0.5)
    assert reports == [
        f"stubborn didn't end in 0.5 s and was killed (log: {tmp_path}/logs/stubborn.log)"
    ]
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    children.tend(1000.0)
    assert not (tmp_path / "children.json").exists(), "no process runs, so none is recorded"


def test_children_of_a_killed_run_are_ended_and_no_other_process(
    tmp_path: Path, reports: list[str]
) -> None:
    """Leftovers are identified by pid and time of creation.

    A later process with the same pid is not touched.
    """
    left, other = (
        subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL)
        for _ in range(2)
    )
    try:
        created = psutil.Process(left.pid).create_time()
        record = {"worker-1": (left.pid, created), "reader": (other.pid, created - 1000)}
        (tmp_path / "children.json").write_text(json.dumps(record))
        children = Children(tmp_path, {}, reports.append)
        assert children.end_leftovers() == ["worker-1"]
        assert not psutil.pid_exists(left.pid)
        assert other.poll() is None
        assert children.end_leftovers() == [], "reported once"
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


@pytest.mark.parametrize("torn", [b"", b'{"worker-1": [1', b"\0" * 30])
def test_a_torn_record_of_children_prevents_no_start(
    tmp_path: Path, children: Children, reports: list[str], torn: bytes
) -> None:
    """It is set aside with a sentence, and children start.

    A power cut may leave such a record.
    """
    (tmp_path / "children.json").write_bytes(torn)
    assert children.end_leftovers() == []
    assert len(reports) == 1
    assert "it is set aside as children.json.unreadable" in reports[0]
    children.add("one", "-c", SLEEPER, now_s=0.0)
    assert psutil.pid_exists(_pids(tmp_path)["one"])


def test_a_full_disk_is_reported_and_tried_again(
    tmp_path: Path,
    children: Children,
    reports: list[str],
    full_disk: Callable[[], AbstractContextManager[None]],
) -> None:
    """A child that can't be recorded doesn't run.

    It starts once there is room. Its end needs no room.
    """
    with full_disk():
        children.add("one", "-c", SLEEPER, now_s=0.0)
        children.tend(0.5)
        children.tend(1.0)
    why = os.strerror(errno.EFBIG)
    assert reports == [
        (
            f"one can't be started ({why}); it is tried again in {pause} s (log:"
            f" {tmp_path}/logs/one.log)"
        )
        for pause in (1, 2)
    ]
    children.tend(3.0)
    pid = _pids(tmp_path)["one"]
    _until_logged(tmp_path / "logs" / "one.log", "up")
    assert (tmp_path / "logs" / "one.log").read_text() == "up\n", "the earlier ones never ran"
    with full_disk():
        children.end()
    assert not psutil.pid_exists(pid)
    assert len(reports) == 2


class _Kafka(LocalKafka):
    """A Kafka whose status and results of starts are given."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.runs = True
        self.outcomes: list[Exception | None] = []

    def status(self) -> Status:
        return Status(running=self.runs, bootstrap=None, pid=None, cluster_id=None, log=self.log)

    def launch(self, *, same_port: bool = False) -> bool:
        assert same_port, "its clients know no other port"
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        self.runs = True
        return True


def test_kafka_that_cannot_restart_is_tried_again_like_a_worker(
    tmp_path: Path, reports: list[str]
) -> None:
    """Every reason is reported, and the pauses double.

    After a long life the pause is the first one again.
    """
    kafka = _Kafka(tmp_path)
    child = KafkaChild(kafka, reports.append, now_s=0.0)
    child.tend(1.0)
    assert reports == []
    kafka.runs = False
    kafka.outcomes = [
        LocalKafkaFailed("no port"),
        JarsOutOfReach("no jars"),
        DataDirUnusable("no room"),
        None,
    ]
    for now_s in (10.0, 10.9, 11.0, 12.9, 13.0, 16.9, 17.0, 24.9, 25.0):
        child.tend(now_s)
    assert kafka.runs
    assert reports == [
        f"Kafka ended: it left no message; it starts again in 1 s (log: {kafka.log})",
        "Kafka can't be started: no port; it is tried again in 2 s",
        "Kafka can't be started: no jars; it is tried again in 4 s",
        "Kafka can't be started: no room; it is tried again in 8 s",
    ]
    kafka.runs = False
    kafka.log.parent.mkdir()
    kafka.log.write_text(
        "ERROR Disk error\njava.io.IOException: No space left\n    at"
        " LogSegment.throwIOException(LogSegment.java:1)\n"
    )
    child.tend(26.0)
    assert reports[-1].startswith(
        "Kafka ended: java.io.IOException: No space left; it starts again in 16 s"
    )
    kafka.outcomes = [None]
    child.tend(42.0)
    kafka.runs = False
    child.tend(42.0 + STEADY_S)
    assert "in 1 s" in reports[-1]


# --- the whole command, on its way up


@contextmanager
def _silent() -> Iterator[socket.socket]:
    """A socket that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(30)
        yield listener


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["jars", "topics"])
def test_a_signal_ends_it_while_it_waits_during_the_start(
    tmp_path: Path, phase: str, number: signal.Signals
) -> None:
    """Whatever it waits for, it ends with 130 and a sentence.

    No process is left.
    """
    with _silent() as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        waits_for = {
            "jars": {"M2_REPO": str(tmp_path / "empty"), "HTTPS_PROXY": f"http://{address}"},
            "topics": {"NETSOLD_KAFKA__BOOTSTRAP_SERVERS": address},
        }
        environment = {
            name: value for name, value in os.environ.items() if "proxy" not in name.lower()
        }
        environment |= waits_for[phase] | {"NETSOLD_READER_PORT": "0"}
        command = [sys.executable, "-m", "operations.cli", "up"]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            connection, _ = listener.accept()
            with connection:
                process.send_signal(number)
                # without the signal it would wait longer for an answer
                out, _ = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == 130, out
    assert out.splitlines()[-1] == "interrupted while starting: ending what was started"
    assert "Traceback" not in out
    assert not (tmp_path / "data" / "children.json").exists()
    assert not LocalKafka(tmp_path / "data").status().running


def test_a_full_disk_during_the_start_is_one_sentence(tmp_path: Path) -> None:
    """It has the file and the system's reason; the exit code is 1.

    There is no traceback.
    """
    command = [sys.executable, "-m", "operations.cli", "up"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    # a first start fetches the jars
    whichever = rf"({re.escape(str(tmp_path))}/data/kafka can't be used|Kafka's jars can't be kept)"
    assert re.match(rf"netsold: {whichever} \({os.strerror(errno.EFBIG)}\): make room", sentence)


def test_another_reader_is_not_shown_as_ours() -> None:
    """If another server has the reader's address, `up` refuses to start."""
    with _silent() as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            PortInUse,
            match=(
                rf"something else answers at 127\.0\.0\.1:{port}: end it, or set"
                r" NETSOLD_READER_PORT"
            ),
        ):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A counter that grows by 100 a second and then stops shows 100, then falls to 0."""
    rate = Rate(over_s=5.0)
    assert rate.read(0.0, 1000) == 0.0
    assert [rate.read(float(second), 1000 + 100 * second) for second in range(1, 21)] == [
        100.0
    ] * 20
    assert rate.read(23.0, 3000) == 40.0
    assert [rate.read(float(second), 3000) for second in range(24, 30)][-1] == 0.0


def test_the_rate_restarts_when_the_counter_was_reset() -> None:
    """A reader that restores from the start has a smaller counter.

    The rate isn't negative.
    """
    rate = Rate()
    rate.read(0.0, 1000)
    assert rate.read(1.0, 10) == 0.0
    assert rate.read(2.0, 60) == 50.0


def test_the_view_shows_sales_service_and_freshness() -> None:
    """Best sellers are first; below them are service, freshness and rate."""
    console = Console(width=120, no_color=True)
    with console.capture() as shown:
        console.print(picture(SHOWN, 1234.5))
    lines = [text.strip() for text in shown.get().splitlines()]
    assert "p-3      1,204 sold monthly · 98,311 successfully traded" in lines
    assert (
        "3 best-selling shops: 92.5% of 40 inquiries replied in time; all shops: 7 overdue" in lines
    )
    assert "live, 0.4 s behind, 1,234 records/s, 1,400 records in all" in lines


def test_without_a_counted_inquiry_there_is_no_response_rate() -> None:
    """At night no inquiry counts (R1); the view has no rate and the reason."""
    console = Console(width=120, no_color=True)
    with console.capture() as shown:
        console.print(picture(replace(SHOWN, counted=0, timely=0), 10.0))
    assert "3 best-selling shops: no inquiry counted yet; all shops: 7 overdue" in shown.get()


def test_without_a_terminal_the_view_is_one_line() -> None:
    """It has the same figures.

    A reader that isn't ready yet is no error.
    """
    assert line(SHOWN, 10.0) == (
        "live, 0.4 s behind, 10 records/s, 1,400 records in all; "
        "3 best-selling shops: 92.5% of 40 inquiries replied in time; all shops: 7 overdue; "
        "best: p-3 1,204 sold monthly · 98,311 successfully traded"
    )
    assert line("no view", 0.0) == "no view"


class _Reader(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        answers = {
            "/v1/top/products?limit=10": ANSWER,
            "/v1/top/shops?limit=10": SHOPS,
            "/v1/overdue?limit=1": OVERDUE,
        }
        body = json.dumps(
            answers[self.path] if self.status == 200 else {"detail": "such a detail"}
        ).encode()
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's own signature
        pass


WAITING = "waiting for the reader …"
REFUSED = (
    "all runs; this view can't be shown: such a detail: set NETSOLD_READER_TOKEN or"
    " NETSOLD_READER_TOKEN_FILE to one of `netsold token new`"
)


@pytest.mark.parametrize(("status", "seen"), [(200, SHOWN), (503, WAITING), (401, REFUSED)])
def test_the_view_is_read_from_the_reader(status: int, seen: View | str) -> None:
    """The view has the API's answers, and counts the records of both topics.

    While the reader isn't ready (503) it is waited for; one that wants a token is not.
    """
    handler = type("Handler", (_Reader,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:

        def answer() -> None:
            for _ in range(3 if status == 200 else 1):
                server.handle_request()

        Thread(target=answer, daemon=True).start()
        settings = Settings(_env_file=None, reader_port=server.server_port)
        assert read_view(settings) == seen
    assert read_view(settings) == WAITING, "without a reader there is no view"


class Started:
    """Children that are only noted."""

    def __init__(self) -> None:
        self.commands: dict[str, tuple[str, ...]] = {}

    def add(self, name: str, *arguments: str, now_s: float) -> None:
        """Note one, without how Python is told to run the command line."""
        assert now_s > 0
        self.commands[name] = arguments[2:]


def test_workers_are_those_of_the_version_that_is_answered() -> None:
    """With its copier, if it has one; what is not run is named with its commands."""
    copied = msgspec.structs.replace(
        R1, copied=CopiedLog("netsold.r1.copier", "shop.orders", "shop.chats", 8)
    )
    family = {FIRST.app: FIRST, R1.app: copied}
    at_first = Versions(FIRST.app, family)
    promoted = Versions(FIRST.app, family, Pointer(R1.app, "2026-01-02T00:00:00Z"))
    settings = Settings(_env_file=None)
    assert list(of_versions(Versions(FIRST.app))) == []
    assert list(of_versions(at_first)) == [
        "version: netsold, which is answered",
        (
            "beside:  netsold.r1 is not run here: `netsold rebuild copy netsold.r1` and"
            " `netsold worker --version netsold.r1` run it"
        ),
    ]
    assert list(of_versions(promoted)) == [
        "beside:  netsold is not run here: `netsold worker --version netsold` run it",
        "version: netsold.r1, which is answered, and its copier",
    ]
    commands = {}
    for versions in (at_first, promoted):
        started = Started()
        answered = versions.settings_of(versions.pointed, settings)
        start_children(started, answered, 1, 0, 0)  # type: ignore[arg-type]  # only `add` is called
        commands[versions.pointed] = started.commands
    assert commands == {
        "netsold": {"worker-1": ("worker", "--name", "1"), "reader": ("serve",)},
        "netsold.r1": {
            "worker-1": ("worker", "--name", "1", "--version", "netsold.r1"),
            "copier": ("rebuild", "copy", "netsold.r1"),
            "reader": ("serve",),
        },
    }
