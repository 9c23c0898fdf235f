"""The local Kafka as a process.

It starts once, keeps data and port, and is never confused with another process.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from operations.local import kafka as local_kafka
from operations.local.kafka import KafkaSlow, LocalKafka, LocalKafkaFailed, with_local
from operations.local.kafka_jars import JarsOutOfReach
from streams import topics
from streams.settings import Kafka, Settings
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker that only this test uses."""
    broker = LocalKafka(tmp_path)
    yield broker
    broker.kill()


def _ids(bootstrap: str) -> dict[str, str]:
    return asyncio.run(
        topics.topic_ids(Settings(_env_file=None, kafka=Kafka(bootstrap_servers=bootstrap)))
    )


def test_it_keeps_port_and_data_over_stop_and_kill(broker: LocalKafka, tmp_path: Path) -> None:
    """The same topics are at the same address.

    This is so after an orderly stop and after a kill -9. A second start changes nothing.
    """
    assert not broker.status().running
    bootstrap = broker.start()
    first = broker.status()
    assert (first.running, first.bootstrap) == (True, bootstrap)
    assert LocalKafka(tmp_path).start() == bootstrap, "another start finds the running one"
    assert broker.status().pid == first.pid
    asyncio.run(topics.create(Settings(_env_file=None, kafka=Kafka(bootstrap_servers=bootstrap))))
    before = _ids(bootstrap)
    assert len(before) == len(catalogue.PUBLIC_TOPICS) + len(catalogue.TABLES)

    for end in (broker.stop, broker.kill):
        assert end()
        assert not broker.status().running
        assert broker.status().cluster_id == first.cluster_id
        assert not end(), "there was nothing to end"
        assert broker.start() == bootstrap
        assert _ids(bootstrap) == before


def test_it_outlives_the_process_that_started_it(tmp_path: Path, broker: LocalKafka) -> None:
    """`netsold kafka start` returns and leaves Kafka running.

    Kafka has a session of its own.
    """
    program = (
        "import sys, pathlib; from operations.local.kafka import LocalKafka;"
        " print(LocalKafka(pathlib.Path(sys.argv[1])).start())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    status = broker.status()
    assert done.stdout.strip() == status.bootstrap
    assert status.pid is not None
    assert os.getsid(status.pid) == status.pid
    assert broker.stop()
    assert (
        not psutil.pid_exists(status.pid)
        or psutil.Process(status.pid).status() == psutil.STATUS_ZOMBIE
    )


def test_another_process_with_the_pid_is_not_touched(broker: LocalKafka) -> None:
    """If a state file names another process, Kafka isn't running."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        broker.directory.mkdir()
        created = psutil.Process(other.pid).create_time()
        for known in ({}, {"created": created - 1000}):
            state = {"cluster_id": "x", "port": 1, "controller_port": 2, "pid": other.pid, **known}
            (broker.directory / "state.json").write_text(json.dumps(state))
            assert not broker.status().running
            assert not broker.stop()
            assert not broker.kill()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_failed_start_has_its_reason(broker: LocalKafka) -> None:
    """The error has the broker's last error and its log file; nothing times out."""
    broker.start()
    broker.stop()
    meta = broker.directory / "log" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(LocalKafkaFailed, match=r"Kafka ended while starting: .*7.*kafka\.log"):
        broker.start()


def test_a_failed_start_leaves_nothing_running(
    broker: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while it waits for answers ends the started process.

    A slow broker is left running, and is named.
    """

    def interrupted(_: str) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(local_kafka, "_answers", interrupted)
        with pytest.raises(KeyboardInterrupt):
            broker.start()
    assert not broker.status().running
    with pytest.raises(
        KafkaSlow, match=r"Kafka runs \(pid \d+\) but gave no answer at 127\.0\.0\.1:\d+ in 0 s"
    ):
        broker.start(wait_s=0.0)
    assert broker.status().running
    broker.start()


def test_its_own_child_is_not_mistaken_for_dead_before_it_shows_a_command(
    broker: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that becomes Kafka has an empty command line for a short time."""
    monkeypatch.setattr(psutil.Process, "cmdline", lambda _: [])
    bootstrap = broker.start()
    assert broker.status().bootstrap == bootstrap
    assert broker.stop()


def test_a_torn_state_file_loses_nothing(tmp_path: Path) -> None:
    """Port and cluster of the running broker are found and recorded.

    It stops as before, and starts again at the same address.
    """
    sentences: list[str] = []
    broker = LocalKafka(tmp_path, sentences.append)
    state = broker.directory / "state.json"
    try:
        bootstrap = broker.start()
        before = broker.status()
        state.write_bytes(b"")
        assert broker.status() == before
        assert "it is set aside as state.json.unreadable" in sentences.pop()
        assert sentences == []
        assert broker.start() == bootstrap
        assert json.loads(state.read_bytes())["pid"] == before.pid
        state.write_bytes(b'{"cluster_id": "x", "po')
        assert broker.stop()
        assert not psutil.pid_exists(before.pid or 0)
        state.write_bytes(b"null")
        assert broker.start() == bootstrap
        assert broker.status().cluster_id == before.cluster_id
    finally:
        broker.kill()


def test_it_does_not_move_away_from_its_clients(broker: LocalKafka) -> None:
    """A restart for running clients needs its former port.

    If another process listens there, it is refused.
    """
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        broker.directory.mkdir()
        (broker.directory / "state.json").write_text(
            json.dumps({"cluster_id": "x", "port": port, "controller_port": 0})
        )
        with pytest.raises(
            LocalKafkaFailed,
            match=f"another process listens at 127.0.0.1:{port}, where its clients look for it",
        ):
            broker.launch(same_port=True)
    assert not broker.status().running


def test_jars_out_of_reach_have_a_remedy(
    broker: LocalKafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without cached jars and without network the error names both remedies."""
    monkeypatch.setenv("M2_REPO", str(tmp_path / "empty"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(
        JarsOutOfReach, match=r"connect to Maven Central.*NETSOLD_KAFKA__BOOTSTRAP_SERVERS"
    ):
        broker.start()


def test_settings_follow_the_local_kafka_only_while_it_runs(
    broker: LocalKafka, tmp_path: Path
) -> None:
    """A named cluster wins; without one the running local Kafka is used.

    Otherwise no cluster is known.
    """
    unnamed = Settings(_env_file=None, data_dir=tmp_path)
    assert with_local(unnamed) == unnamed
    bootstrap = broker.start()
    assert with_local(unnamed).kafka.bootstrap_servers == bootstrap
    named = Settings(
        _env_file=None, data_dir=tmp_path, kafka=Kafka(bootstrap_servers="elsewhere:9092")
    )
    assert with_local(named) == named
