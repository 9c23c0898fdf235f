"""The clients of the bench of readers: as fast as the server answers, and at a fixed rate.

`saturate` is wrk: each connection sends its next request when the last is answered, so its
latencies are those of a server that is never idle. `at_rate` sends each request at an instant of a
plan, whether or not the ones before it are answered, and times it from that instant: an answer that
is late makes the next ones late, and they count (no coordinated omission).
"""

from __future__ import annotations

import json
import select
import shutil
import socket
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WRK = shutil.which("wrk")
CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("random_rows.lua")
DRAIN_S = 5.0
"""How long the last answers may take after the last request of a plan."""


class Unanswered(Exception):
    """A server refused a request, or gave no answer; the message has what it sent."""


class Server(NamedTuple):
    """A host and port that answer HTTP."""

    host: str
    port: int


class Figures(NamedTuple):
    """Requests a second, and milliseconds from a request to its answer's end."""

    rate: float
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        """One line."""
        return f"{self.rate:,.0f}/s, p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms"


def figures(latencies_s: Sequence[float], seconds: float) -> Figures:
    """The figures of requests that were answered within so many seconds."""
    ordered = sorted(latencies_s)
    if not ordered:
        raise Unanswered("no request was answered")
    p50, p99 = (ordered[len(ordered) * share // 100] * 1000 for share in (50, 99))
    return Figures(len(ordered) / seconds, p50, p99)


def saturate(server: Server, address: str, ids: int, seconds: int) -> Figures:
    """Let wrk read random ids over CONNECTIONS connections. Raises Unanswered."""
    if WRK is None:
        raise Unanswered("wrk isn't installed")
    url = f"http://{server.host}:{server.port}/"
    given = ("-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT))
    output = subprocess.run(
        (WRK, *given, url, "--", address, str(ids)), capture_output=True, text=True, check=True
    ).stdout
    found = json.loads(output.strip().rsplit("\n", 1)[-1])
    if found["refused"] or found["failed"]:
        raise Unanswered(f"{address}: {found}")
    return Figures(found["requests"] / found["seconds"], found["p50_ms"], found["p99_ms"])


class _Connection:
    """A connection with at most one request that isn't answered."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(server, timeout=DRAIN_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due_s = 0.0
        self._received = b""
        self._body: slice | None = None

    def fileno(self) -> int:
        """For select."""
        return self.socket.fileno()

    def send(self, request: bytes, due_s: float) -> None:
        """Send the request that was due at an instant."""
        self.due_s, self._received, self._body = due_s, b"", None
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """The body once it is complete, None before. Raises Unanswered."""
        received = self.socket.recv(1 << 20)
        if not received:
            raise Unanswered(f"the connection was closed after {self._received[:300]!r}")
        self._received += received
        if self._body is None:
            head, found, _ = self._received.partition(b"\r\n\r\n")
            if not found:
                return None
            if not head.startswith(b"HTTP/1.1 200 "):
                raise Unanswered(self._received[:600].decode(errors="replace"))
            length = head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]
            begin = len(head) + len(found)
            self._body = slice(begin, begin + int(length))
        return self._received[self._body] if len(self._received) >= self._body.stop else None


def _readable(busy: Iterable[_Connection], wait_s: float) -> list[_Connection]:
    """The connections with something to read after at most so long. Raises Unanswered if late."""
    found: list[_Connection] = select.select(busy, (), (), wait_s)[0]  # to the microsecond
    if not found and wait_s == DRAIN_S:
        raise Unanswered(f"no request was answered in {DRAIN_S:g} s")
    return found


def request(path: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def at_rate(server: Server, paths: Iterable[str], rate: float) -> Figures:
    """Get each path at its instant, `rate` of them a second. Raises Unanswered.

    A request that finds no idle connection waits for one, and its waiting counts. The rate of the
    figures is that of the plan.
    """
    plan = [request(path) for path in paths]
    connections = [_Connection(server) for _ in range(CONNECTIONS)]
    try:
        latencies = _follow(plan, rate, connections)
    finally:
        for one in connections:
            one.socket.close()
    return figures(latencies, len(plan) / rate)


def _follow(plan: Sequence[bytes], rate: float, connections: Sequence[_Connection]) -> list[float]:
    """The seconds from each request's instant to the end of its answer.

    DRAIN_S after the last instant those without an answer count as if they had one.
    """
    idle, busy = deque(connections), set[_Connection]()
    latencies: list[float] = []
    began_s = time.perf_counter()
    sent = 0
    while len(latencies) < len(plan):
        now_s = time.perf_counter()
        if now_s > began_s + len(plan) / rate + DRAIN_S:
            unsent = (began_s + number / rate for number in range(sent, len(plan)))
            latencies += [now_s - due_s for due_s in (*unsent, *(one.due_s for one in busy))]
            break
        while sent < len(plan) and idle and (due_s := began_s + sent / rate) <= now_s:
            one = idle.popleft()
            one.send(plan[sent], due_s)
            busy.add(one)
            sent += 1
        wait_s = DRAIN_S
        if sent < len(plan) and idle:
            wait_s = max(0.0, began_s + sent / rate - time.perf_counter())
        for one in _readable(busy, wait_s):
            if one.receive() is not None:
                latencies.append(time.perf_counter() - one.due_s)
                busy.remove(one)
                idle.append(one)
    return latencies


def get_all(server: Server, paths: Sequence[str]) -> list[bytes]:
    """The bodies of all paths, in their order; each path once. Raises Unanswered."""
    idle = deque(_Connection(server) for _ in range(CONNECTIONS))
    connections, busy = list(idle), dict[_Connection, int]()
    bodies = [b""] * len(paths)
    sent = 0
    while sent < len(paths) or busy:
        while idle and sent < len(paths):
            one = idle.popleft()
            one.send(request(paths[sent]), 0.0)
            busy[one] = sent
            sent += 1
        for one in _readable(busy, DRAIN_S):
            if (body := one.receive()) is not None:
                bodies[busy.pop(one)] = body
                idle.append(one)
    for one in connections:
        one.socket.close()
    return bodies
