"""The places of a table's rows in the lists of the best of a cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from serving import keys
from tables import catalogue, sales, service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Places = Callable[[bytes, int, bytes], set[bytes]]

BILLION: Final = 1_000_000_000
"""Shares are ranked in billionths."""


def _of_product(state: bytes, start_ms: int, id_: bytes) -> set[bytes]:
    """By net units; a product with none is not listed."""
    net = sales.decode(state).net
    return {keys.TOP_PRODUCTS.key(start_ms, (net,), id_)} if net else set()


def _of_shop_sales(state: bytes, start_ms: int, id_: bytes) -> set[bytes]:
    """By net units; a shop with none is not listed."""
    net = sales.decode(state).net
    return {keys.TOP_SHOPS["sales"].key(start_ms, (net, 0), id_)} if net else set()


def _of_shop_service(state: bytes, start_ms: int, id_: bytes) -> set[bytes]:
    """By response rate, then by inquiries counted; and by good reviews, then by their share."""
    columns = service.decode(state).columns
    counted, reviews, good = (
        columns.get(name, 0) for name in (service.INQUIRIES, service.REVIEWS, service.GOOD_REVIEWS)
    )
    places = set()
    if counted:
        rate = columns.get(service.TIMELY, 0) * BILLION // counted
        places.add(keys.TOP_SHOPS["response-rate"].key(start_ms, (rate, counted), id_))
    if good:
        share = good * BILLION // reviews
        places.add(keys.TOP_SHOPS["good-reviews"].key(start_ms, (good, share), id_))
    return places


RANKINGS: Final[Mapping[str, Places]] = {
    catalogue.PRODUCT_CYCLES.name: _of_product,
    catalogue.SHOP_CYCLES.name: _of_shop_sales,
    catalogue.SHOP_SERVICE_CYCLES.name: _of_shop_service,
}
"""By table: its state, the cycle's start and the id → the keys of its places."""
