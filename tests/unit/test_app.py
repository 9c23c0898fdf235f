"""The worker's process: its membership of the group, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, cast

import faust
import pytest
from structlog.testing import capture_logs

from streams import app as module
from streams import logs, topics
from streams.app import Worker, build_app, run_worker
from streams.settings import Kafka, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def test_a_worker_without_partitions_stays_a_member(tmp_path: Path) -> None:
    """It fetches nothing.

    aiokafka would remove it as stuck, and it could never get a partition again.
    """
    settings = Settings(
        _env_file=None, data_dir=tmp_path, kafka=Kafka(bootstrap_servers="127.0.0.1:1")
    )
    app = build_app(settings, "spare", "cluster", {})
    assert app.conf.broker_max_poll_interval > 365 * 86_400


@pytest.mark.usefixtures("_restored")
def test_a_signal_ends_a_worker_that_waits_for_kafka(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its first requests are cancelled in order, and its stores are not locked yet."""
    ended = []

    async def never(_: Settings) -> None:
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("in order")

    def raised_within_the_loop(*_: object) -> None:
        raise AssertionError

    signal.signal(signal.SIGINT, raised_within_the_loop)
    monkeypatch.setattr(topics, "require", never)
    monkeypatch.setattr(logs, "configure", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        run_worker(Settings(_env_file=None, data_dir=tmp_path))
    assert ended == ["in order"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _restored() -> Iterator[None]:
    """The handler of Ctrl-C and the switch interval, which a worker changes, are restored."""
    handler, interval_s = signal.getsignal(signal.SIGINT), sys.getswitchinterval()
    yield
    signal.signal(signal.SIGINT, handler)
    sys.setswitchinterval(interval_s)


def test_a_stop_by_signal_that_hangs_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM and SIGINT start a clean stop of bounded time.

    When the time is over, the exit code is 1.
    """
    ended, codes, stops = threading.Event(), [], []

    def leave(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(module, "EXIT_SECONDS", 0.02)
    monkeypatch.setattr(faust.Worker, "_schedule_shutdown", lambda _, number: stops.append(number))
    worker = cast("Any", Worker.__new__(Worker))
    worker.spinner = None
    with capture_logs() as lines:
        worker._on_sigterm()
        assert ended.wait(5.0)
    assert codes == [1]
    assert len(stops) == 1
    (line,) = lines
    assert line["event"].startswith("the stop took longer than 0 s and is cut short")
