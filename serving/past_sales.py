"""Sales at an earlier moment, from the entries in brief of one snapshot.

The sums of the entries that a moment includes; with an event time also the results of the orders
in which a later fact changes an earlier one (tables/time_travel.py). Everything is bounded.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas import limits
from schemas.errors import NetsoldError
from serving import keys
from serving.problems import Kind, ProblemRaised
from serving.progress import SALES_JOURNAL
from serving.table_rows import ids_named
from tables import orders, time_travel
from tables.brief_entries import decode_entries
from tables.catalogue import ORDERS
from tables.sales import ImpossibleTallyError, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from serving.store import Snapshot
    from tables.breakdown import Breakdown
    from tables.brief_entries import BriefEntry
    from tables.cycles import Calendar
    from tables.orders import Order
    from tables.time_travel import Moment

Cycles = dict[int, Tally]
"""The sums of one id by the start of their cycle."""


class Unsettled(NetsoldError):
    """Tables and journal are not at the same events yet; the sentence says what differs."""


class UnreadOrder(NamedTuple):
    """An order whose events must be read: its source partition, None for all; what is known now."""

    partition: int | None
    order: Order


class IntricateOrders(NamedTuple):
    """The orders of which a moment needs the facts.

    `known` are as they are in the table; of `unread` more events are known now, so their events
    must be read from the log.
    """

    known: dict[str, Order]
    unread: dict[str, UnreadOrder]


NOT_INTRICATE: Final = IntricateOrders({}, {})


class PastSales:
    """Walks over the entries of one snapshot, in one thread; `moment` decides what is included.

    `orders` are the intricate ones, by their facts until the bounds of the moment.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        calendar: Calendar,
        moment: Moment,
        orders: Mapping[str, Order],
    ) -> None:
        self._snapshot = snapshot
        self._calendar = calendar
        self._moment = moment
        self._orders = orders
        self._walked = 0

    @property
    def by_event_time(self) -> bool:
        """Whether the moment has an event time."""
        return self._moment.as_of_ms is not None

    def of(
        self, keyed_by: str, id_: bytes, only_ms: int | None = None, also: Breakdown | None = None
    ) -> Cycles:
        """The sums of an id, by cycle; only of the one that starts at `only_ms` if given.

        Adds all entries to `also`. Raises ProblemRaised where that is too much work.
        """
        found: defaultdict[int, Tally] = defaultdict(Tally)
        for start_ms, entries in self.entries(keyed_by, id_, only_ms):
            time_travel.add_up(found[start_ms], entries)
            if also is not None:
                also.add(entries)
                if also.entries > limits.EXPLAINED_CYCLE_ENTRIES:
                    raise _too_long(limits.EXPLAINED_CYCLE_ENTRIES, "an explanation of one cycle")
        return _closed(found)

    def of_all(self, keyed_by: str) -> Iterator[tuple[str, Cycles]]:
        """The sums of every id of this name, by cycle. Raises as `of`."""
        derived = self.derived(keyed_by)
        steps = self._steps(keys.BRIEF[keyed_by])
        for id_, own in groupby(steps, key=lambda step: step[0]):
            found: defaultdict[int, Tally] = defaultdict(Tally)
            for _, start_ms, entries in own:
                seen = time_travel.included(entries, self._moment, self._orders)
                time_travel.add_up(found[start_ms], seen)
            for start_ms, entries in derived.pop(id_.decode(), {}).items():
                time_travel.add_up(found[start_ms], entries)
            yield id_.decode(), _closed(found)

    def entries(
        self,
        keyed_by: str,
        id_: bytes,
        only_ms: int | None = None,
    ) -> Iterator[tuple[int, list[BriefEntry]]]:
        """The included entries of an id in lists, each with its cycle's start. Raises as `of`.

        Only lists of the cycle that starts at `only_ms` if given.
        """
        prefix = (
            keys.subject(keys.BRIEF[keyed_by], id_)
            if only_ms is None
            else keys.brief(keyed_by, id_, only_ms)
        )
        for _, start_ms, entries in self._steps(prefix):
            yield start_ms, time_travel.included(entries, self._moment, self._orders)
        for start_ms, entries in self.derived(keyed_by).get(id_.decode(), {}).items():
            if only_ms in {None, start_ms}:
                yield start_ms, entries

    def derived(self, keyed_by: str) -> dict[str, dict[int, list[BriefEntry]]]:
        """What counts of the intricate orders at the moment, by id and cycle."""
        found: defaultdict[str, dict[int, list[BriefEntry]]] = defaultdict(dict)
        as_of_ms = self._moment.as_of_ms
        if as_of_ms is not None:
            for order_id, order in self._orders.items():
                then = time_travel.happened(order, as_of_ms)
                for id_, start_ms, entry in time_travel.entries_of_order(
                    order_id, then, self._calendar, keyed_by
                ):
                    found[id_].setdefault(start_ms, []).append(entry)
        return found

    def _steps(self, prefix: bytes) -> Iterator[tuple[bytes, int, list[BriefEntry]]]:
        """(id, cycle's start, entries) of each value of the store under a prefix."""
        for key, value in self._snapshot.walk(prefix):
            entries = decode_entries(value)
            self._walked += len(entries)
            if self._walked > limits.WALKED_ENTRIES:
                raise _too_long(limits.WALKED_ENTRIES, "an answer about an earlier moment")
            id_, start_ms = keys.split_brief(key)
            yield id_, start_ms, entries


def intricate_orders(
    snapshot: Snapshot, moment: Moment, keyed_by: str, id_: bytes | None
) -> IntricateOrders:
    """The intricate orders of an id, or of all if None; none where no event time is asked for.

    Raises ProblemRaised where they, or the entries, are too many.
    """
    if moment.as_of_ms is None:
        return NOT_INTRICATE
    space = keys.INTRICATE[keyed_by]
    changed: dict[bytes, tuple[int, int | None]] = {}
    for key, value in snapshot.walk(space if id_ is None else keys.subject(space, id_)):
        changed[keys.split_intricate(key)[1]] = keys.split_changed(value)
        if len(changed) > limits.INTRICATE_ORDERS:
            raise _too_many(limits.INTRICATE_ORDERS)
    for order_id, partition in _retracted(snapshot, moment, keyed_by, id_).items():
        changed.setdefault(order_id, (partition, None))
    filled = {
        partition: int(snapshot.get(keys.filled(partition)) or limits.INT64_MAX)
        for partition in {partition for partition, _ in changed.values()}
    }
    known: dict[str, Order] = {}
    unread: dict[str, UnreadOrder] = {}
    for order_id, (partition, listed) in changed.items():
        offset = listed
        state = snapshot.get(keys.space(ORDERS) + order_id)
        order = orders.EMPTY if state is None else orders.decode(state)
        if order.conflicts:
            offset = _last_change(snapshot, keyed_by, order_id, order)
        latest = filled[partition] if offset is None else offset
        if moment.knows(partition, latest):
            known[order_id.decode()] = order
        else:
            unread[order_id.decode()] = UnreadOrder(partition, order)
            if len(unread) > limits.INTRICATE_READ_ORDERS:
                raise _too_many(limits.INTRICATE_READ_ORDERS)
    return IntricateOrders(known, unread)


def _last_change(snapshot: Snapshot, keyed_by: str, order_id: bytes, order: Order) -> int | None:
    """When an order last changed, as `keys.changed` has it: in the list of an id that it names now.

    In the list of one that it named before (S11) it is as of then. Without an id it isn't known.
    """
    id_ = next((id_ for one in order.placed for id_ in ids_named(one, keyed_by)), None)
    if id_ is None:
        return limits.INT64_MAX
    value = snapshot.get(keys.intricate(keyed_by, id_.encode(), order_id))
    return limits.INT64_MAX if value is None else keys.split_changed(value)[1]


def _retracted(
    snapshot: Snapshot, moment: Moment, keyed_by: str, id_: bytes | None
) -> dict[bytes, int]:
    """Orders that a later event took away from an id, or from any if None; with their partition.

    An order is in the lists of intricate ones by the ids that it names now. Where another content
    of its placing held at the moment (S11), it was of other ids, and their entries were retracted.
    """
    known = snapshot.progress.partitions[SALES_JOURNAL].values()
    ends = {
        source: max(one.sources[source].offset for one in known if source in one.sources)
        for source in {source for one in known for source in one.sources}
    }
    if all(moment.knows(int(at.rpartition("-")[2]), offset) for at, offset in ends.items()):
        return {}
    prefix = keys.BRIEF[keyed_by] if id_ is None else keys.subject(keys.BRIEF[keyed_by], id_)
    end_of, walked = moment.bounds.get, 0
    found: dict[bytes, int] = {}
    for _, value in snapshot.walk(prefix):
        entries = decode_entries(value)
        walked += len(entries)
        if walked > limits.WALKED_ENTRIES:
            raise _too_long(limits.WALKED_ENTRIES, "an answer about an earlier moment")
        for entry in entries:
            is_less = entry.units_gross < 0 or entry.amount_gross < 0
            if is_less and entry.offset >= end_of(entry.partition, 0):
                found[entry.order_id.encode()] = entry.partition
    rows = ((order_id, snapshot.get(keys.space(ORDERS) + order_id)) for order_id in list(found))
    return {
        order_id: found[order_id]
        for order_id, state in rows
        if state is not None and orders.decode(state).conflicts
    }


def _closed(found: Mapping[int, Tally]) -> Cycles:
    try:
        return {start_ms: time_travel.closed(tally) for start_ms, tally in found.items()}
    except ImpossibleTallyError as error:
        raise Unsettled(f"the journal lacks entries: {error}") from error


def _too_long(most: int, what: str) -> ProblemRaised:
    return ProblemRaised(
        Kind.TOO_MUCH,
        f"{what} adds up at most {most:,} journal entries, and here are more: count from files with"
        " `netsold recount`, or add up the topic of the journal",
    )


def _too_many(most: int) -> ProblemRaised:
    return ProblemRaised(
        Kind.TOO_MUCH,
        f"in more than {most:,} orders here a later event changes an earlier one, and they are"
        f" derived one by one, at most {most:,}: leave out `as_of`, or ask for a product or a shop",
    )
