"""What is between one buyer and one shop.

How often the buyer bought (R6), and who wrote first when there was reason to (R4).

A row holds facts only; a shop's columns are derived from it, and what a record changes is the
difference of before and after.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

import msgspec

from schemas.envelope import BUYER, SHOP
from schemas.journal import Contact, Messages, Wrote
from tables import service
from tables.cycles import Calendar
from tables.service import Columns, ImpossibleServiceError, Rows

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""


class Buyer(msgspec.Struct, array_like=True):
    """The facts. `orders`: how many with a sale, by cycle's start.

    `written`: who wrote when, sorted.

    `contacts`: by order, since when the shop has reason to write, in epoch milliseconds.
    """

    version: int = VERSION
    orders: dict[str, int] = msgspec.field(default_factory=dict)
    written: list[Wrote] = msgspec.field(default_factory=list)
    contacts: dict[str, int] = msgspec.field(default_factory=dict)

    def buy(self, start_ms: int, change: int) -> tuple[Columns, Columns]:
        """Add to the orders with a sale in a cycle.

        What that changes of the shop's columns in the cycle, and of all time (R6).
        """
        cycle = str(start_ms)
        ever, before = sum(self.orders.values()), self.orders.get(cycle, 0)
        now = before + change
        if now < 0:
            raise ImpossibleServiceError(f"a buyer would have {now} orders after {change:+}")
        if now:
            self.orders[cycle] = now
        else:
            self.orders.pop(cycle, None)
        return _bought(before, now), _bought(ever, ever + change)

    def hear(self, said: Contact | Messages, calendar: Calendar) -> Rows:
        """Take in that somebody wrote, or has reason to.

        What that changes of the shop's columns.
        """
        if isinstance(said, Messages) and not self.contacts:  # the usual case
            self._write(said)
            return {}
        before = self._proactive(calendar)
        if isinstance(said, Messages):
            self._write(said)
        elif said.at_ms is None:
            self.contacts.pop(said.order_id, None)
        else:
            self.contacts[said.order_id] = said.at_ms
        return service.row_changes(before, self._proactive(calendar))

    def _write(self, messages: Messages) -> None:
        written = self.written
        written += messages.wrote
        written.sort()
        for one in messages.retracted:
            if one not in written:
                raise ImpossibleServiceError(f"{one} is taken back and was never written")
            written.remove(one)

    def _proactive(self, calendar: Calendar) -> Rows:
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


def _bought(before: int, now: int) -> Columns:
    """R6: what it changes of a shop's columns that a buyer had so many orders with a sale, and now has so many."""
    changes: Columns = {}
    if (now >= 1) != (before >= 1):
        changes[service.BUYERS] = 1 if now else -1
    if (now >= 2) != (before >= 2):  # noqa: PLR2004 - R6
        changes[service.REPEAT_BUYERS] = 1 if now > before else -1
    return changes


encode: Final[Callable[[Buyer], bytes]] = msgspec.json.Encoder(order="deterministic").encode
"""Buyer → bytes; equal facts give equal bytes."""
decode: Final[Callable[[bytes], Buyer]] = msgspec.json.Decoder(Buyer).decode
"""Bytes → Buyer; raises msgspec's errors."""
