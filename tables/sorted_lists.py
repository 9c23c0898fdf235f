"""Adding to and removing from sorted lists: a binary search, and a move in memory."""

from bisect import bisect_left, insort
from typing import Any, TypeVar

Value = TypeVar("Value", bound=Any)


def put(values: list[Value], value: Value, *, removed: bool = False) -> None:
    """Add a value at its place, or remove one that is there."""
    if removed:
        del values[bisect_left(values, value)]
    else:
        insort(values, value)
