"""The worker's process: its membership of the group, and its end."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, cast

import faust
from structlog.testing import capture_logs

from streams import app as module
from streams.app import Worker, build_app
from streams.settings import Kafka, Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_a_worker_without_partitions_stays_a_member(tmp_path: Path) -> None:
    """It fetches nothing.

    aiokafka would remove it as stuck, and it could never get a partition again.
    """
    settings = Settings(
        _env_file=None, data_dir=tmp_path, kafka=Kafka(bootstrap_servers="127.0.0.1:1")
    )
    app = build_app(settings, "spare", "cluster", {})
    assert app.conf.broker_max_poll_interval > 365 * 86_400


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
