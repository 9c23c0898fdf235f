"""The check at assignment: go on only where committed = mark + 1 in every table; else a loud stop with both numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from schemas.journal import RULES
from streams.lanes import Lane, Mark
from streams.recovery import Opener, StateUnfit, _Opening
from streams.settings import Settings
from tables.cycles import Calendar
from tables.service_hours import ServiceRules
from tables.stages import stages
from tables.watermarks import Progress

IDS = {"orders": "id-1"}
FOLDS = stages(Calendar(30 * 86_400_000, 0), ServiceRules(), 1000)
ORDERS = TopicPartition("orders", 0)


def mark(offset: int, topic_id: str = "id-1", rules: int = RULES, terms: str = FOLDS[0].terms) -> Mark:
    """The mark of a table that holds everything up to an offset."""
    return Mark("orders", topic_id, 0, offset, 5, {}, 0, rules, terms)


def checked(marks: dict[str, Mark | None], committed: int | None, beginning: int = 0, end: int = 1000) -> Lane:
    """The lane after the check."""
    opener = Opener(Settings(_env_file=None), FOLDS, Path("unused"), "cluster", IDS)
    nobody = cast("Any", None)
    opening = _Opening(FOLDS[0], ORDERS, nobody, committed=committed, beginning=beginning, end=end)
    lane = Lane(FOLDS[0], "orders", "id-1", 0, nobody, {}, Progress(), 0, moved_at=0.0)
    opener._check(lane, marks, opening)
    return lane


def test_it_goes_on_behind_the_mark() -> None:
    """The committed offset is the next one to read, and the progress is the mark's."""
    lane = checked({"orders": mark(41)}, 42)
    assert lane.position == 42
    assert lane.progress == Progress(41, 5)


@pytest.mark.parametrize(
    ("marks", "committed", "words"),
    [
        ({"orders": mark(41)}, 43, ["43", "orders is at 41", "count twice or lose"]),
        ({"orders": mark(41)}, 41, ["41"]),
        ({"orders": None}, 42, ["the committed offset is 42", "orders is at nothing"]),
        ({"orders": mark(41)}, None, ["no offset is committed", "put back offset 42", "kafka-consumer-groups.sh"]),
        ({"a": mark(41), "b": mark(40)}, 42, ["a is at 41", "b is at 40"]),
        ({"a": mark(41), "b": None}, 42, ["b is at nothing"]),
        ({"orders": mark(41, topic_id="id-0")}, 42, ["deleted and created again", "id-0"]),
        ({"orders": mark(41, rules=RULES + 1)}, 42, [f"rules {RULES + 1}"]),
        ({"orders": mark(2000)}, 2001, ["outside of the log 0-1000"]),
    ],
)
def test_it_stops_where_state_and_offsets_disagree(marks: dict[str, Mark | None], committed: int | None, words: list[str]) -> None:
    """One sentence with both numbers and the remedy; nothing is guessed."""
    with pytest.raises(StateUnfit) as stopped:
        checked(marks, committed)
    said = str(stopped.value)
    assert "orders-0" in said
    assert "NETSOLD_APP" in said
    for word in words:
        assert word in said


def test_it_stops_where_retention_has_passed_the_offset() -> None:
    """Records that were deleted before they were read are a loss that must be said."""
    with pytest.raises(StateUnfit, match="outside of the log 50-1000"):
        checked({"orders": mark(41)}, 42, beginning=50)
