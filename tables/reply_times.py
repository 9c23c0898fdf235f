"""Reply times as counts by bin: a quantile sketch that supports adding and subtracting.

The bins are those of DDSketch, which also computes the quantiles. A bin's number is a rounded
logarithm. No whole millisecond up to a year is so close to the border of two bins that another
machine's logarithm could put it into the other one; a test checks every border.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from ddsketch import DDSketch
from ddsketch.mapping import LogarithmicMapping

from schemas import times

ACCURACY: Final = 0.01
"""The largest relative error of a quantile. Fixed, since tables store counts by these bins."""

_mapping: Final = LogarithmicMapping(ACCURACY)
_LAST_MS: Final = [
    int(_mapping.gamma**number) for number in range(_mapping.key(366 * times.DAY_MS))
]
"""The last whole millisecond of each bin, for about a year: a search costs less than a
logarithm."""

BINS: Final = len(_LAST_MS)
"""The number of bins that are found by search; later ones by logarithm."""


def reply_bin(reply_ms: int) -> int:
    """The bin of a reply time in milliseconds; 0 and 1 share the first one."""
    number = bisect_left(_LAST_MS, reply_ms)
    return number if number < len(_LAST_MS) else int(_mapping.key(reply_ms))


def quantile(bins: Iterable[tuple[int, int]], q: float) -> int:
    """The q-quantile (0 to 1) of reply times in milliseconds.

    `bins` are (bin, count); at least one count is positive.
    """
    sketch = DDSketch(ACCURACY)
    for number, count in bins:
        sketch.add(_mapping.value(number), count)
    return round(sketch.get_quantile_value(q) or 0)
