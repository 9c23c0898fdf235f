"""A reader with more clients than handles, and with clients that neither write nor read.

It needs no Kafka.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from schemas.answers import Problem
from serving.problems import Kind
from streams.open_files import allow_open_files
from tests.crowded import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.faults

WAIT_S = 60.0
ROOT = Path(__file__).parents[2]
QUICK = {"connections": 1000, "head_s": 0.5, "idle_s": 30, "unread_s": 0.5}


class Served(NamedTuple):
    """A reader's process, its port and its log."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def connection(self) -> socket.socket:
        """A new connection with a small window, so that unread bytes stay at the reader."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(WAIT_S)
        client.connect(("127.0.0.1", self.port))
        return client

    def get(self, path: str) -> tuple[int, bytes, str | None]:
        """Status, body and Retry-After."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read(), response.headers["Retry-After"]
        finally:
            connection.close()

    def lines(self) -> list[dict[str, Any]]:
        """The log so far; each line is JSON."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def times(self, part: str) -> int:
        """How often a sentence was logged so far, with suppressed repetitions."""
        return sum(line.get("times", 1) for line in self.lines() if part in line["event"])


@contextmanager
def serving(folder: Path, handles: int, bounds: dict[str, Any] | None = None) -> Iterator[Served]:
    """A reader's process, which must run until the block ends, and is then ended."""
    log = folder / "log"
    command = [
        sys.executable,
        "-m",
        "tests.crowded",
        str(folder / "data"),
        str(handles),
        json.dumps(bounds),
    ]
    with log.open("wb") as stderr, subprocess.Popen(command, cwd=ROOT, stderr=stderr) as process:
        try:
            until(
                lambda: (
                    "reader answers" in log.read_text(encoding="utf-8")
                    or process.poll() is not None
                )
            )
            (line,) = [
                json.loads(text)
                for text in log.read_text(encoding="utf-8").splitlines()
                if "reader answers" in text
            ]
            served = Served(process, int(line["address"].rstrip("/").rpartition(":")[2]), log)
            until(lambda: served.get("/livez")[0] == 200)
            yield served
            assert process.poll() is None
        finally:
            process.kill()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, within bounds."""
    deadline = time.monotonic() + WAIT_S
    while True:
        with suppress(ConnectionError):
            if condition():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def everything(client: socket.socket) -> bytes:
    """All bytes until the other side closes."""
    found = b""
    with suppress(ConnectionResetError):
        while more := client.recv(65536):
            found += more
    return found


def problem(answer: bytes, kind: Kind) -> Problem:
    """The problem of a whole answer, checked."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % kind.value.status), answer
    assert b"application/problem+json" in head
    assert b"connection: close" in head.lower()
    found = Problem.model_validate_json(body)
    assert found.type == kind.type
    return found


def test_more_half_open_connections_than_handles_exclude_nobody(tmp_path: Path) -> None:
    """1,100 clients send nothing, or half a head; the process may open 1,024 files."""
    if allow_open_files() < 3000:
        pytest.skip("this process itself may not open enough files")
    with serving(tmp_path, 1024) as served, ExitStack() as clients_open:
        for number in range(1100):
            client = clients_open.enter_context(served.connection())
            if number % 2:
                client.sendall(b"GET /v1/products/p-3 HTTP/1.1\r\nHost: x\r\n")
            if number % 275 == 274:
                status, body, _ = served.get("/v1/products/p-3")
                assert (status, json.loads(body)["product_id"]) == (200, "p-3")
        assert len(served.lines()) < 10
        assert served.times("closed to make room for another") > 0


def test_without_a_handle_left_one_line_is_logged_and_it_recovers(tmp_path: Path) -> None:
    """There are more connections than handles, beyond the reserve.

    One line is logged, and room is made.
    """
    with serving(tmp_path, 128, QUICK | {"head_s": WAIT_S}) as served, ExitStack() as clients_open:
        for _ in range(250):
            clients_open.enter_context(served.connection())
        until(lambda: served.times("no handle left") > 0)
        assert served.get("/v1/products/p-3")[0] == 200
        assert len(served.lines()) < 10


def test_a_slow_head_is_cut(tmp_path: Path) -> None:
    """The connection is cut though bytes keep arriving, also after an answered request.

    A silent connection is closed without an answer.
    """
    with serving(tmp_path, 1024, QUICK) as served:
        for before in (b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"):
            with served.connection() as client:
                client.sendall(before)
                if before:
                    answer = b""
                    while not answer.endswith(b"\r\n\r\nok\n"):
                        answer += client.recv(4096)
                client.sendall(b"GET /v1/products/p-3 HTTP/1.1\r\nX: ")
                client.settimeout(0.05)
                answer, deadline = b"", time.monotonic() + WAIT_S
                while not answer:
                    assert time.monotonic() < deadline
                    client.sendall(b"x")
                    with suppress(TimeoutError):
                        answer = client.recv(65536)
                client.settimeout(WAIT_S)
                problem(answer + everything(client), Kind.TOO_SLOW)
        with served.connection() as silent:
            assert everything(silent) == b""


def test_a_flood_without_http_is_a_line_or_two(tmp_path: Path) -> None:
    """Each client gets its answer, and the log has one or two lines for all."""
    with serving(tmp_path, 1024, QUICK) as served:
        for what in (
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000,
            b"hello\r\n\r\n",
        ) * 20:
            with served.connection() as client, suppress(ConnectionError):
                client.sendall(what)
                answer = everything(client)
                if answer:  # a client that is still sending may lose it
                    problem(answer, Kind.NO_REQUEST)
        assert served.get("/livez")[0] == 200
        assert len(served.lines()) < 10


def test_slow_readers_of_exports_starve_nobody(tmp_path: Path) -> None:
    """Of 300 clients that read nothing, a few get a start and are then cut.

    The others get a Retry-After. All other requests are answered.
    """
    if allow_open_files() < 3000:
        pytest.skip("this process itself may not open enough files")
    with serving(tmp_path, 1024, QUICK | {"unread_s": 5.0}) as served, ExitStack() as clients_open:
        clients = [clients_open.enter_context(served.connection()) for _ in range(300)]
        for client in clients:
            client.sendall(b"GET /v1/export HTTP/1.1\r\nHost: x\r\n\r\n")
        started = [
            client for client in clients if client.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
        ]
        assert 4 <= len(started) < 50  # more than four only because others were cut
        for path in (
            "/v1/products/p-3",
            "/v1/top/products?cycle=2026-07-01T00:00:00Z",
            "/metrics",
            "/readyz",
        ):
            assert served.get(path)[0] in {200, 503}, path
        status, body, retry_after = served.get("/v1/export")
        if status == 503:
            assert (json.loads(body)["type"], retry_after) == (Kind.BUSY.type, "2")
        until(lambda: served.times("didn't read its answer") > 0)
        until(lambda: served.get("/v1/export")[0] == 200)


def test_a_client_that_reads_gets_a_whole_export(tmp_path: Path) -> None:
    """It gets the last line, whatever the size; a HEAD request costs nothing."""
    with serving(tmp_path, 1024, QUICK) as served:
        status, body, _ = served.get("/v1/export")
        assert status == 200
        assert json.loads(body.splitlines()[-1])["end"]["rows"] == body.count(b"\n") - 1 == ROWS
        for _ in range(10):
            with served.connection() as client:
                client.sendall(b"HEAD /v1/export HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                head, _, rest = everything(client).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert rest == b""


def test_one_connection_too_many_gets_a_retry_after(tmp_path: Path) -> None:
    """It gets 503 at once.

    A later one is answered when one of the other connections is done.
    """
    with serving(tmp_path, 1024, QUICK | {"connections": 5}) as served, ExitStack() as clients_open:
        clients = []

        def no_room_after_another() -> bool:
            clients.append(clients_open.enter_context(served.connection()))
            clients[-1].sendall(
                b"GET /v1/products/p-3?min_position=orders-0:999999 HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            return served.get("/livez")[0] == 503

        until(no_room_after_another)
        with served.connection() as one_more:
            one_more.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = everything(one_more)
            problem(answer, Kind.BUSY)
            assert b"retry-after: 2" in answer.lower()
        for client in clients:
            client.close()
        until(lambda: served.get("/livez")[0] == 200)
