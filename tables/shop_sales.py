"""What a chunk changed of each shop's sales, summed: the shop stage has no use for single entries, and there are many.

How chunks are cut shows in these records, never in a table: those are sums. A sum of zero is told as well, for the same reason:
what came and went within a chunk must leave the rows that it leaves when it comes in two.
"""

from collections.abc import Iterable
from typing import Final

from schemas import journal
from schemas.journal import Bought, Entry, ShopSales, Sold

MOST_SUMS: Final = 1000
"""Most cycles, and most buyers, of one record; with ids of at most 128 characters it stays below 900,000 bytes."""

_Sums = dict[tuple[str, str], list[int]]
_Buyers = dict[tuple[str, str], int]


class ShopSums:
    """The entries of one chunk, added up by shop."""

    def __init__(self) -> None:
        self._shops: dict[str, tuple[_Sums, _Buyers]] = {}
        self._full: list[tuple[bytes, bytes]] = []

    def add(self, entry: Entry) -> None:
        """Add one entry."""
        shop = self._shops.get(entry.shop_id)
        if shop is None:
            shop = self._shops[entry.shop_id] = {}, {}
        sums, buyers = shop
        key = entry.cycle, entry.currency
        columns = sums.get(key)
        if columns is None:
            columns = sums[key] = [0, 0, 0, 0, 0, 0, 0]
        columns[0] += entry.units_gross
        columns[1] += entry.units_reversed
        columns[2] += entry.units_booked
        columns[3] += entry.amount_gross
        columns[4] += entry.amount_reversed
        columns[5] += entry.amount_booked
        columns[6] += entry.restates
        if entry.orders:
            buyer = entry.buyer_id, entry.cycle
            buyers[buyer] = buyers.get(buyer, 0) + entry.orders
        if len(sums) >= MOST_SUMS or len(buyers) >= MOST_SUMS:
            self._full.append(_record(entry.shop_id, *self._shops.pop(entry.shop_id)))

    def records(self) -> Iterable[tuple[bytes, bytes]]:
        """(key, value) for the shops' journal; those of one shop in order."""
        return [*self._full, *[_record(shop_id, *sums) for shop_id, sums in self._shops.items()]]


def _record(shop_id: str, sums: _Sums, buyers: _Buyers) -> tuple[bytes, bytes]:
    sold = [Sold(cycle, currency, *columns) for (cycle, currency), columns in sums.items()]
    bought = [Bought(buyer_id, cycle, orders) for (buyer_id, cycle), orders in buyers.items()]
    return shop_id.encode(), journal.encode(ShopSales(shop_id, sold, bought))
