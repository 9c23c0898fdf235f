"""The order stage: events of orders → the facts of each order, and what they change in the journal."""

from collections.abc import Callable, Sequence
from typing import Final

from schemas import envelope, journal, limits, times
from schemas.envelope import Received, Record, Tick
from schemas.journal import Contact, Service
from schemas.refusals import Reason, Refusal
from tables import aftersales, catalogue, counting, entries, orders, service, watermarks
from tables.catalogue import ORDERS, SALES_TOPIC, SHOP_ACTIVITY_TOPIC, Stage
from tables.cycles import Calendar
from tables.entries import Cause
from tables.orders import Order
from tables.outcome import Batch, Outcome, States
from tables.service import Rows
from tables.shop_sales import ShopSums
from tables.watermarks import Progress

_NEVER: Final = -(2**63)

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

    def read(self, records: Sequence[Record], place: str) -> Batch:
        """What the records of one partition, such as `orders-3`, say, in order, and which orders they concern. Never raises."""
        readings = list(map(envelope.read, records))
        last: dict[bytes, int] = {
            record.key: record.offset  # type: ignore[misc]  # a received event has a key
            for record, reading in zip(records, readings, strict=True)
            if type(reading) is Received
        }
        return Batch(place, records, readings, {ORDERS.name: last.keys()}, last)

    def fold(self, batch: Batch, states: States, progress: Progress | None) -> Outcome:
        """What the chunk changes. Only an order that would outgrow a record of its changelog is still refused here."""
        outcome = self._fold(batch, states, progress or watermarks.START, orders.absorb)
        if max([len(state) for state in outcome.writes[ORDERS.name].values() if state is not None], default=0) > limits.ORDER_BYTES:
            return self._fold(batch, states, progress or watermarks.START, _absorb_what_fits)
        return outcome

    def _fold(self, batch: Batch, states: States, progress: Progress, absorb: _Absorb) -> Outcome:  # noqa: C901, PLR0912, PLR0915 - the hot loop, in one piece
        offset, watermark_ms, refused_in_a_row = progress.offset, progress.watermark_ms, progress.refused_in_a_row
        calendar, stored, last = self._calendar, states[ORDERS.name], batch.last
        cycle_ms, cycle_end_ms = (_NEVER, _NEVER) if watermark_ms is None else calendar.around(watermark_ms)  # that event time is in
        at_hand: dict[bytes, Order] = {}
        changed: set[bytes] = set()
        writes: dict[bytes, bytes | None] = {}
        told = _Told(calendar)
        parked: list[tuple[Record, Refusal]] = []
        duplicates = skipped = late = ticks = taken = 0
        for record, reading in zip(batch.records, batch.readings, strict=True):
            if refused_in_a_row >= self._refusals_in_a_row:
                break
            taken += 1
            if record.offset <= offset:  # never twice, even if handed over twice
                skipped += 1
                continue
            offset = record.offset
            if type(reading) is Refusal:
                parked.append((record, reading))
                refused_in_a_row += 1
                continue
            at_ms = reading.occurred_at_ms
            if watermark_ms is None or at_ms > watermark_ms:  # C2
                watermark_ms = at_ms
                if at_ms >= cycle_end_ms:
                    cycle_ms, cycle_end_ms = calendar.around(at_ms)
            if type(reading) is Tick:
                ticks += 1
                continue
            if at_ms < cycle_ms:
                late += 1  # S13: counted here, dropped nowhere
            refused_in_a_row = 0
            key: bytes = record.key  # type: ignore[assignment]  # a received event has one
            before = at_hand.pop(key, None) or _decoded(stored[key])
            after = absorb(before, reading)
            if isinstance(after, Refusal):
                parked.append((record, after))
                after = before
            elif after is before:  # S11
                duplicates += 1
            else:
                changed.add(key)
                serves, sells = aftersales.may_differ(after, reading), counting.may_differ(before, after)
                if serves or sells:
                    told.change(before, after, Cause(reading, f"{batch.place}@{offset}", cycle_ms), sells=sells, serves=serves)
            if offset < last[key]:
                at_hand[key] = after
            elif key in changed:  # encoded while it is warm: a second pass over a large chunk costs as much as counting it
                writes[key] = orders.encode(after)
        writes.update((key, orders.encode(order)) for key, order in at_hand.items() if key in changed)  # where the chunk was cut short
        counts = {"applied": taken - duplicates - skipped - ticks - len(parked), "duplicates": duplicates, "refused": len(parked)}
        counts |= {"skipped": skipped, "ticks": ticks, "late": late, "entries": len(told.by_product), "restatements": told.restatements}
        sends = {SALES_TOPIC: told.by_product, SHOP_ACTIVITY_TOPIC: [*told.sums.records(), *told.by_shop]}
        progress = Progress(offset, watermark_ms, refused_in_a_row)
        return Outcome({ORDERS.name: writes}, sends, parked, progress, counts, taken, refused_in_a_row >= self._refusals_in_a_row)


class _Told:
    """What a chunk's changes have to tell: entries and rows by product, rows by shop, and the entries' sums by shop."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.by_product: list[tuple[bytes, bytes]] = []
        self.by_shop: list[tuple[bytes, bytes]] = []
        self.sums = ShopSums()
        self.restatements = 0

    def change(self, before: Order, after: Order, cause: Cause, *, sells: bool, serves: bool) -> None:
        """An event led from one state of an order to another; `sells`, `serves`: whether sales or service may differ."""
        now = counting.derive(after)
        was = counting.derive(before) if sells else now
        if sells:
            for entry in entries.difference(was, now, cause, self._calendar):
                self.by_product.append((entry.product_id.encode(), journal.encode(entry)))
                self.sums.add(entry)
                self.restatements += entry.restates
        if serves:
            self._serve(before, after, (aftersales.rows(before, was, self._calendar), aftersales.rows(after, now, self._calendar)), cause)

    def _serve(self, before: Order, after: Order, rows: tuple[Rows, Rows], cause: Cause) -> None:
        """What changed of the shop's service (R3, R5), and of its reason to write to the buyer (R4)."""
        owner, heir = aftersales.owner(before), aftersales.owner(after)
        if owner == heir or not rows[0]:
            changes = [(heir, service.difference(*rows))]
        else:  # S11: another placing holds now, of another shop
            changes = [(owner, service.difference(rows[0], {})), (heir, service.difference({}, rows[1]))]
        event, number = cause.event, 0
        for whose, found in changes:
            for (product_id, start_ms), columns in sorted(found.items(), key=lambda item: (item[0][0] or "", item[0][1])):
                assert whose is not None  # noqa: S101 - without a placing there are no rows
                row = Service(
                    f"{cause.position}#s{number}",
                    whose[0],
                    product_id,
                    self._calendar.iso(start_ms),
                    columns,
                    start_ms < cause.current_cycle_ms,
                    event.type,
                    event.id,
                    event.source,
                    times.format_ms(event.occurred_at_ms),
                )
                number += 1
                if product_id is None:
                    self.by_shop.append((whose[0].encode(), journal.encode(row)))
                else:
                    self.by_product.append((product_id.encode(), journal.encode(row)))
        gone, there = aftersales.contact(before), aftersales.contact(after)
        if gone is not None and (there is None or there[:2] != gone[:2]):
            self.by_shop.append((gone.shop_id.encode(), journal.encode(Contact(gone.shop_id, gone.buyer_id, event.order_id, None))))
        if there is not None and there != gone:
            self.by_shop.append((there.shop_id.encode(), journal.encode(Contact(*there[:2], event.order_id, there.at_ms))))


def _absorb_what_fits(order: Order, event: Received) -> Order | Refusal:
    """As `orders.absorb`, but an event with which the order would outgrow a record is refused; measuring each time is slow."""
    after = orders.absorb(order, event)
    if after is not order and (size := len(orders.encode(after))) > limits.ORDER_BYTES:
        return Refusal(Reason.ORDER_FULL, f"{size} bytes with this event, at most {limits.ORDER_BYTES}")
    return after


def _decoded(state: bytes | None) -> Order:
    return orders.EMPTY if state is None else orders.decode(state)
