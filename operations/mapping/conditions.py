"""Conditions of a mapping: which rows an event, or a skip, is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from operations.mapping.values import number_in, text_of

if TYPE_CHECKING:
    from operations.mapping.plan import Condition, FilePlan, When
    from operations.mapping.values import Row

Test = Callable[["Row"], bool]
"""Whether a row is one; raises RowUnmapped where a number is compared and there is none."""


def test_of(when: When, plan: FilePlan) -> Test:
    """The function that decides about a row: every condition must be true."""
    tests = [_test_of(column, wanted, plan) for column, wanted in when.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda row: all(test(row) for test in tests)


def _test_of(column: str, wanted: str | Condition, plan: FilePlan) -> Test:
    if isinstance(wanted, str):
        return lambda row: (text_of(row.get(column)) or "") == wanted
    tests: list[Test] = []
    if wanted.one_of is not None:
        some = frozenset(wanted.one_of)
        tests.append(lambda row: (text_of(row.get(column)) or "") in some)
    if wanted.none_of is not None:
        others = frozenset(wanted.none_of)
        tests.append(lambda row: (text_of(row.get(column)) or "") not in others)
    if wanted.empty is not None:
        empty = wanted.empty
        tests.append(lambda row: (text_of(row.get(column)) is None) == empty)
    if wanted.above is not None or wanted.below is not None:
        tests.append(_between(column, wanted, plan))
    return lambda row: all(test(row) for test in tests)


def _between(column: str, wanted: Condition, plan: FilePlan) -> Test:
    above, below = wanted.above, wanted.below

    def test(row: Row) -> bool:
        found = number_in(column, row, plan)
        if found is None:
            return False
        return (above is None or found > above) and (below is None or found < below)

    return test
