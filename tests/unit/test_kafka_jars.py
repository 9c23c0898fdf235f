"""Kafka's jars: files that an interrupted fetch left incomplete are fetched again."""

from __future__ import annotations

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
