"""The journal records of a chunk of orders, for each journal that the catalogue names.

`shop-activity` gets sums by shop; every other one gets each entry, by the id that is its key.
Service rows of products go where that id is `product_id`.
"""

from collections.abc import Iterable
from operator import attrgetter, itemgetter
from typing import Final

from schemas import journal, times
from schemas.columns import RULES, is_higher
from schemas.journal import Contact, Entry, Served, Service
from tables import aftersales, catalogue, counting, entries
from tables.catalogue import ORDER_STAGE, SHOP_ACTIVITY_TOPIC
from tables.entries import Cause
from tables.order_fold import Derivable, Derived
from tables.shop_activity import ShopActivities
from tables.terms import Terms

_ID_NAME: Final = {
    topic: catalogue.key_of(topic) for topic in ORDER_STAGE.sends if topic != SHOP_ACTIVITY_TOPIC
}
"""The journals that get each entry, with their keys."""

if not {*_ID_NAME.values()} <= {*Entry.__struct_fields__}:
    raise TypeError(f"an entry doesn't have the ids of all its journals: {_ID_NAME}")


class OrderJournal:
    """Collects the records of a chunk of the partition `place`, such as `orders-3`."""

    def __init__(self, terms: Terms, place: str) -> None:
        self._calendar, self._terms = terms.calendar, terms.name
        self._place = place
        self._records: dict[str, list[tuple[int, bytes, bytes]]] = {topic: [] for topic in _ID_NAME}
        """By journal: offset of the event, key, value."""

        self._of_entries = [
            (attrgetter(id_name), self._records[topic]) for topic, id_name in _ID_NAME.items()
        ]
        self._of_products = [
            self._records[topic] for topic, id_name in _ID_NAME.items() if id_name == "product_id"
        ]
        self._shops = ShopActivities(terms.name)
        self.rows = 0
        """How many entries and service rows of products."""

        self.restated_up = self.restated_down = 0
        """How many entries restate (S13), with a higher and with a lower net result."""

    def add(self, change: Derivable | Derived) -> None:
        """Add the records of one event's change of an order."""
        offset, event, now_ms = change.arrival
        start_ms = self._calendar.start_of(now_ms)
        cause = Cause(event, f"{self._place}@{offset}", start_ms, self._terms)
        if isinstance(change, Derived):
            if change.rows:
                self._sell(entries.listed(change.rows, cause, self._calendar), offset)
            self._serve(change.service, change.contacts, cause, offset)
            return
        before, after, calendar = change.before, change.after, self._calendar
        now = counting.derive(after)
        was = counting.derive(before) if change.sells else now
        if change.sells:
            self._sell(entries.difference(was, now, cause, calendar), offset)
        if change.serves:
            contacts = aftersales.contact_changes(
                aftersales.contact(before), aftersales.contact(after)
            )
            service = aftersales.changes((before, was), (after, now), calendar)
            self._serve(service, contacts, cause, offset)

    def sends(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """(key, value) by journal; entries and service rows by their events' offsets."""
        return {
            topic: self._shops.records()
            if topic == SHOP_ACTIVITY_TOPIC
            else [record[1:] for record in sorted(self._records[topic], key=itemgetter(0))]
            for topic in ORDER_STAGE.sends
        }

    def _sell(self, sold: Iterable[Entry], offset: int) -> None:
        """S12: the entries of one event."""
        for entry in sold:
            value = journal.encode(entry)
            for id_of, records in self._of_entries:
                records.append((offset, id_of(entry).encode(), value))
            self.rows += 1
            self._shops.sell(entry)
            if entry.restates:
                up = is_higher(entry)
                self.restated_up += up
                self.restated_down += not up

    def _serve(
        self,
        changes: Iterable[aftersales.ServiceDifference],
        contacts: Iterable[aftersales.ContactChange],
        cause: Cause,
        offset: int,
    ) -> None:
        """The changes of a shop's and its products' service (R3, R5), and of contacts (R4)."""
        event = cause.event
        for number, (shop_id, product_id, start_ms, columns) in enumerate(changes):
            cycle, restates = self._calendar.iso(start_ms), start_ms < cause.current_cycle_ms
            origin = (
                f"{cause.position}#s{number}",
                event.type,
                event.id,
                event.source,
                times.format_ms(event.occurred_at_ms),
            )
            if product_id is None:
                served = Served(*origin, cycle=cycle, columns=columns, restates=restates)
                self._shops.serve(shop_id, served)
            else:
                row = Service(
                    *origin,
                    shop_id,
                    product_id,
                    RULES,
                    self._terms,
                    cycle=cycle,
                    columns=columns,
                    restates=restates,
                )
                self.rows += 1
                for records in self._of_products:
                    records.append((offset, product_id.encode(), journal.encode(row)))
        for shop_id, buyer_id, at_ms in contacts:
            self._shops.contact(shop_id, Contact(buyer_id, event.order_id, at_ms))
