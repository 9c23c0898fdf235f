"""The journal records of a chunk of orders: entries and service rows by product, sums by shop."""

from collections.abc import Iterable
from operator import itemgetter

from schemas import journal, times
from schemas.journal import Contact, Entry, Served, Service
from tables import aftersales, counting, entries
from tables.cycles import Calendar
from tables.entries import Cause
from tables.order_fold import Derivable, Derived
from tables.shop_activity import ShopActivities


class OrderJournal:
    """Collects the records of a chunk of the partition `place`, such as `orders-3`."""

    def __init__(self, calendar: Calendar, place: str) -> None:
        self._calendar = calendar
        self._place = place
        self._by_product: list[tuple[int, bytes, bytes]] = []
        self._shops = ShopActivities()
        self.restatements = 0
        """How many entries restate (S13)."""

    def add(self, change: Derivable | Derived) -> None:
        """Add the records of one event's change of an order."""
        offset, event, now_ms = change.arrival
        cause = Cause(event, f"{self._place}@{offset}", self._calendar.start_of(now_ms))
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

    def by_product(self) -> list[tuple[bytes, bytes]]:
        """(key, value) of the records of `sales`, by their events' offsets."""
        return [record[1:] for record in sorted(self._by_product, key=itemgetter(0))]

    def by_shop(self) -> list[tuple[bytes, bytes]]:
        """(key, value) of the records of `shop-activity`."""
        return self._shops.records()

    def _sell(self, sold: Iterable[Entry], offset: int) -> None:
        """S12: the entries of one event."""
        for entry in sold:
            self._by_product.append((offset, entry.product_id.encode(), journal.encode(entry)))
            self._shops.sell(entry)
            self.restatements += entry.restates

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
                    journal.RULES,
                    cycle=cycle,
                    columns=columns,
                    restates=restates,
                )
                self._by_product.append((offset, product_id.encode(), journal.encode(row)))
        for shop_id, buyer_id, at_ms in contacts:
            self._shops.contact(shop_id, Contact(buyer_id, event.order_id, at_ms))
