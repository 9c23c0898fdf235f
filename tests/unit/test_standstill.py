"""An opening without progress logs what it waits for."""

import pytest
from structlog.testing import capture_logs

from streams import standstill as module
from streams.standstill import Standstill

FIRST, SECOND = "s-orders-changelog-0@6", "s-orders-changelog-1@4"


def test_the_same_wait_is_logged_after_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sorted, under the name of its kind.

    Nothing is logged while anything changes.
    """
    monkeypatch.setattr(module, "STILL_SECONDS", -1.0)
    standstill = Standstill("waiting", "changelogs")
    with capture_logs() as moving:
        standstill.watch(["s-orders-changelog-0@5", SECOND])
        standstill.watch([SECOND, FIRST])
    assert moving == []
    with capture_logs() as still:
        standstill.watch([SECOND, FIRST])
    assert [(line["event"], line["changelogs"]) for line in still] == [("waiting", [FIRST, SECOND])]


def test_a_short_wait_is_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three checks within the time give no line."""
    monkeypatch.setattr(module, "STILL_SECONDS", 60.0)
    standstill = Standstill("waiting", "changelogs")
    with capture_logs() as lines:
        for _ in range(3):
            standstill.watch([FIRST])
    assert lines == []
