"""When a partition is read to its end, by positions and answers alone; offsets by time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka.structs import OffsetAndTimestamp, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from schemas import times
from streams import log
from streams.log import FollowStep, WrittenBy, _Remaining
from streams.settings import Kafka, Settings
from tests.flow import Record
from tests.reading import settings_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

NOWHERE = Settings(_env_file=None, kafka=Kafka(bootstrap_servers="127.0.0.1:1"))


async def test_no_partitions_need_no_request() -> None:
    """A consumer that is stopped as soon as it has started raises CancelledError."""
    assert await log.first(NOWHERE, {}, {}, 1.0) == {}
    assert await log.offsets_since(NOWHERE, {}) == {}


def test_a_position_at_or_past_the_end_is_the_end() -> None:
    """This is the usual case.

    It also holds if the last offset is a control record, which the position passed.
    """
    assert not _Remaining(10, 0).over(9, 10, 1)
    assert _Remaining(10, 0).over(10, None, None)
    assert _Remaining(10, 0).over(11, 11, 1)


def test_answers_without_records_before_a_removed_tail_are_the_end() -> None:
    """Two empty answers at one position are the end.

    Everything before the end is stable, so the rest was removed.
    """
    remaining = _Remaining(10, 0)
    assert not remaining.over(9, 10, 100)
    assert not remaining.over(9, 10, 100), "the same answer again is no second answer"
    assert not remaining.over(9, 10, 200)
    assert remaining.over(9, 10, 300)


def test_an_open_transaction_is_waited_for() -> None:
    """Empty answers never count while an offset before the end is unstable.

    Their number doesn't matter.
    """
    remaining = _Remaining(10, 5)
    assert not any(remaining.over(5, 7, answered_ms) for answered_ms in range(100, 2000, 100))
    assert not remaining.over(5, None, 2100)
    assert not remaining.over(5, 10, 2200)
    assert remaining.over(5, 10, 2300)


def test_records_restart_the_count() -> None:
    """An answer that moved the position restarts the count of empty answers."""
    remaining = _Remaining(10, 5)
    assert not remaining.over(5, 10, 100)
    assert not remaining.over(8, 10, 200)
    assert not remaining.over(8, 10, 300)
    assert remaining.over(8, 10, 400)


class ConsumerOfOne:
    """One record, of 2026. As aiokafka's consumer, it refuses an instant before 1970."""

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[object, int]:
        """Nothing was deleted."""
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[object, int]:
        """Behind the record."""
        return dict.fromkeys(partitions, 1)

    async def offsets_for_times(
        self, instants: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """The record, unless it is older."""
        if min(instants.values()) < 0:
            raise ValueError("The target time cannot be negative.")
        found = OffsetAndTimestamp(0, times.parse_ms("2026-07-01T08:00:00Z"))
        return {at: found if ms <= found.timestamp else None for at, ms in instants.items()}


@pytest.mark.parametrize(
    ("instant", "end"),
    [
        ("1960-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.998Z", 0),
        ("2026-07-01T07:59:59.999Z", 0),
        ("2026-07-01T08:00:00Z", 1),
    ],
)
async def test_what_was_written_by_an_instant(
    monkeypatch: pytest.MonkeyPatch, instant: str, end: int
) -> None:
    """Inclusive; nothing was by an instant before 1970, at which Kafka has no times."""
    at = TopicPartition("orders", 0)

    @asynccontextmanager
    async def requests(*_: object) -> AsyncIterator[tuple[ConsumerOfOne, list[TopicPartition]]]:
        yield ConsumerOfOne(), [at]

    monkeypatch.setattr(log, "_offset_requests", requests)
    found = await log.written_by(settings_in(Path()), ["orders"], times.parse_ms(instant))
    after_ms = None if end else times.parse_ms("2026-07-01T08:00:00Z")
    assert found == {("orders", 0): WrittenBy(0, end, after_ms)}


@given(st.lists(st.integers(0, 40), max_size=5), st.integers(1, 12))
def test_a_large_step_is_cut(sizes: list[int], most: int) -> None:
    """Its parts have its records in order, and end where the next one begins."""
    records = {("t", at): logged("t", at, range(5, 5 + size)) for at, size in enumerate(sizes)}
    before = dict.fromkeys(records, 0) | {("quiet", 0): 7}
    positions = dict.fromkeys(records, 100) | {("quiet", 0): 8}
    step = FollowStep(records, positions, dict(positions), frozenset({("quiet", 0)}), 9)
    parts = list(log.parts_of(step, before, most))
    joined: dict[log.At, list[object]] = {at: [] for at in records}
    for part in parts:
        for at, some in part.records.items():
            assert all(before[at] <= record.offset < part.positions[at] for record in some)
            joined[at] += some
        before = part.positions
        assert (part.ends, part.behind, part.answered_ms) == (step.ends, step.behind, 9)
    assert joined == records
    assert before == positions
    assert len(parts) == 1 or all(most <= part.count < 2 * most for part in parts)
    assert len(parts) == max(1, step.count // most)


def logged(topic: str, partition: int, offsets: range) -> list[Record]:
    """Records of a partition."""
    return [Record(topic, partition, offset, 0, b"k", b"v", []) for offset in offsets]
