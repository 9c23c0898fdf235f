"""Kafka's jars: files that an interrupted fetch left incomplete are fetched again."""

from __future__ import annotations

import fcntl
import threading
import zipfile
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from operations.local import kafka_jars

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Cache:
    """A Maven cache with one pom and one jar.

    Fetching completes what is missing; reading a torn file fails as it does in jgo.
    """

    def __init__(self, folder: Path) -> None:
        self.pom, self.jar = folder / "kafka.pom", folder / "kafka.jar"
        self.fetched: list[str] = []

    def resolved(self) -> list[Path]:
        if not self.pom.exists():
            self.fetched.append("pom")
            self.pom.write_text("<project></project>\n")
        ET.fromstring(self.pom.read_text())  # noqa: S314 - our own text
        if not self.jar.exists():
            self.fetched.append("jar")
            with zipfile.ZipFile(self.jar, "w") as jar:
                jar.writestr("a", "b")
        return [self.jar]


def test_torn_files_are_fetched_again_and_whole_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty pom, half a pom or half a jar: each is fetched again."""
    cache = Cache(tmp_path)
    monkeypatch.setattr(kafka_jars, "_resolved", cache.resolved)
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    assert kafka_jars._jars() == [cache.jar]
    assert cache.fetched == ["pom", "jar"]
    for torn, left, again in (
        (cache.pom, b"", "pom"),
        (cache.pom, b"<project>", "pom"),
        (cache.jar, cache.jar.read_bytes()[:20], "jar"),
    ):
        cache.fetched.clear()
        torn.write_bytes(left)
        assert kafka_jars._jars() == [cache.jar]
        assert cache.fetched == [again]
    cache.fetched.clear()
    assert kafka_jars._jars() == [cache.jar]
    assert cache.fetched == []


def test_a_second_first_start_waits_for_the_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that it waits, and reads nothing before the first one has ended."""
    cache, waits, lines = Cache(tmp_path), threading.Event(), list[str]()

    def report(line: str) -> None:
        lines.append(line)
        waits.set()

    monkeypatch.setattr(kafka_jars, "_resolved", cache.resolved)
    monkeypatch.setattr(kafka_jars, "_SILENT_S", 0.0)
    monkeypatch.setattr(kafka_jars, "print_error", report)
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    found: list[str] = []
    second = threading.Thread(target=lambda: found.append(kafka_jars.classpath()))
    with (tmp_path / kafka_jars.LOCK).open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second.start()
        assert waits.wait(10)
        assert cache.fetched == []
    second.join(10)
    assert found == [str(cache.jar)]
    assert lines == ["waiting for another process that fetches Kafka's jars"]
