"""When a partition is read to its end, by positions and answers alone."""

from __future__ import annotations

from streams.log import _Remaining


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
