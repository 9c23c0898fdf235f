"""Sales as they were known, or had happened, at an earlier moment.

Two axes. *Known*: only events before some offset of each source partition. A journal entry names
the event that caused it, and entries are differences (S12), so those of earlier events add up to
what the tables had after that prefix of the log. *Happened*: only facts until some event time, as
they are known. An entry belongs to one sale or to one refund of it, with its instant. So those
until then add up to what had happened, except in orders where a later fact changes an earlier one:
they are `intricate`, and are derived from their facts again.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import astuple

from schemas import times
from tables import counting
from tables.brief_entries import BriefEntry
from tables.cycles import Calendar
from tables.entries import journal_rows
from tables.orders import KINDS, Order
from tables.sales import ImpossibleTallyError, Tally


class Moment(NamedTuple):
    """What a reader is to include: events before a bound, and what had happened by an instant.

    `bounds` has, by source partition, the first offset that is not included; of a partition that it
    doesn't name nothing is. `as_of_ms` is None for all that happened.
    """

    bounds: Mapping[int, int]
    as_of_ms: int | None = None

    def knows(self, partition: int, offset: int) -> bool:
        """Whether the event at an offset of a source partition is before its bound."""
        return offset < self.bounds.get(partition, 0)


def is_intricate(order: Order) -> bool:
    """Whether a later fact of an order may change what counts of its earlier ones, or once did.

    A returned refund leaves more to others (S5, S8). A line is a sale only when it was both placed
    and received (S1), so a placing after the receipt makes an earlier sale. Once true, it stays
    true: a placing or a content that no longer holds leaves a second placing, or a conflict (S11).
    """
    placed, receipts = order.placed, order.receipts
    return bool(
        order.refund_returns
        or order.conflicts
        or len(placed) > 1
        or (placed and receipts and receipts[0].occurred_at_ms < placed[0].occurred_at_ms)
    )


def happened(order: Order, as_of_ms: int) -> Order:
    """The order with only those of its facts that had happened by an instant, inclusive."""
    return msgspec.structs.replace(
        order,
        **{
            kind: tuple([fact for fact in getattr(order, kind) if fact.occurred_at_ms <= as_of_ms])
            for kind in KINDS
        },
    )


def entries_of_order(
    order_id: str, order: Order, calendar: Calendar, keyed_by: str
) -> Iterator[tuple[str, int, BriefEntry]]:
    """What counts of an order, as if one event had caused it: (id, cycle's start, entry).

    `keyed_by` names the ids: `product_id` or `shop_id`. No entry restates, and none has a
    position: partition and offset are -1.
    """
    for key, columns in journal_rows(counting.derive(order), calendar).items():
        id_, other_id = key.product_id, key.shop_id
        if keyed_by == "shop_id":
            id_, other_id = other_id, id_
        yield (
            id_,
            key.cycle_ms,
            BriefEntry(  # type: ignore[misc]  # the length of a struct's tuple is unknown to it
                *astuple(columns),
                partition=-1,
                offset=-1,
                at_ms=key.refunded_ms if key.refund_id else key.sold_ms,
                restates=False,
                currency=key.currency,
                order_id=order_id,
                other_id=other_id,
            ),
        )


def included(
    entries: Iterable[BriefEntry], moment: Moment, without: Collection[str] = ()
) -> list[BriefEntry]:
    """The entries that a moment includes, but those of the orders `without`."""
    end_of = moment.bounds.get
    latest_ms = times.NO_INSTANT_MS if moment.as_of_ms is None else moment.as_of_ms
    return [
        entry
        for entry in entries
        if entry.offset < end_of(entry.partition, 0)
        and entry.at_ms <= latest_ms
        and entry.order_id not in without
    ]


def add_up(tally: Tally, entries: Iterable[BriefEntry]) -> None:
    """Add entries to the sums of their cycle; `closed` checks the result.

    The sums need not be within bounds on the way, as the entries may come in any order.
    """
    change = tally.change
    for entry in entries:
        change(entry, entry.currency)


def closed(tally: Tally) -> Tally:
    """A tally after its last entry, without currencies that have no sums.

    ImpossibleTallyError unless they are possible (S8).
    """
    if not all(sums.are_possible for sums in tally.currencies.values()):
        raise ImpossibleTallyError(f"the entries' sums leave their bounds in {tally}")
    for currency in [name for name, sums in tally.currencies.items() if not any(astuple(sums))]:
        del tally.currencies[currency]
    return tally


def agree(some: Mapping[int, Tally], others: Mapping[int, Tally]) -> bool:
    """Whether two ways to the sums of an id by cycle have the same; restatements aside (C3)."""
    return _sums(some) == _sums(others)


def _sums(cycles: Mapping[int, Tally]) -> dict[int, Tally]:
    return {
        start_ms: msgspec.structs.replace(tally, restatements=0)
        for start_ms, tally in cycles.items()
        if tally.holds_anything
    }
