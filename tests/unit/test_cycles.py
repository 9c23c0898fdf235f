"""Cycles: the cycle of an instant, and its text."""

import pytest

from tables.cycles import Calendar

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("at_ms", "start_ms"),
    [(0, 0), (9, 0), (10, 10), (19, 10), (-1, -10), (-10, -10), (-11, -20)],
)
def test_cycles_are_half_open_on_both_sides_of_the_epoch(at_ms: int, start_ms: int) -> None:
    """C1: cycles of length 10 with anchor 0.

    -20       -10        0         10        20
    [---------)[---------)[---------)[---------)
    """
    calendar = Calendar(10)
    assert calendar.start_of(at_ms) == start_ms
    assert calendar.start_of(at_ms) <= at_ms < calendar.end_of(calendar.start_of(at_ms))


@pytest.mark.parametrize("anchor_ms", [3, -7, 1003, -997])
def test_only_the_anchors_remainder_matters(anchor_ms: int) -> None:
    """C1: anchors a whole number of cycles apart make the same cycles."""
    calendar = Calendar(10, anchor_ms)
    assert [calendar.start_of(at_ms) for at_ms in (-8, -7, 2, 3, 12, 13)] == [-17, -7, -7, 3, 3, 13]


def test_every_instant_is_in_one_cycle_and_the_next_begins_where_it_ends() -> None:
    """C1: no instant is in two cycles or in none."""
    calendar = Calendar(7, 2)
    for at_ms in range(-50, 50):
        start_ms = calendar.start_of(at_ms)
        assert calendar.start_of(calendar.end_of(start_ms)) == calendar.end_of(start_ms)
        assert calendar.start_of(start_ms - 1) == start_ms - 7


def test_text_and_back() -> None:
    """A cycle's name is its start in ISO 8601, also before the first year of events."""
    calendar = Calendar(30 * DAY_MS)
    assert calendar.iso(1_780_704_000_000) == "2026-06-06T00:00:00Z"
    for start_ms in (1_780_704_000_000, -30 * DAY_MS, calendar.start_of(-2_208_988_800_000)):
        assert calendar.start_of_iso(calendar.iso(start_ms)) == start_ms
    assert Calendar(1).start_of_iso("1970-01-01T00:00:00.001Z") == 1


def test_a_text_of_other_cycles_is_refused() -> None:
    """A journal made with another length or anchor can't be added to ours."""
    with pytest.raises(ValueError, match="length or anchor"):
        Calendar(30 * DAY_MS).start_of_iso("2026-06-07T00:00:00Z")
    with pytest.raises(ValueError, match="RFC 3339"):
        Calendar(30 * DAY_MS).start_of_iso("June")


def test_a_cycle_has_a_length() -> None:
    """A length below one millisecond is refused."""
    with pytest.raises(ValueError, match="at least a millisecond"):
        Calendar(0)
