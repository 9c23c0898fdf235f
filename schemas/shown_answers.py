"""What a reader answers about products and shops: sums, service, and what it adds to them.

A reader adds names, how often a cycle was restated, and the same point of the cycle before.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.answers import (
    CycleSpan,
    Freshness,
    ProductAnswer,
    ProductService,
    ServiceRulesAnswer,
    ShopAnswer,
    ShopService,
)

FoundKind = Literal["product", "shop", "order"]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetSums(_Form):
    """Net units, and net money by currency in minor units."""

    units: int
    revenue: dict[str, int]


class SamePoint(_Form):
    """A cycle and the one before it, both until the same full hour after their start.

    Net is what was sold until then, less what refunds until then took off it. `until` is that hour
    of this cycle.
    """

    until: str
    this_cycle: NetSums
    last_cycle: NetSums


class Shown(_Form):
    """What a reader adds to the sums of a product or a shop in a cycle.

    `name` and `picture` are those of the topic `names`, null where it has none. `restatements`
    counts the entries that changed the cycle after it had ended (C3). `same_point` compares it with
    the cycle before; null while the progress of the journal is unknown.
    """

    name: str | None
    picture: str | None
    restatements: int
    same_point: SamePoint | None


class ListedProduct(ProductAnswer, Shown):
    """A product in a cycle, as lists have it."""


class ServedProduct(ListedProduct):
    """A product in a cycle, with its sales and its service."""

    service: ProductService


class FreshProduct(ServedProduct):
    """A product in a cycle, as the reader answers it."""

    freshness: Freshness


class ServedShop(ShopAnswer, Shown):
    """A shop in a cycle, with its sales and its service."""

    service: ShopService


class FreshShop(ServedShop):
    """A shop in a cycle, as the reader answers it."""

    service_all_time: ShopService
    service_rules: ServiceRulesAnswer
    freshness: Freshness


ProductsBy = Literal["units", "revenue", "growth", "reversal-rate", "good-reviews"]
"""What products are compared by."""

ShopsBy = Literal["units", "revenue", "growth", "reversal-rate", "good-reviews", "response-rate"]
"""What shops are compared by."""

ShopProductsBy = Literal["units", "revenue"]
"""What the products of a shop are compared by."""


class _Top(_Form):
    """A page of the best of a cycle. Those with nothing to compare are not listed.

    `currency` is that of the revenue, null where something else is compared. `complete` is false
    where others may belong on the page, as a list by growth compares a bounded number, and only
    what the tables already list.
    """

    cycle: CycleSpan
    currency: str | None
    complete: bool
    next_cursor: str | None
    freshness: Freshness


class _Best(_Top):
    """A page of the best products or shops.

    `compared_until` is the full hour until which a list by growth compares the cycle with the one
    before, or the cycle's end; null of other lists, and while there is no such hour.
    """

    compared_until: str | None


class TopShops(_Best):
    """A page of the best shops in a cycle; shops with nothing to compare are not listed."""

    by: ShopsBy
    items: list[ServedShop]
    service_rules: ServiceRulesAnswer


class TopProducts(_Best):
    """A page of the best products in a cycle; products with nothing to compare are not listed."""

    by: ProductsBy
    items: list[ServedProduct]


class ShopProduct(ListedProduct):
    """A product in a cycle; `in_shop` is what one shop sold of it, the rest is of all shops."""

    in_shop: NetSums


class TopShopProducts(_Top):
    """A page of the best products of a shop in a cycle, by what this shop sold of them."""

    shop_id: str
    by: ShopProductsBy
    items: list[ShopProduct]


class Found(_Form):
    """Something that a search found; `units` are net units of the current cycle, null of orders."""

    kind: FoundKind
    id: str
    name: str | None
    picture: str | None
    units: int | None


class SearchAnswer(_Form):
    """What a search found: the exact id first, then names, then other ids that begin with it.

    Names are by net units of the current cycle, most first; ids are in order. `complete` is false
    where more names or ids fit.
    """

    items: list[Found]
    complete: bool
    freshness: Freshness
