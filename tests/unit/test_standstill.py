"""A restore that doesn't get on says where it waits."""

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from streams import recovery
from streams.recovery import _Standstill

FIRST, SECOND = TopicPartition("s-orders-changelog", 0), TopicPartition("s-orders-changelog", 1)
ENDS = {FIRST: 9, SECOND: 4}


def test_where_it_waits_is_said_once_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is not at its end is named, and nothing while anything moves."""
    monkeypatch.setattr(recovery, "STILL_SECONDS", -1.0)
    standstill = _Standstill()
    with capture_logs() as moving:
        standstill.look({FIRST: 5, SECOND: 4}, ENDS)
        standstill.look({FIRST: 6, SECOND: 4}, ENDS)
    assert moving == []
    with capture_logs() as still:
        standstill.look({FIRST: 6, SECOND: 4}, ENDS)
    assert [line["changelogs"] for line in still] == [["s-orders-changelog-0@6"]]
    assert "Hanging transaction" in still[0]["event"]


def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short wait is nothing to speak of."""
    monkeypatch.setattr(recovery, "STILL_SECONDS", 60.0)
    standstill = _Standstill()
    with capture_logs() as lines:
        for _ in range(3):
            standstill.look({FIRST: 5, SECOND: 4}, ENDS)
    assert lines == []
