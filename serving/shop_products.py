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
from serving.turns import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rocksdict import WriteBatch

    from serving.folded_journal import SoldOf
    from serving.store import Snapshot, Store
    from serving.turns import Parts
    from tables.cycles import Calendar

InCurrency = tuple[int, int]
"""Net units, and net money in minor units, in one currency."""

_encode: Final[Callable[[dict[str, InCurrency]], bytes]] = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, InCurrency]).decode


class SoldRows:
    """Collects what a step of the journal sold, of all partitions, and puts it into a batch."""

    def __init__(self, store: Store, calendar: Calendar) -> None:
        self._store = store
        self._calendar = calendar
        self._new: defaultdict[bytes, list[SoldOf]] = defaultdict(list)

    def add(self, some: Iterable[SoldOf]) -> None:
        """Add what entries of the journal changed."""
        for sold in some:
            start_ms = self._calendar.start_of_iso(sold.cycle)
            prefix = keys.shop_products(sold.shop_id.encode(), start_ms)
            self._new[prefix + sold.product_id.encode()].append(sold)

    def put(self, batch: WriteBatch) -> Parts[None]:
        """Put the sums that have changed since the last call."""
        for some in parts_of(self._new.items()):
            before = self._store.get_many([row for row, _ in some])
            for (row, sold), value in zip(some, before, strict=True):
                _put_sums(batch, row, value, sold)
            yield
        self._new.clear()


def _put_sums(batch: WriteBatch, row: bytes, before: bytes | None, new: list[SoldOf]) -> None:
    sums = {} if before is None else _decode(before)
    for sold in new:
        units, amount = sums.get(sold.currency, (0, 0))
        sums[sold.currency] = (units + sold.units, amount + sold.amount)
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
