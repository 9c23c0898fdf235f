"""The places of a table's rows in the lists of the best of a cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas import http_limits
from serving import keys
from tables import catalogue, sales, service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tables.sales import Tally
    from tables.service import ServiceTally

BILLION: Final = 1_000_000_000
"""Shares are ranked in billionths."""


class Ranked(NamedTuple):
    """How the rows of a table are ranked.

    `decode` gives a row's state; `places` of it, of its cycle's start and its id the keys of its
    places.
    """

    decode: Callable[[bytes], Any]
    places: Callable[[Any, int, bytes], set[bytes]]


def _by_sales(keyed_by: str) -> Ranked:
    """By net units, by net revenue in each currency, by units reversed and by their share.

    An id without a number to be compared by has no place in a list.
    """
    top, reversals = keys.TOP[keyed_by], keys.REVERSED[keyed_by]
    units, revenue, rate = top["units"], top["revenue"], top["reversal-rate"]

    def places(state: Tally, start_ms: int, id_: bytes) -> set[bytes]:
        found = set()
        gross = reversed_ = 0
        for currency, sums in state.currencies.items():
            gross += sums.units_gross
            reversed_ += sums.units_reversed
            amount = sums.amount_gross - sums.amount_reversed
            if amount:
                found.add(revenue.key(start_ms, (amount,), id_, currency.encode()))
        if gross != reversed_:
            found.add(units.key(start_ms, (gross - reversed_,), id_))
        if reversed_:
            found.add(reversals.key(start_ms, (reversed_,), id_))
            if gross >= http_limits.RATED_UNITS:
                found.add(rate.key(start_ms, (reversed_ * BILLION // gross, gross), id_))
        return found

    return Ranked(sales.decode, places)


def _by_service(keyed_by: str) -> Ranked:
    """By response rate, then by inquiries counted; and by good reviews, then by their share."""
    top = keys.TOP[keyed_by]
    response, reviewed = top.get("response-rate"), top["good-reviews"]

    def places(state: ServiceTally, start_ms: int, id_: bytes) -> set[bytes]:
        columns = state.columns
        counted, reviews, good = (
            columns.get(name, 0)
            for name in (service.INQUIRIES, service.REVIEWS, service.GOOD_REVIEWS)
        )
        found = set()
        if counted and response is not None:
            rate = columns.get(service.TIMELY, 0) * BILLION // counted
            found.add(response.key(start_ms, (rate, counted), id_))
        if good:
            share = good * BILLION // reviews
            found.add(reviewed.key(start_ms, (good, share), id_))
        return found

    return Ranked(service.decode, places)


RANKINGS: Final[Mapping[str, Ranked]] = {
    catalogue.PRODUCT_CYCLES.name: _by_sales(catalogue.PRODUCT_CYCLES.keyed_by),
    catalogue.PRODUCT_SERVICE_CYCLES.name: _by_service(catalogue.PRODUCT_SERVICE_CYCLES.keyed_by),
    catalogue.SHOP_CYCLES.name: _by_sales(catalogue.SHOP_CYCLES.keyed_by),
    catalogue.SHOP_SERVICE_CYCLES.name: _by_service(catalogue.SHOP_SERVICE_CYCLES.keyed_by),
}
"""By table."""
