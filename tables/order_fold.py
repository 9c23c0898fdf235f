"""The orders of a chunk with the chunk's events: their new states, and the changes of what counts.

Two ways lead to the same result. An order with few facts is derived as a whole before and after an
event (`counting`, `aftersales`); one with many has a ledger, where an event costs what it changes.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from schemas import limits
from schemas.columns import SaleColumns
from schemas.refusals import Refusal
from tables import aftersales, counting, orders
from tables.cycles import Calendar
from tables.entries import RowKey
from tables.intake import Arrival
from tables.order_ledger import OrderLedger
from tables.orders import Facts, Order

_COUNTED: Final = orders.SALE_EVENTS | aftersales.SERVICE_EVENTS
"""The types of events whose facts sales or service are derived from."""


class Derivable(msgspec.Struct, frozen=True, gc=False):
    """A change of an order by one event, with its states before and after."""

    arrival: Arrival
    before: Order
    after: Order
    sells: bool
    """Whether sales may differ."""

    serves: bool
    """Whether service may differ."""


class Derived(msgspec.Struct, frozen=True):
    """A change of an order by one event, as its ledger has it."""

    arrival: Arrival
    rows: dict[RowKey, SaleColumns]
    service: Sequence[aftersales.ServiceDifference]
    contacts: Sequence[aftersales.ContactChange]


class OrderFold:
    """What the events of a chunk make of their orders, order by order.

    Nothing is written or sent here: `changes` wait until all refusals are known.
    """

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.writes: dict[bytes, bytes | None] = {}
        """The changed orders' bytes."""

        self.changes: list[Derivable | Derived] = []
        """In the order of arrival of each order's events."""

        self.refused: list[tuple[int, Refusal]] = []
        """Events with which their order would outgrow a record, by offset."""

        self.refused_types: Counter[str] = Counter()
        """The types of these events."""

        self.duplicates: Counter[str] = Counter()
        """The types of events that changed nothing (S11)."""

    def fold(self, key: bytes, state: bytes | None, events: Sequence[Arrival]) -> None:
        """Add events to the order `key`; `state` are its bytes, None if it is new."""
        is_small = len(events) <= limits.FEW_EVENTS and (
            state is None or len(state) <= limits.SMALL_STATE_BYTES
        )
        if not (is_small and self._derive(key, state, events)):
            self._keep_ledger(key, state, events)

    def _derive(self, key: bytes, state: bytes | None, events: Sequence[Arrival]) -> bool:
        """The plain way; False, and nothing done, if the order outgrows a record on it."""
        first = orders.EMPTY if state is None else orders.decode(state)
        facts = Facts(first)
        duplicates: list[str] = []
        changes: list[Derivable | Derived] = []
        for arrival in events:
            event = arrival[1]
            if event.type not in _COUNTED and facts.add(event):
                continue  # the short cut for half of the events
            before = facts.order
            if not facts.add(event):
                after = orders.absorb(before, event)
                if after is before:  # S11
                    duplicates.append(event.type)
                    continue
                if len(orders.encode(before)) > limits.ORDER_BYTES:  # `after` may be smaller
                    return False
                facts = Facts(after)
            after = facts.order
            serves = aftersales.service_may_differ(after, event)
            sells = counting.sales_may_differ(after, event)
            if serves or sells:
                changes.append(Derivable(arrival, before, after, sells, serves))
        order = facts.order
        if order is not first:
            encoded = orders.encode(order)
            if len(encoded) > limits.ORDER_BYTES:
                return False
            self.writes[key] = encoded
        self.changes += changes
        self.duplicates.update(duplicates)
        return True

    def _keep_ledger(self, key: bytes, state: bytes | None, events: Sequence[Arrival]) -> None:
        """The incremental way; the ledger knows the order's size with each event."""
        ledger, is_new = OrderLedger(state, self._calendar), False
        for arrival in events:
            offset, event, _ = arrival
            added = ledger.add(event, limits.ORDER_BYTES)
            if isinstance(added, Refusal):
                self.refused.append((offset, added))
                self.refused_types[event.type] += 1
            elif added:
                is_new = True
                rows, service = ledger.sales(), ledger.service()
                contacts = ledger.contacts()
                if rows or service or contacts:
                    self.changes.append(Derived(arrival, rows, service, contacts))
            else:  # S11
                self.duplicates[event.type] += 1
        if is_new:
            self.writes[key] = ledger.encode()
