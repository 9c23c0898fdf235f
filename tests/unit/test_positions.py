"""Positions and vectors."""

import pytest

from schemas.positions import Position, Vector


def test_text_form_comes_back() -> None:
    """A topic may have dashes; the text names one record."""
    position = Position("shop.shop-activity", 3, 1841)
    assert str(position) == "shop.shop-activity-3@1841"
    assert Position.parse(str(position)) == position
    assert position.next == Position("shop.shop-activity", 3, 1842)
    assert position < position.next


@pytest.mark.parametrize(
    "text",
    [
        "",
        "orders",
        "orders-3",
        "orders@5",
        "-3@5",
        "orders-x@5",
        "orders-3@",
        "orders-3@-1",
        "orders-3@1.0",
    ],
)
def test_what_names_no_record_is_refused(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(ValueError, match="orders-3@1841"):
        Position.parse(text)


def test_vectors_cover_each_other() -> None:
    """A vector covers another if it is as far in every partition of it."""
    old, new = Vector({"orders-0": 5}), Vector({"orders-0": 7, "orders-1": 0})
    assert new.covers(old)
    assert old.covers(old)
    assert not old.covers(new)
    assert not Vector({"orders-0": 9}).covers(new)
