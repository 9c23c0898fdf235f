"""Reply times as counts by bin.

A sketch that merges by adding, and unlike others can be taken back as well.

The bins are DDSketch's, so quantiles are read by it. They are whole numbers that come from a
logarithm; no whole millisecond up to a year lies so near to the border of two that another
machine's logarithm could see it on the other side (a test looks at each).
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from ddsketch import DDSketch
from ddsketch.mapping import LogarithmicMapping

from schemas import times

ACCURACY: Final = 0.01
"""Most by which a quantile is off, relatively. Fixed: tables hold counts by these bins."""

_mapping: Final = LogarithmicMapping(ACCURACY)
_LAST_MS: Final = [
    int(_mapping.gamma**number) for number in range(_mapping.key(366 * times.DAY_MS))
]
"""By bin, the last whole millisecond in it, for about a year: looking a time up is cheaper than
its logarithm."""

BINS: Final = len(_LAST_MS)
"""How many bins are looked up."""


def reply_bin(reply_ms: int) -> int:
    """The bin of a reply time in milliseconds; what is under a millisecond shares the first one."""
    number = bisect_left(_LAST_MS, reply_ms)
    return number if number < len(_LAST_MS) else int(_mapping.key(reply_ms))


def quantile(bins: Iterable[tuple[int, int]], q: float) -> int:
    """The q-quantile (0 to 1) in milliseconds of reply times by (bin, count), of which there is at least one."""
    sketch = DDSketch(ACCURACY)
    for number, count in bins:
        sketch.add(_mapping.value(number), count)
    return round(sketch.get_quantile_value(q) or 0)
