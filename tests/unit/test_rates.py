"""How fast offsets advance."""

from __future__ import annotations

from serving.rates import OVER_MS, STALE_AFTER_MS, Rates

A, B = ("orders", 0), ("orders", 1)


def test_a_rate_is_over_the_last_readings() -> None:
    """It needs a second; what happened before the span of a rate does not count."""
    rates = Rates()
    assert rates.per_second(0) == {}
    rates.add(0, {A: 1000})
    rates.add(500, {A: 1500})
    assert rates.per_second(500) == {}
    rates.add(2000, {A: 2000})
    assert rates.per_second(2000) == {A: 500.0}
    for second in range(3, 40):
        rates.add(second * 1000, {A: 2000})
    assert rates.per_second(39_000) == {A: 0.0}
    rates.add(40_000, {A: 2000 + OVER_MS // 100})
    assert rates.per_second(40_000) == {A: 10.0}


def test_what_is_not_known_twice_has_no_rate() -> None:
    """A partition that is new, or whose log was cut, is left out; so are all after a silence."""
    rates = Rates()
    rates.add(1000, {A: 100})
    rates.add(3000, {A: 90, B: 5})
    assert rates.per_second(3000) == {}
    rates.add(5000, {A: 100, B: 5})
    assert rates.per_second(5000) == {A: 0.0}
    assert rates.per_second(5000 + STALE_AFTER_MS + 1) == {}


def test_a_clock_that_was_set_back_begins_anew() -> None:
    """There is no rate over a negative time."""
    rates = Rates()
    rates.add(9000, {A: 1})
    rates.add(1000, {A: 5})
    rates.add(3000, {A: 9})
    assert rates.per_second(3000) == {A: 2.0}
