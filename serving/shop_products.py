"""What each shop sold of each product in a cycle, kept from the journal's entries.

No table has these sums. They are ranked when they are read: a ranking in the store would cost each
entry more than its sums do.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import nsmallest
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from schemas import http_limits
from schemas.shown_answers import NetSums
from serving import keys
from serving.pages import Page, cursor_of
from serving.problems import Kind, ProblemRaised

if TYPE_CHECKING:
    from collections.abc import Callable

    from rocksdict import WriteBatch

    from serving.store import Snapshot, Store
    from tables.brief_entries import BriefEntry

InCurrency = tuple[int, int]
"""Net units, and net money in minor units, in one currency."""

_encode: Final[Callable[[dict[str, InCurrency]], bytes]] = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, InCurrency]).decode


class ShopProducts:
    """Adds up the shops' entries of one step, and puts the changed sums into a batch."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes: defaultdict[bytes, dict[tuple[str, str], list[int]]] = defaultdict(dict)

    def add(self, shop_id: str, start_ms: int, entries: list[BriefEntry]) -> None:
        """Add some entries of a shop in a cycle."""
        changes = self._changes[keys.shop_products(shop_id.encode(), start_ms)]
        for entry in entries:
            key = entry.other_id, entry.currency
            change = changes.get(key)
            if change is None:
                change = changes[key] = [0, 0]
            change[0] += entry.units_gross - entry.units_reversed
            change[1] += entry.amount_gross - entry.amount_reversed

    def put(self, batch: WriteBatch) -> None:
        """Put the sums that the added entries changed, and forget the entries.

        All entries of a product are in one partition of the journal, so call it once for each.
        """
        rows: defaultdict[bytes, list[tuple[str, list[int]]]] = defaultdict(list)
        for prefix, changes in self._changes.items():
            for (product_id, currency), change in changes.items():
                rows[prefix + product_id.encode()].append((currency, change))
        self._changes.clear()
        for (row, changed), before in zip(rows.items(), self._store.get_many([*rows]), strict=True):
            sums = {} if before is None else _decode(before)
            for currency, (units, amount) in changed:
                old = sums.get(currency, (0, 0))
                sums[currency] = (old[0] + units, old[1] + amount)
            kept = {currency: some for currency, some in sums.items() if any(some)}
            if kept:
                batch.put(row, _encode(kept))
            elif before is not None:
                batch.delete(row)


class Ranked(NamedTuple):
    """A list of a shop's products: what they are compared by, in which currency if by revenue."""

    shop_id: bytes
    start_ms: int
    by: str
    currency: str | None


def ranked_products(snapshot: Snapshot, ranked: Ranked, after: bytes | None, limit: int) -> Page:
    """A page of a shop's products (key of `keys.shop_ranking`, encoded sums), the best first.

    Products with nothing to compare are left out. Raises ProblemRaised for a shop with too many.
    """
    ranking = keys.shop_ranking(ranked.shop_id, ranked.by)
    prefix = keys.shop_products(ranked.shop_id, ranked.start_ms)
    currency = (ranked.currency or "").encode()
    rows = []
    for number, (key, value) in enumerate(snapshot.walk(prefix), 1):
        if number > http_limits.COMPARED_PRODUCTS:
            raise ProblemRaised(
                Kind.TOO_MUCH,
                f"the shop sold more than {http_limits.COMPARED_PRODUCTS:,} products in this cycle,"
                " the most that are ranked for one answer: read /v1/top/products",
            )
        rank = _rank(_decode(value), ranked)
        if rank > 0:
            place = ranking.key(ranked.start_ms, (rank,), key[len(prefix) :], currency)
            if after is None or place > after:
                rows.append((place, value))
    found = nsmallest(limit + 1, rows)
    page = found[:limit]
    return Page(page, cursor_of(snapshot, page[-1][0]) if len(found) > limit else None)


def _rank(sums: dict[str, InCurrency], ranked: Ranked) -> int:
    if ranked.currency is not None:
        return sums.get(ranked.currency, (0, 0))[1]
    return sum(units for units, _ in sums.values())


def net_sums(value: bytes) -> NetSums:
    """Encoded sums as they are answered."""
    sums = _decode(value)
    return NetSums(
        units=sum(units for units, _ in sums.values()),
        revenue={currency: sums[currency][1] for currency in sorted(sums) if sums[currency][1]},
    )
