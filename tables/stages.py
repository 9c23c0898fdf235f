"""The three stages: the records of a chunk, and a view of the state they touch → an Outcome. All contact with the world is handed in.

A chunk is folded in two steps. `read` only looks at the records and names the keys that are needed; whatever can be refused is
refused there. `fold` can't refuse any more: it changes copies and hands them out. An exception there is a fault of ours, not of
the input, and the chunk must not be committed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from schemas import envelope, journal, limits
from schemas.envelope import Received, Record, Tick
from schemas.journal import Delta, Mark
from schemas.refusals import Reason, Refusal
from tables import catalogue, counting, entries, orders, sales, watermarks
from tables.catalogue import ORDERS, SALES_TOPIC, SHOP_ACTIVITY_TOPIC, Stage, Table
from tables.cycles import Calendar
from tables.orders import Order
from tables.sales import ImpossibleTallyError, Tally
from tables.watermarks import Progress

_NEVER: Final = -(2**63)
States = Mapping[str, Mapping[bytes, bytes | None]]
"""By table, by key: the state's bytes, None where there is none. Every key of `Batch.keys` is in it."""


class Batch(msgspec.Struct, frozen=True):
    """A chunk that has been read: its records, what each says (a Refusal among them), and by table the keys that folding needs.

    `last` has, for the order stage, the offset of the last event of each order.
    """

    records: Sequence[Record]
    readings: Sequence[Any]
    keys: Mapping[str, Collection[bytes]]
    last: Mapping[bytes, int] = msgspec.field(default_factory=dict)


class Outcome(msgspec.Struct, frozen=True):
    """What a chunk changes: all of it is written in one transaction, or none.

    `writes`: by table, the states that changed. `sends`: by public topic, (key, value) in order. `parked`: what was refused.
    `progress`: after the chunk. `counts`: for metrics, how many were applied, duplicates, refused, skipped, late; entries,
    restatements, ticks, marks. `taken`: how many of the chunk's records it covers; fewer than all when so many were refused in a row
    that the partition is `paused`: the rest must not be taken before someone says so (`Progress.resumed`).
    """

    writes: dict[str, dict[bytes, bytes]]
    sends: dict[str, list[tuple[bytes, bytes]]]
    parked: list[tuple[Record, Refusal]]
    progress: Progress
    counts: dict[str, int]
    taken: int
    paused: bool


_Absorb = Callable[[Order, Received], Order | Refusal]


class OrderStage:
    """Events of orders → facts, and what they change in the journal. One for all partitions: it holds no state."""

    stage: Final[Stage] = catalogue.ORDER_STAGE

    def __init__(self, calendar: Calendar, refusals_in_a_row: int) -> None:
        self._calendar = calendar
        self._refusals_in_a_row = refusals_in_a_row

    def read(self, records: Sequence[Record]) -> Batch:
        """What the records of one partition say, in order, and which orders they concern. Never raises."""
        readings = list(map(envelope.read, records))
        last: dict[bytes, int] = {
            record.key: record.offset  # type: ignore[misc]  # a received event has a key
            for record, reading in zip(records, readings, strict=True)
            if type(reading) is Received
        }
        return Batch(records, readings, {ORDERS.name: last.keys()}, last)

    def fold(self, batch: Batch, states: States, progress: Progress | None) -> Outcome:
        """What the chunk changes. Only an order that would outgrow a record of its changelog is still refused here."""
        outcome = self._fold(batch, states, progress or watermarks.START, orders.absorb)
        if max(map(len, outcome.writes[ORDERS.name].values()), default=0) > limits.ORDER_BYTES:
            return self._fold(batch, states, progress or watermarks.START, _absorb_what_fits)
        return outcome

    def _fold(self, batch: Batch, states: States, progress: Progress, absorb: _Absorb) -> Outcome:  # noqa: C901, PLR0912, PLR0915 - the hot loop, in one piece
        offset, watermark_ms, refused_in_a_row = progress.offset, progress.watermark_ms, progress.refused_in_a_row
        calendar, stored, last = self._calendar, states[ORDERS.name], batch.last
        cycle_ms = _NEVER if watermark_ms is None else calendar.start_of(watermark_ms)  # start of the cycle that event time is in
        at_hand: dict[bytes, Order] = {}
        changed: set[bytes] = set()
        writes: dict[bytes, bytes] = {}
        by_product, by_shop = list[tuple[bytes, bytes]](), list[tuple[bytes, bytes]]()
        parked: list[tuple[Record, Refusal]] = []
        duplicates = skipped = late = ticks = restatements = taken = 0
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
                watermark_ms, cycle_ms = at_ms, calendar.start_of(at_ms)
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
                if counting.may_differ(before, after):
                    cause = entries.Cause(reading, f"{record.topic}-{record.partition}@{offset}", cycle_ms)
                    for entry in entries.difference(counting.derive(before), counting.derive(after), cause, calendar):
                        value = journal.encode(entry)
                        by_product.append((entry.product_id.encode(), value))
                        by_shop.append((entry.shop_id.encode(), value))
                        restatements += entry.restates
            if offset < last[key]:
                at_hand[key] = after
            elif key in changed:  # encoded while it is warm: a second pass over a large chunk costs as much as counting it
                writes[key] = orders.encode(after)
        writes.update((key, orders.encode(order)) for key, order in at_hand.items() if key in changed)  # where the chunk was cut short
        counts = {"applied": taken - duplicates - skipped - ticks - len(parked), "duplicates": duplicates, "refused": len(parked)}
        counts |= {"skipped": skipped, "ticks": ticks, "late": late, "entries": len(by_product), "restatements": restatements}
        sends = {SALES_TOPIC: by_product, SHOP_ACTIVITY_TOPIC: by_shop}
        paused = refused_in_a_row >= self._refusals_in_a_row
        return Outcome({ORDERS.name: writes}, sends, parked, Progress(offset, watermark_ms, refused_in_a_row), counts, taken, paused)


def _absorb_what_fits(order: Order, event: Received) -> Order | Refusal:
    """As `orders.absorb`, but an event with which the order would outgrow a record is refused; measuring each time is slow."""
    after = orders.absorb(order, event)
    if after is not order and (size := len(orders.encode(after))) > limits.ORDER_BYTES:
        return Refusal(Reason.ORDER_FULL, f"{size} bytes with this event, at most {limits.ORDER_BYTES}")
    return after


def _decoded(state: bytes | None) -> Order:
    return orders.EMPTY if state is None else orders.decode(state)


class TallyStage:
    """Journal entries → the sums by one id, per cycle and of all time. One for all partitions: it holds no state."""

    def __init__(self, stage: Stage, cycles: Table, totals: Table, calendar: Calendar, refusals_in_a_row: int) -> None:
        self.stage: Final = stage
        self._cycles = cycles
        self._totals = totals
        self._calendar = calendar
        self._refusals_in_a_row = refusals_in_a_row
        self._subject = attrgetter(totals.keyed_by)

    def read(self, records: Sequence[Record]) -> Batch:
        """What the records of one partition say, in order, and which sums they concern. Never raises."""
        readings = [self._reading(record) for record in records]
        found = [reading for reading in readings if type(reading) is _Addition]
        keys = {self._cycles.name: {one.cycle_key for one in found}, self._totals.name: {one.key for one in found}}
        return Batch(records, readings, keys)

    def _reading(self, record: Record) -> "_Addition | Mark | Refusal":  # noqa: PLR0911 - one return a reason
        value, key = record.value, record.key
        if not value:
            return Refusal(Reason.EMPTY_VALUE, "no bytes")
        try:
            said = journal.decode_delta(value)
        except msgspec.ValidationError as error:
            return Refusal(Reason.INVALID_FIELD, str(error)[: limits.DETAIL_CHARS])
        except (msgspec.DecodeError, ValueError, RecursionError, MemoryError) as error:
            return Refusal(Reason.NOT_JSON, str(error)[: limits.DETAIL_CHARS])
        if type(said) is Mark:
            return said
        if not key:
            return Refusal(Reason.MISSING_KEY, f"expected the {self._totals.keyed_by}")
        if key != self._subject(said).encode():
            return Refusal(Reason.KEY_MISMATCH, f"the record's key isn't the {self._totals.keyed_by}")
        try:
            start_ms = self._calendar.start_of_iso(said.cycle)
        except ValueError as error:
            return Refusal(Reason.INVALID_FIELD, f"cycle: {error}"[: limits.DETAIL_CHARS])
        return _Addition(key, catalogue.cycle_key(key, start_ms), said)

    def fold(self, batch: Batch, states: States, progress: Progress | None) -> Outcome:
        """What the chunk changes; ImpossibleTallyError if a sum leaves its bounds: then the journal was read twice or with a hole."""
        progress = progress or watermarks.START
        offset, refused_in_a_row = progress.offset, progress.refused_in_a_row
        sources = dict(progress.sources)
        cycles = _Sums(states[self._cycles.name])
        totals = _Sums(states[self._totals.name])
        parked: list[tuple[Record, Refusal]] = []
        skipped = added = marks = restatements = taken = 0
        for record, reading in zip(batch.records, batch.readings, strict=True):
            if refused_in_a_row >= self._refusals_in_a_row:
                break
            taken += 1
            if record.offset <= offset:  # never twice, even if handed over twice
                skipped += 1
                continue
            offset = record.offset
            if type(reading) is _Addition:
                refused_in_a_row = 0
                added += 1
                restatements += reading.delta.restates
                try:
                    cycles[reading.cycle_key].add(reading.delta)
                    totals[reading.key].add(reading.delta)
                except ImpossibleTallyError as error:
                    raise ImpossibleTallyError(f"{record.topic}-{record.partition}@{offset}: {error}") from error
            elif type(reading) is Mark:
                marks += 1
                sources[f"{reading.topic}-{reading.partition}"] = (reading.offset, reading.watermark_ms)
            else:
                parked.append((record, reading))
                refused_in_a_row += 1
        return Outcome(
            writes={self._cycles.name: cycles.encoded(), self._totals.name: totals.encoded()},
            sends={},
            parked=parked,
            progress=Progress(offset, watermarks.least([mark for _, mark in sources.values()]), refused_in_a_row, sources),
            counts={
                "applied": added,
                "duplicates": 0,
                "refused": len(parked),
                "skipped": skipped,
                "marks": marks,
                "late": restatements,
                "entries": added,
                "restatements": restatements,
            },
            taken=taken,
            paused=refused_in_a_row >= self._refusals_in_a_row,
        )


class _Addition(msgspec.Struct, frozen=True, gc=False):
    """An entry as the tables add it: to the sum of all time under `key`, and to the cycle's under `cycle_key`."""

    key: bytes
    cycle_key: bytes
    delta: Delta


class _Sums(dict[bytes, Tally]):
    """The sums that a chunk adds to, decoded from the states when first asked for."""

    def __init__(self, states: Mapping[bytes, bytes | None]) -> None:
        super().__init__()
        self._states = states

    def __missing__(self, key: bytes) -> Tally:
        state = self._states[key]
        tally = self[key] = Tally() if state is None else sales.decode(state)
        return tally

    def encoded(self) -> dict[bytes, bytes]:
        return {key: sales.encode(tally) for key, tally in self.items()}


class ProductStage(TallyStage):
    """Journal entries → what each product sold."""

    def __init__(self, calendar: Calendar, refusals_in_a_row: int) -> None:
        super().__init__(catalogue.PRODUCT_STAGE, catalogue.PRODUCT_CYCLES, catalogue.PRODUCT_TOTALS, calendar, refusals_in_a_row)


class ShopStage(TallyStage):
    """Journal entries → what each shop sold."""

    def __init__(self, calendar: Calendar, refusals_in_a_row: int) -> None:
        super().__init__(catalogue.SHOP_STAGE, catalogue.SHOP_CYCLES, catalogue.SHOP_TOTALS, calendar, refusals_in_a_row)


def stages(calendar: Calendar, refusals_in_a_row: int) -> tuple[OrderStage, ProductStage, ShopStage]:
    """The stages of a pipeline, in the order of the flow."""
    return OrderStage(calendar, refusals_in_a_row), ProductStage(calendar, refusals_in_a_row), ShopStage(calendar, refusals_in_a_row)
