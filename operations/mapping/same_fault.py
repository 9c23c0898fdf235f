"""A file of which all first rows are refused for one fault: the mapping is at fault, not a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from operations.mapping.plan import MappingUnfit

FIRST_ROWS: Final = 1000
FEWEST_ROWS: Final = 10
"""Of a file with fewer rows it isn't known."""

_VALUES: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\d+")

ReadRow = tuple[int, int, str | None]
"""A row's place, the bytes of its file that were read by then, and why nothing is made of it."""


def in_steps(rows: Iterable[ReadRow], at: Callable[[int], str]) -> Iterator[list[ReadRow]]:
    """The rows in steps; the first ones in one, once a row is unlike those before.

    Raises MappingUnfit where all of the first are refused alike. `at` names a place.
    """
    waiting: list[ReadRow] = []
    fault = ""
    rest = iter(rows)
    for row in rest:
        _, _, why = row
        waiting.append(row)
        if why is None or _VALUES.sub("", why) != (fault or _VALUES.sub("", why)):
            break
        fault = _VALUES.sub("", why)
        if len(waiting) == FIRST_ROWS:
            raise _unfit(waiting, at)
    else:
        if len(waiting) >= FEWEST_ROWS:
            raise _unfit(waiting, at)
    if waiting:
        yield waiting
    for row in rest:
        yield [row]


def _unfit(waiting: list[ReadRow], at: Callable[[int], str]) -> MappingUnfit:
    place, _, why = waiting[0]
    return MappingUnfit(
        f"{at(place)}: {why}; and so for all {len(waiting):,} first rows: correct the mapping"
    )
