"""One buyer of one shop: how often it bought (R6), and who wrote first when there was reason (R4).

A row holds facts only. The shop's columns are derived from it: a record changes them by the
difference between after and before.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import msgspec

from schemas.envelope import BUYER, SHOP
from schemas.journal import Contact, Messages, Wrote
from tables import service
from tables.cycles import Calendar
from tables.formats import reader
from tables.service import Columns, ImpossibleServiceError, Rows

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""


class BuyerChange(NamedTuple):
    """The change of a shop's buyer columns (R6)."""

    in_cycle: Columns
    of_all_time: Columns


class Buyer(msgspec.Struct, array_like=True):
    """The facts about one buyer of one shop.

    `orders` counts the orders with a sale, by cycle's start. `written` has the messages, sorted.
    `contacts` has, by order, when the shop first had reason to write, in epoch milliseconds.
    """

    version: Literal[1] = VERSION
    orders: dict[str, int] = msgspec.field(default_factory=dict)
    written: list[Wrote] = msgspec.field(default_factory=list)
    contacts: dict[str, int] = msgspec.field(default_factory=dict)

    def buy(self, start_ms: int, change: int) -> BuyerChange:
        """Add to the orders with a sale in a cycle.

        ImpossibleServiceError if there would be fewer than none.
        """
        cycle = str(start_ms)
        total, before = sum(self.orders.values()), self.orders.get(cycle, 0)
        now = before + change
        if now < 0:
            raise ImpossibleServiceError(f"a buyer would have {now} orders after {change:+}")
        if now:
            self.orders[cycle] = now
        else:
            self.orders.pop(cycle, None)
        return BuyerChange(_buyer_columns(before, now), _buyer_columns(total, total + change))

    def learn(self, fact: Contact | Messages, calendar: Calendar) -> Rows:
        """Add messages or a reason to write; the change of the shop's contact columns (R4)."""
        if isinstance(fact, Messages) and not self.contacts:  # the usual case
            self._add_messages(fact)
            return {}
        before = self._contact_columns(calendar)
        if isinstance(fact, Messages):
            self._add_messages(fact)
        elif fact.at_ms is None:
            self.contacts.pop(fact.order_id, None)
        else:
            self.contacts[fact.order_id] = fact.at_ms
        return service.row_changes(before, self._contact_columns(calendar))

    def _add_messages(self, messages: Messages) -> None:
        written = self.written
        written += messages.wrote
        written.sort()
        for one in messages.retracted:
            if one not in written:
                raise ImpossibleServiceError(f"{one} is withdrawn and was never written")
            written.remove(one)

    def _contact_columns(self, calendar: Calendar) -> Rows:
        """R4: each reason to write, in its cycle, and whether the shop wrote first."""
        rows: Rows = {}
        for order_id, since_ms in self.contacts.items():
            columns = rows.setdefault((None, calendar.start_of(since_ms)), {})
            columns[service.CONTACTS] = columns.get(service.CONTACTS, 0) + 1
            after = self.written[bisect_left(self.written, (since_ms, BUYER, "")) :]
            first = next((side for _, side, about in after if about in {"", order_id}), BUYER)
            if first == SHOP:
                columns[service.PROACTIVE_CONTACTS] = columns.get(service.PROACTIVE_CONTACTS, 0) + 1
        return rows


def _buyer_columns(before: int, now: int) -> Columns:
    """R6: the change of a shop's buyer counts when one buyer's orders go from `before` to `now`."""
    changes: Columns = {}
    if (now >= 1) != (before >= 1):
        changes[service.BUYERS] = 1 if now else -1
    if (now >= 2) != (before >= 2):  # noqa: PLR2004 - R6
        changes[service.REPEAT_BUYERS] = 1 if now > before else -1
    return changes


encode: Final[Callable[[Buyer], bytes]] = msgspec.json.Encoder(order="deterministic").encode
"""Buyer → bytes; equal facts give equal bytes."""
decode: Final[Callable[[bytes], Buyer]] = reader(
    "shop_buyers", VERSION, msgspec.json.Decoder(Buyer).decode
)
"""Bytes → Buyer; raises as `formats.reader`."""
