"""The clients of the bench of readers count what a page would wait for."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from threading import Event, Thread, Timer
from typing import TYPE_CHECKING

import pytest

from bench.clients import Figures, Server, Unanswered, at_rate, figures, get_all
from bench.reader_table import reads_table
from bench.reads import Read, together
from bench.wire import Append, _latencies, _Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

STALL_S = 0.5
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


@contextmanager
def serving(status: bytes = b"200", stall_s: float = 0.0) -> Iterator[Server]:
    """A server that answers nothing until a while after the first request, and by its path."""
    stopped, released = Event(), Event()
    release = Timer(stall_s, released.set)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def answer(client: socket.socket) -> None:
            client.settimeout(5.0)
            with client:
                while request := client.recv(4096):
                    path = request.split(b" ", 2)[1]
                    with suppress(RuntimeError):  # it was started by an earlier request
                        release.start()
                    released.wait(10.0)
                    client.sendall(ANSWER.replace(b"200", status) + path.rjust(5)[:5])

        def accept() -> None:
            while not stopped.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                Thread(target=answer, args=(client,), daemon=True).start()

        thread = Thread(target=accept)
        thread.start()
        try:
            yield Server(*listener.getsockname()[:2])
        finally:
            stopped.set()
            thread.join()


def test_a_stall_counts_for_each_request_that_was_due() -> None:
    """With more requests than connections, those that could not be sent waited as well."""
    count, rate = 100, 1000.0
    with serving(stall_s=STALL_S) as server:
        found = at_rate(server, ["/1"] * count, rate)
    assert found.rate == rate
    last_due_ms = count / rate * 1000
    assert found.p50_ms >= STALL_S * 1000 - last_due_ms


def test_bodies_come_in_the_order_of_their_paths() -> None:
    """Each path is read once, whatever connection it took."""
    with serving() as server:
        paths = [f"/{number:04}" for number in range(200)]
        assert get_all(server, paths) == [path.encode() for path in paths]


def test_a_refusal_is_no_figure() -> None:
    """An answer other than 200 ends the measurement with what was sent."""
    with serving(b"503") as server, pytest.raises(Unanswered, match=r"HTTP/1\.1 503"):
        at_rate(server, ["/1"], 100.0)


def test_figures_of_rounds_are_means_and_the_highest_p99() -> None:
    """Percentiles are those of the latencies; rounds are put together as the page says."""
    found = figures([number / 1000 for number in range(100)], 2.0)
    assert found == Figures(50.0, 50.0, 99.0)
    assert together([found, Figures(100.0, 100.0, 9.0)]) == Figures(75.0, 75.0, 99.0)
    with pytest.raises(Unanswered):
        figures([], 1.0)


def test_events_of_a_stream_are_timed_by_the_bytes_that_end_them() -> None:
    """An event may come in pieces, and may include several appends; comments are none."""
    stream = _Stream("/v1/stream?product=p")
    stream.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for text in (
        ": hello\n\n",
        'event: product\ndata: {"answer":null}\nid: a\n\n',
        'event: product\ndata: {"answer":{"units":{"gro',
        'ss":2}}}\nid: b\n\nevent: freshness\ndata: {}\nid: b\n\n',
    ):
        stream.data_received(b"%x\r\n%b\r\n" % (len(text), text.encode()))
    stream._arrived = [(float(at_s), data) for at_s, (_, data) in enumerate(stream._arrived)]
    assert _latencies(stream, [Append(1, 1.0), Append(2, 3.5)]) == [3.0, 0.5]


def test_a_stream_without_an_append_is_no_figure() -> None:
    """What a stream lacks is not left out of its percentiles."""
    stream = _Stream("/v1/stream?product=p")
    stream.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(Unanswered, match="0 of 1 appends"):
        _latencies(stream, [Append(1, 0.0)])


def test_the_table_has_a_row_for_each_who_and_phase() -> None:
    """Without a client at a fixed rate, its cells are empty."""
    one = Figures(1000.0, 1.0, 2.0)
    idle = {"point reads": {"netsold": [Read(one, one)], "Redis": [Read(one, None)]}}
    beside = {"point reads": {"netsold": [Read(one, one)]}}
    table = reads_table({", idle": idle, ", beside": beside}, 500).splitlines()[2:]
    assert table == [
        "| point reads | netsold, idle | 1,000 | 1.00 | 2.00 | 1.00 | 2.00 |",
        "| point reads | netsold, beside | 1,000 | 1.00 | 2.00 | 1.00 | 2.00 |",
        "| point reads | Redis, idle | 1,000 | 1.00 | 2.00 |  |  |",
    ]
