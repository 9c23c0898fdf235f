"""How long a transaction hangs, as a reader knows it, without a broker."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from serving.hanging_watch import HangingWatch
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTINGS = Settings(_env_file=None)


class Search:
    """Finds what it is given, or fails; remembers by way of whom."""

    def __init__(self) -> None:
        self.finds: int | Exception | None = None
        self.brokers: list[Sequence[int]] = []

    async def __call__(self, _: Settings, brokers: Sequence[int]) -> int | None:
        """Find."""
        self.brokers.append(brokers)
        if isinstance(self.finds, Exception):
            raise self.finds
        return self.finds


async def test_an_age_is_known_after_a_search_and_not_after_one_that_failed() -> None:
    """0 says that none hangs, NaN that nobody knows: an alert is for numbers alone."""
    search = Search()
    watch = HangingWatch(SETTINGS, search)
    assert math.isnan(watch.age_s(9_000))
    await watch.search([1, 2])
    assert watch.age_s(9_000) == 0.0
    search.finds = 4_000
    await watch.search([1])
    assert (watch.age_s(9_000), watch.age_s(10_000)) == (5.0, 6.0)
    search.finds = TimeoutError()
    await watch.search([1])
    assert math.isnan(watch.age_s(9_000))
    assert search.brokers == [[1, 2], [1], [1]]


async def test_without_a_broker_nothing_is_known() -> None:
    """And nobody is asked."""
    search = Search()
    watch = HangingWatch(SETTINGS, search)
    await watch.search([])
    assert math.isnan(watch.age_s(9_000))
    assert search.brokers == []
