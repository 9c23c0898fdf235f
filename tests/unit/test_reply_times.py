"""Reply times by bin: quantiles are accurate, and bins are the same on every machine."""

import math
import random

from ddsketch.mapping import LogarithmicMapping

from tables.reply_times import ACCURACY, quantile, reply_bin

YEAR_MS = 366 * 86_400_000


def test_quantiles_are_within_the_accuracy() -> None:
    """Each quantile is compared with the sorted times, at its rank."""
    chance = random.Random(7)
    for _ in range(200):
        times = sorted(int(chance.lognormvariate(10, 2)) for _ in range(chance.randint(1, 300)))
        counts: dict[int, int] = {}
        for one in times:
            counts[reply_bin(one)] = counts.get(reply_bin(one), 0) + 1
        for q in (0.0, 0.5, 0.9, 1.0):
            exact = times[math.floor(q * (len(times) - 1))]
            assert abs(quantile(counts.items(), q) - exact) <= max(ACCURACY * exact, 0.5) + 0.5


def test_no_whole_millisecond_lies_on_the_border_of_two_bins() -> None:
    """So the rounding of a logarithm never decides the bin.

    A replay on another machine subtracts from the bins that it added to.
    """
    gamma = (1 + ACCURACY) / (1 - ACCURACY)
    bin_of, at = reply_bin(2), 2
    while at < YEAR_MS:
        border = gamma**bin_of
        near = round(border)
        assert near < 2 or abs(near - border) / border > 1e-13
        at = math.floor(border) + 1
        bin_of = reply_bin(at)


def test_a_reply_without_delay_has_a_bin() -> None:
    """A reply in the same millisecond has the first bin."""
    assert reply_bin(0) == reply_bin(1)
    assert quantile([(reply_bin(0), 3)], 0.5) == 1


def test_bins_are_those_of_the_sketch() -> None:
    """They agree on both sides of every border, also beyond the last searched bin."""
    key, gamma = LogarithmicMapping(ACCURACY).key, (1 + ACCURACY) / (1 - ACCURACY)
    at = 1
    while at < 2 * YEAR_MS:
        assert [reply_bin(at), reply_bin(at + 1)] == [key(at), key(at + 1)]
        at = max(at + 1, math.floor(gamma ** (key(at) + 1)))
    assert reply_bin(300 * YEAR_MS) == key(300 * YEAR_MS)
