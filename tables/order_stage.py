"""The order stage: events of orders → the facts of each order, and what they change in the journal."""

from collections.abc import Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Final

from schemas import envelope, journal, limits, times
from schemas.envelope import Received
from schemas.journal import Contact, Entry, Served, Service
from schemas.refusals import Refusal
from tables import aftersales, catalogue, counting, entries, orders, watermarks
from tables.catalogue import ORDERS, SALES_TOPIC, SHOP_ACTIVITY_TOPIC, StageSpec
from tables.cycles import Calendar
from tables.entries import Cause
from tables.intake import Intake
from tables.order_ledger import OrderLedger
from tables.orders import Facts, Order
from tables.outcome import Outcome, Readings, States
from tables.shop_activity import ShopActivities
from tables.watermarks import Progress

_ORDER_ID: Final = attrgetter("order_id")
_TELLING: Final = (
    orders.SALE_EVENTS | aftersales.SERVICE_EVENTS
)  # with an event of another type an order only knows more (unless S11)

FEW_EVENTS: Final = 16
FEW_BYTES: Final = 16_384
"""Of an order with at most so many events in a chunk, and so many bytes before it, all is
derived with each event: that's quicker."""

Arrival = tuple[int, Received, int]
"""An event's offset, the event, and how far event time was, in epoch milliseconds."""


class OrderStage:
    """Events of orders → facts, and what they change in the journal.

    One for all partitions: it holds no state.
    """

    spec: Final[StageSpec] = catalogue.ORDER_STAGE

    def __init__(self, calendar: Calendar, refusals_in_a_row: int) -> None:
        self._calendar = calendar
        self._refusals_in_a_row = refusals_in_a_row

    @property
    def terms(self) -> str:
        """The settings by which the tables are made."""
        return self._calendar.terms

    read = staticmethod(envelope.read)

    def fold(
        self, place: str, readings: Readings, states: States, progress: Progress | None
    ) -> Outcome:
        """What a chunk of the partition `place`, as `orders-3`, changes.

        Only an order that would outgrow a record of its changelog is still refused here.
        """
        outcome = self._fold(place, readings, states, progress or watermarks.START, FEW_EVENTS)
        if outcome is None:
            outcome = self._fold(
                place, readings, states, progress or watermarks.START, few_events=0
            )
        assert outcome is not None  # noqa: S101 - ledgers know the size of their orders
        return outcome

    def _fold(
        self, place: str, readings: Readings, states: States, progress: Progress, few_events: int
    ) -> Outcome | None:
        """First the chunk in its order, for all that depends on it.

        Then order by order: an eighth less time than going to and fro.

        None if an order outgrew a record where its size isn't measured with each event.
        """
        taken = Intake(readings, progress, self._calendar, self._refusals_in_a_row, _ORDER_ID)
        stored, told, parked, duplicates = (
            states[ORDERS.name],
            _Told(self._calendar, place),
            taken.parked,
            0,
        )
        writes: dict[bytes, bytes | None] = {}
        keys = [order_id.encode() for order_id in taken.events_by_subject]
        for key, state, events in zip(
            keys, stored.get_many(keys), taken.events_by_subject.values(), strict=True
        ):
            if len(events) > few_events or (state is not None and len(state) > FEW_BYTES):
                duplicates += self._grow(key, state, events, told, writes, parked)
                continue
            first = orders.EMPTY if state is None else orders.decode(state)
            order, again = _derive(first, events, told)
            duplicates += again
            if order is None:
                return None
            if order is not first:
                encoded = writes[key] = orders.encode(order)
                if len(encoded) > limits.ORDER_BYTES:
                    return None
        parked.sort(key=itemgetter(0))
        by_product, by_shop = told.sends()
        counts = taken.counts(duplicates=duplicates, refused=len(parked)) | {
            "entries": len(by_product),
            "restatements": told.restatements,
        }
        sends = {SALES_TOPIC: by_product, SHOP_ACTIVITY_TOPIC: by_shop}
        return Outcome(
            {ORDERS.name: writes},
            sends,
            parked,
            taken.progress,
            counts,
            taken.records,
            taken.paused,
        )

    def _grow(  # noqa: PLR0913, PLR0917 - a part of `_fold`
        self,
        key: bytes,
        state: bytes | None,
        events: list[Arrival],
        told: "_Told",
        writes: dict[bytes, bytes | None],
        parked: list[tuple[int, Refusal]],
    ) -> int:
        """Fold the events of an order of which there is much; how many were duplicates."""
        ledger, duplicates, is_new = OrderLedger(state, self._calendar), 0, False
        for arrival in events:
            added = ledger.add(arrival[1], limits.ORDER_BYTES)
            if isinstance(added, Refusal):
                parked.append((arrival[0], added))
            elif added:
                is_new = True
                told.changes_of(ledger, arrival)
            else:  # S11
                duplicates += 1
        if is_new:
            writes[key] = ledger.encode()
        return duplicates


def _derive(order: Order, events: Sequence[Arrival], told: "_Told") -> tuple[Order | None, int]:
    """The order with its events, all derived with each of them; and how many were duplicates.

    None if it outgrew a record.
    """
    facts, duplicates = Facts(order), 0
    for arrival in events:
        event = arrival[1]
        if event.type not in _TELLING and facts.add(event):
            continue  # the short cut for half of the events
        before = facts.order
        if not facts.add(event):
            after = orders.absorb(before, event)
            if after is before:  # S11
                duplicates += 1
                continue
            if (
                len(orders.encode(before)) > limits.ORDER_BYTES
            ):  # with what holds now it may be smaller
                return None, duplicates
            facts = Facts(after)
        after = facts.order
        serves = aftersales.service_may_differ(after, event)
        sells = counting.sales_may_differ(after, event)
        if serves or sells:
            told.change(before, after, arrival, sells=sells, serves=serves)
    return facts.order, duplicates


class _Told:
    """What a chunk's changes have to tell.

    Entries and rows by product, and all that concerns each shop.
    """

    def __init__(self, calendar: Calendar, place: str) -> None:
        self._calendar = calendar
        self._place = place
        self._by_product: list[tuple[int, bytes, bytes]] = []
        self._shops = ShopActivities()
        self.restatements = 0

    def change(
        self, before: Order, after: Order, arrival: Arrival, *, sells: bool, serves: bool
    ) -> None:
        """An event led from one state of an order to another.

        `sells`, `serves`: whether sales or service may differ.
        """
        now, calendar, cause = counting.derive(after), self._calendar, self._cause(arrival)
        was = counting.derive(before) if sells else now
        if sells:
            self._sell(entries.difference(was, now, cause, calendar), arrival[0])
        if serves:
            contacts = aftersales.contact_changes(
                aftersales.contact(before), aftersales.contact(after)
            )
            self._serve(
                aftersales.changes((before, was), (after, now), calendar),
                contacts,
                cause,
                arrival[0],
            )

    def changes_of(self, ledger: OrderLedger, arrival: Arrival) -> None:
        """As `change`, of the event that was added last."""
        cause, rows = self._cause(arrival), ledger.sales()
        if rows:
            self._sell(entries.listed(rows, cause, self._calendar), arrival[0])
        self._serve(ledger.service(), ledger.contacts(), cause, arrival[0])

    def sends(self) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
        """(key, value) by product, in the order of the events that they come of, and by shop."""
        return [
            one[1:] for one in sorted(self._by_product, key=itemgetter(0))
        ], self._shops.records()

    def _cause(self, arrival: Arrival) -> Cause:
        offset, event, now_ms = arrival
        return Cause(event, f"{self._place}@{offset}", self._calendar.start_of(now_ms))

    def _sell(self, sold: list[Entry], offset: int) -> None:
        for entry in sold:
            self._by_product.append((offset, entry.product_id.encode(), journal.encode(entry)))
            self._shops.sell(entry)
            self.restatements += entry.restates

    def _serve(
        self,
        changes: Iterable[aftersales.ServiceChange],
        contacts: Iterable[aftersales.ContactChange],
        cause: Cause,
        offset: int,
    ) -> None:
        """What changed of the shop's service (R3, R5), and of its reason to write to the buyer (R4)."""
        event = cause.event
        for number, (shop_id, product_id, start_ms, columns) in enumerate(changes):
            cycle, restates = self._calendar.iso(start_ms), start_ms < cause.current_cycle_ms
            row_id, why = (
                f"{cause.position}#s{number}",
                (event.type, event.id, event.source, times.format_ms(event.occurred_at_ms)),
            )
            if product_id is None:
                self._shops.serve(
                    shop_id,
                    Served(row_id, *why, cycle=cycle, columns=columns, restates=restates),
                )
            else:
                row = Service(
                    row_id,
                    *why,
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
