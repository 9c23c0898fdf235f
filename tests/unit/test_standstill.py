"""An opening that doesn't get on says what it waits for."""

import pytest
from structlog.testing import capture_logs

from streams import recovery
from streams.recovery import _Standstill

FIRST, SECOND = "s-orders-changelog-0@6", "s-orders-changelog-1@4"


def test_where_it_waits_is_said_once_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, under the name of what it is; and nothing while anything moves."""
    monkeypatch.setattr(recovery, "STILL_SECONDS", -1.0)
    standstill = _Standstill("waiting", "changelogs")
    with capture_logs() as moving:
        standstill.look(["s-orders-changelog-0@5", SECOND])
        standstill.look([SECOND, FIRST])
    assert moving == []
    with capture_logs() as still:
        standstill.look([SECOND, FIRST])
    assert [(line["event"], line["changelogs"]) for line in still] == [("waiting", [FIRST, SECOND])]


def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short wait is nothing to speak of."""
    monkeypatch.setattr(recovery, "STILL_SECONDS", 60.0)
    standstill = _Standstill("waiting", "changelogs")
    with capture_logs() as lines:
        for _ in range(3):
            standstill.look([FIRST])
    assert lines == []
