"""Whether tables and recount agree: all is equal but quantiles of reply times, which tables know as nearly as their sketch does."""

import copy
from typing import Any

import pytest

from tables.reply_times import ACCURACY

Lists = dict[str, list[dict[str, Any]]]


def parted(lists: Lists) -> tuple[Lists, list[int]]:
    """The lists with zeros for quantiles, and the quantiles in their order; what is handed in stays as it is."""
    lists, taken = copy.deepcopy(lists), []
    for row in (*lists["shop_service"], *lists["shop_service_totals"]):
        reply_ms = row["inquiries"]["reply_ms"] or {}
        for name in reply_ms:
            taken.append(reply_ms[name])
            reply_ms[name] = 0
    return lists, taken


def near(found: list[int], exact: list[int]) -> bool:
    """Whether quantiles are within the sketch's accuracy, and the rounding to a whole millisecond."""
    return found == [pytest.approx(one, rel=ACCURACY, abs=1) for one in exact]


def agrees(tables: Lists, counted: Lists) -> bool:
    """Whether both say the same."""
    (ours, found), (theirs, exact) = parted(tables), parted(counted)
    return ours == theirs and near(found, exact)


def assert_agrees(tables: Lists, counted: Lists) -> None:
    """The same, telling where they differ."""
    (ours, found), (theirs, exact) = parted(tables), parted(counted)
    assert ours == theirs
    assert near(found, exact), (found, exact)
