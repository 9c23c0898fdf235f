"""Keeps the sums of the marketplace by cycle, from the changes of the rows of products and shops.

They are in the same batch as these rows, so at any moment they are the sums of all of them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from serving import series_keys
from tables import marketplace
from tables.catalogue import PRODUCT_CYCLES, SHOP_CYCLES
from tables.marketplace import MarketplaceCycle

if TYPE_CHECKING:
    from rocksdict import WriteBatch

    from serving.store import Store
    from tables.catalogue import Table
    from tables.sales import Tally

SUMMED_TABLES: Final = (PRODUCT_CYCLES, SHOP_CYCLES)
"""The tables whose rows are summed."""


class MarketplaceRows:
    """Collects changes of rows, and puts the sums into a batch."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes: defaultdict[int, MarketplaceCycle] = defaultdict(MarketplaceCycle)

    def add(self, table: Table, start_ms: int, before: Tally | None, after: Tally | None) -> None:
        """Add the change of a row of one of SUMMED_TABLES."""
        changes = self._changes[start_ms]
        for tally, sign in ((before, -1), (after, 1)):
            if tally is None:
                continue
            count = sign if tally.net > 0 else 0
            if table is PRODUCT_CYCLES:
                marketplace.change(changes.sums, tally, sign)
                changes.products += count
            else:
                changes.shops += count

    def put(self, batch: WriteBatch) -> None:
        """Put the sums of the cycles that have changed since the last call."""
        if not self._changes:
            return
        rows = [series_keys.marketplace_cycle(start_ms) for start_ms in self._changes]
        for key, before, changes in zip(
            rows, self._store.get_many(rows), self._changes.values(), strict=True
        ):
            if before is not None:
                changes.include(marketplace.decode(before))
            if changes.is_empty:
                batch.delete(key)
            else:
                batch.put(key, marketplace.encode(changes))
        self._changes.clear()
