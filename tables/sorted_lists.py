"""Sorted lists to which values come, and from which they go: a search, and a move in memory."""

from bisect import bisect_left, insort
from typing import Any, TypeVar

Value = TypeVar("Value", bound=Any)


def put(values: list[Value], value: Value, *, gone: bool = False) -> None:
    """Put a value where it belongs, or take away one that is there."""
    if gone:
        del values[bisect_left(values, value)]
    else:
        insort(values, value)
