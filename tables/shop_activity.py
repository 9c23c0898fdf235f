"""The changes of each shop by one chunk, in one record per shop.

The shop stage adds these sums up, which are fewer than single entries.

Where chunks are cut shows in these records, never in a table. A sum of zero is sent as well: a
change that is retracted within a chunk must leave the same rows as one retracted in the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from schemas import journal, limits
from schemas.columns import RULES, ZERO, SaleColumns, plus
from schemas.envelope import Written
from schemas.journal import (
    Bought,
    Contact,
    Entry,
    Late,
    Messages,
    Replied,
    Served,
    ShopActivity,
    Sold,
    Wrote,
)

_BOUGHT, _WROTE, _CONTACT, _SERVED, _LATE = 2, 2, 4, 8, 8
_COLUMNS: Final = 8
"""So many columns of replies are a unit at most."""


@dataclass(slots=True)
class _Sums:
    """The sum of some entries, and how many of them restate."""

    columns: SaleColumns = ZERO
    restates: int = 0


@dataclass(slots=True)
class _Shop:
    """The changes of one shop so far; `units` is their size."""

    sold: dict[tuple[str, str], _Sums] = field(default_factory=dict)
    """By cycle and currency."""

    bought: dict[tuple[str, str], int] = field(default_factory=dict)
    served: list[Served] = field(default_factory=list)
    replied: list[Replied] = field(default_factory=list)
    contacts: list[Contact] = field(default_factory=list)
    messages: list[Messages] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    units: int = 0


class ShopActivities:
    """The changes of one chunk, collected by shop."""

    def __init__(self, terms: str) -> None:
        """`terms` is the name of the terms."""
        self._terms = terms
        self._shops: dict[str, _Shop] = {}
        self._full: list[tuple[bytes, bytes]] = []

    def sell(self, entry: Entry) -> None:
        """Add an entry to the sums (S6), and to its buyer's orders (R6)."""
        shop = self._shop(entry.shop_id, 1 + _BOUGHT + _LATE * entry.restates)
        key = entry.cycle, entry.currency
        sums = shop.sold.get(key)
        if sums is None:
            sums = shop.sold[key] = _Sums()
        sums.columns = plus(sums.columns, entry)
        if entry.restates:
            sums.restates += 1
            shop.late.append(_late(entry))
        if entry.orders:
            buyer = entry.buyer_id, entry.cycle
            shop.bought[buyer] = shop.bought.get(buyer, 0) + entry.orders

    def serve(self, shop_id: str, row: Served) -> None:
        """A change of the shop's service (R1 to R3, R5)."""
        self._shop(shop_id, _SERVED).served.append(row)

    def reply(self, shop_id: str, row: Replied) -> None:
        """A change of the shop's replies (R1, R2)."""
        self._shop(shop_id, 1 + len(row.columns) // _COLUMNS).replied.append(row)

    def contact(self, shop_id: str, contact: Contact) -> None:
        """A reason to write to a buyer, or its withdrawal (R4)."""
        self._shop(shop_id, _CONTACT).contacts.append(contact)

    def write(
        self, shop_id: str, buyer_id: str, wrote: list[Written], retracted: list[Written]
    ) -> None:
        """Messages of a shop and a buyer (R4), and withdrawn ones, also earlier ones (S11)."""
        for some in _parts(wrote):
            self._message(shop_id, Messages(buyer_id, some, []))
        for some in _parts(retracted):
            self._message(shop_id, Messages(buyer_id, [], some))

    def _message(self, shop_id: str, messages: Messages) -> None:
        count = len(messages.wrote) + len(messages.retracted)
        self._shop(shop_id, _WROTE + _WROTE * count).messages.append(messages)

    def records(self) -> list[tuple[bytes, bytes]]:
        """(key, value) for the topic `shop-activity`; those of one shop in order."""
        return [
            *self._full,
            *[self._record(shop_id, shop) for shop_id, shop in self._shops.items()],
        ]

    def _shop(self, shop_id: str, units: int) -> _Shop:
        """A shop's record with room for this many more units."""
        shop = self._shops.get(shop_id)
        if shop is not None and shop.units + units > limits.ACTIVITY_UNITS:
            self._full.append(self._record(shop_id, self._shops.pop(shop_id)))
            shop = None
        if shop is None:
            shop = self._shops[shop_id] = _Shop()
        shop.units += units
        return shop

    def _record(self, shop_id: str, shop: _Shop) -> tuple[bytes, bytes]:
        sold = [
            Sold(cycle, currency, sums.restates, sums.columns)
            for (cycle, currency), sums in shop.sold.items()
        ]
        bought = [
            Bought(buyer_id, cycle, orders) for (buyer_id, cycle), orders in shop.bought.items()
        ]
        activity = ShopActivity(
            shop_id,
            RULES,
            self._terms,
            sold,
            bought,
            shop.served,
            shop.replied,
            shop.contacts,
            shop.messages,
            shop.late,
        )
        return shop_id.encode(), journal.encode(activity)


def _late(entry: Entry) -> Late:
    return Late(
        entry.cycle,
        entry.id,
        entry.event_type,
        entry.event_id,
        entry.event_source,
        entry.occurred_at,
        entry.order_id,
    )


def _parts(messages: list[Written]) -> Iterator[list[Wrote]]:
    """The messages as they are sent, in parts that fit a record."""
    for at in range(0, len(messages), limits.ACTIVITY_MESSAGES):
        some = messages[at : at + limits.ACTIVITY_MESSAGES]
        yield [(one.at_ms, one.side, one.order_id or "") for one in some]
