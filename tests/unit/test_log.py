"""When a partition is read to its end, told from positions and answers alone."""

from __future__ import annotations

from streams.log import _Remaining


def test_a_position_at_or_past_the_end_is_the_end() -> None:
    """The usual case, also where the last offset is a control record that the position stepped over."""
    assert not _Remaining(10, 0).over(9, 10, 1)
    assert _Remaining(10, 0).over(10, None, None)
    assert _Remaining(10, 0).over(11, 11, 1)


def test_answers_without_records_before_a_removed_tail_are_the_end() -> None:
    """Two answers at one position, all before the end stable.

    Whatever stood there was cleaned away.
    """
    remaining = _Remaining(10, 0)
    assert not remaining.over(9, 10, 100)
    assert not remaining.over(9, 10, 100), "the same answer again says nothing new"
    assert not remaining.over(9, 10, 200)
    assert remaining.over(9, 10, 300)


def test_an_open_transaction_is_waited_for() -> None:
    """Empty answers while something before the end is unstable never count, however many come."""
    remaining = _Remaining(10, 5)
    assert not any(remaining.over(5, 7, answered_ms) for answered_ms in range(100, 2000, 100))
    assert not remaining.over(5, None, 2100)
    assert not remaining.over(5, 10, 2200)
    assert remaining.over(5, 10, 2300)


def test_records_start_the_count_anew() -> None:
    """An answer that moved the position proves that the ones before it were not the last."""
    remaining = _Remaining(10, 5)
    assert not remaining.over(5, 10, 100)
    assert not remaining.over(8, 10, 200)
    assert not remaining.over(8, 10, 300)
    assert remaining.over(8, 10, 400)
