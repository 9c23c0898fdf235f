"""The order stage: events of orders → the facts of each order, and what they change in the journal."""

from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Final

from schemas import envelope, journal, limits, times
from schemas.envelope import Received
from schemas.journal import Contact, Served, Service
from schemas.refusals import Reason, Refusal
from tables import aftersales, catalogue, counting, entries, orders, watermarks
from tables.catalogue import ORDERS, SALES_TOPIC, SHOP_ACTIVITY_TOPIC, Stage
from tables.counting import Counted
from tables.cycles import Calendar
from tables.entries import Cause
from tables.orders import Facts, Order
from tables.outcome import Outcome, Readings, States
from tables.shop_activity import ShopActivities
from tables.taken import Taken
from tables.watermarks import Progress

_ORDER_ID: Final = attrgetter("order_id")
_TELLING: Final = counting.EVENTS | aftersales.EVENTS  # with an event of another type an order only knows more (unless S11)

_Absorb = Callable[[Order, Received], Order | Refusal]


class OrderStage:
    """Events of orders → facts, and what they change in the journal. One for all partitions: it holds no state."""

    stage: Final[Stage] = catalogue.ORDER_STAGE

    def __init__(self, calendar: Calendar, refusals_in_a_row: int) -> None:
        self._calendar = calendar
        self._refusals_in_a_row = refusals_in_a_row

    @property
    def terms(self) -> str:
        """The settings by which the tables are made."""
        return self._calendar.terms

    read = staticmethod(envelope.read)

    def fold(self, place: str, readings: Readings, states: States, progress: Progress | None) -> Outcome:
        """What a chunk of the partition `place`, as `orders-3`, changes.

        Only an order that would outgrow a record of its changelog is still refused here.
        """
        outcome = self._fold(place, readings, states, progress or watermarks.START, orders.absorb)
        if max([len(state) for state in outcome.writes[ORDERS.name].values() if state is not None], default=0) > limits.ORDER_BYTES:
            return self._fold(place, readings, states, progress or watermarks.START, _absorb_what_fits)
        return outcome

    def _fold(self, place: str, readings: Readings, states: States, progress: Progress, absorb: _Absorb) -> Outcome:
        """First the chunk in its order, for all that depends on it; then order by order: an eighth less time than going to and fro."""
        taken = Taken(readings, progress, self._calendar, self._refusals_in_a_row, _ORDER_ID)
        stored, told, parked, duplicates = states[ORDERS.name], _Told(self._calendar), taken.parked, 0
        writes: dict[bytes, bytes | None] = {}
        any_fits = absorb is orders.absorb
        keys = [order_id.encode() for order_id in taken.told]
        for key, state, events in zip(keys, stored.look_up(keys), taken.told.values(), strict=True):
            first = orders.EMPTY if state is None else orders.decode(state)
            facts = Facts(first)
            for offset, event, now_ms in events:
                if any_fits and event.type not in _TELLING and facts.add(event):
                    continue  # the short cut for half of the events
                before = facts.order
                if not (any_fits and facts.add(event)):
                    after = absorb(before, event)
                    if after is before:  # S11
                        duplicates += 1
                        continue
                    if isinstance(after, Refusal):
                        parked.append((offset, after))
                        continue
                    facts = Facts(after)
                serves, sells = aftersales.may_differ(facts, event), counting.may_differ(facts, event)
                if serves or sells:
                    cause = Cause(event, f"{place}@{offset}", self._calendar.start_of(now_ms))
                    told.change(before, facts.order, cause, offset, sells=sells, serves=serves)
            if facts.order is not first:
                writes[key] = orders.encode(facts.order)
        parked.sort(key=itemgetter(0))
        by_product, by_shop = told.sends()
        counts = taken.counts(duplicates=duplicates, refused=len(parked)) | {"entries": len(by_product), "restatements": told.restatements}
        sends = {SALES_TOPIC: by_product, SHOP_ACTIVITY_TOPIC: by_shop}
        return Outcome({ORDERS.name: writes}, sends, parked, taken.progress, counts, taken.records, taken.paused)


class _Told:
    """What a chunk's changes have to tell: entries and rows by product, and all that concerns each shop."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._by_product: list[tuple[int, bytes, bytes]] = []
        self._shops = ShopActivities()
        self.restatements = 0

    def change(self, before: Order, after: Order, cause: Cause, offset: int, *, sells: bool, serves: bool) -> None:  # noqa: PLR0913 - of one caller
        """The event at an offset led from one state of an order to another; `sells`, `serves`: whether sales or service may differ."""
        now = counting.derive(after)
        was = counting.derive(before) if sells else now
        if sells:
            for entry in entries.difference(was, now, cause, self._calendar):
                self._by_product.append((offset, entry.product_id.encode(), journal.encode(entry)))
                self._shops.sell(entry)
                self.restatements += entry.restates
        if serves:
            self._serve((before, was), (after, now), cause, offset)

    def sends(self) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
        """(key, value) by product, in the order of the events that they come of, and by shop."""
        return [one[1:] for one in sorted(self._by_product, key=itemgetter(0))], self._shops.records()

    def _serve(self, before: tuple[Order, Counted], after: tuple[Order, Counted], cause: Cause, offset: int) -> None:
        """What changed of the shop's service (R3, R5), and of its reason to write to the buyer (R4)."""
        event = cause.event
        changes = aftersales.changes(before, after, self._calendar)
        for number, (shop_id, product_id, start_ms, columns) in enumerate(changes):
            cycle, restates = self._calendar.iso(start_ms), start_ms < cause.current_cycle_ms
            row_id, why = f"{cause.position}#s{number}", (event.type, event.id, event.source, times.format_ms(event.occurred_at_ms))
            if product_id is None:
                self._shops.serve(shop_id, Served(row_id, cycle, columns, restates, *why))
            else:
                row = Service(row_id, shop_id, product_id, cycle, columns, restates, *why)
                self._by_product.append((offset, product_id.encode(), journal.encode(row)))
        for shop_id, buyer_id, at_ms in aftersales.contact_changes(before[0], after[0]):
            self._shops.contact(shop_id, Contact(buyer_id, event.order_id, at_ms))


def _absorb_what_fits(order: Order, event: Received) -> Order | Refusal:
    """As `orders.absorb`, but an event with which the order would outgrow a record is refused; measuring each time is slow."""
    after = orders.absorb(order, event)
    if after is not order and (size := len(orders.encode(after))) > limits.ORDER_BYTES:
        return Refusal(Reason.ORDER_FULL, f"{size} bytes with this event, at most {limits.ORDER_BYTES}")
    return after
