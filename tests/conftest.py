"""Fixtures of all tests.

A process of pytest has one real Kafka, which starts when its first test needs it. No two tests
share settings.
"""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from operations.local.kafka import LocalKafka
from streams.settings import Kafka, Settings
from tests.applications import new_application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


# Properties are bounded by their number of examples and not by the clock: the machine may be busy.
hypothesis_settings.register_profile(
    "netsold", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("netsold")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Pages that show output can be written anew by the tests that compare it."""
    parser.addoption(
        "--write-pages", action="store_true", help="write fresh output into docs, not compare it"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that needs the broker, so that `-m "not kafka"` leaves them all out."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own NETSOLD_… variables away from the tests."""
    for name in [name for name in os.environ if name.startswith("NETSOLD_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """Blocks in which no file can grow, as on a full disk.

    Use them only within a test: pytest's own output may go to a file.
    """

    @contextmanager
    def full() -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return full


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """The run's Kafka; a test that stops or kills it starts it again."""
    broker = LocalKafka(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def settings(kafka: LocalKafka, tmp_path: Path) -> Settings:
    """Settings of an application that no other test uses.

    They have their own app, topic prefix and data directory, and two partitions.
    """
    return new_application(tmp_path, kafka=Kafka(bootstrap_servers=kafka.status().bootstrap))
