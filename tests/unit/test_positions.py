"""Positions of records."""

from schemas.positions import Position


def test_a_position_as_text_names_topic_partition_and_offset() -> None:
    """A topic's name may have dashes."""
    assert str(Position("shop.shop-activity", 3, 1841)) == "shop.shop-activity-3@1841"


def test_the_next_position_has_the_next_offset() -> None:
    """The topic and the partition stay the same."""
    assert Position("orders", 3, 1841).next == Position("orders", 3, 1842)


def test_positions_sort_by_topic_partition_and_offset() -> None:
    """Numbers sort as numbers; equal positions have one hash."""
    positions = [
        Position("b", 0, 0),
        Position("a", 10, 0),
        Position("a", 9, 10),
        Position("a", 9, 9),
    ]
    assert [str(position) for position in sorted(positions)] == [
        "a-9@9",
        "a-9@10",
        "a-10@0",
        "b-0@0",
    ]
    assert len({Position("a", 9, 9), Position("a", 9, 9)}) == 1
