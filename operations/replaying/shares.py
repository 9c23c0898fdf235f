"""The marketplace's shares, from the replayed sales of products and from how far cycles ended.

A worker adds a row to a share as it ends the row's cycle, and each restating entry after that. Here
a share is the sum of the rows that have ended by its mark, so both ways must give the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tables import sales
from tables.cycle_ends import share_key, start_of_row
from tables.marketplace import change
from tables.sales import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tables.cycle_ends import CycleEnds


def shares_of(
    product_cycles: Iterable[tuple[bytes, bytes]], ends: CycleEnds
) -> dict[bytes, bytes | None]:
    """The rows of `marketplace_shares`, by the rows of `product_cycles` at the same mark."""
    shares: defaultdict[bytes, Tally] = defaultdict(Tally)
    for key, state in product_cycles:
        start_ms = start_of_row(key)
        if ends.has_ended(key, start_ms):
            change(shares[share_key(start_ms)], sales.decode(state), 1)
    return {key: sales.encode(tally) for key, tally in shares.items()}
