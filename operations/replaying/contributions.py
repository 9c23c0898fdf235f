"""What each order contributes to a product or a shop, by the live and by the replayed journal."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, NamedTuple

from operations.replaying.journal_fold import included, sources_of
from operations.replaying.plan import cause_of, id_of
from operations.replaying.row_keys import UNREADABLE
from schemas.columns import ZERO, SaleColumns, plus
from schemas.journal import Entry, decode
from schemas.positions import offset_after
from streams.partitioning import partition_of
from tables.catalogue import PRODUCT_STAGE, SALES_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from operations.replaying.plan import Stop
    from operations.replaying.work import Report, Work

MOST_ORDERS = 100
"""Most orders that are shown."""

Sums = dict[tuple[str, str], SaleColumns]
"""By cycle's start (ISO 8601) and currency."""


class Subject(NamedTuple):
    """A product or a shop."""

    kind: Literal["product", "shop"]
    id: str

    def is_of(self, entry: Entry) -> bool:
        """Whether an entry is about it."""
        return (entry.product_id if self.kind == "product" else entry.shop_id) == self.id


class Contribution(NamedTuple):
    """An order whose entries differ: the sums of both sides, and the events that made them.

    `causes` are positions of events, sorted.
    """

    order_id: str
    live: Sums
    replayed: Sums
    causes: list[str]


class Contributions(NamedTuple):
    """How many orders have entries on either side, how many of them differ, and the first ones."""

    found: int = 0
    orders: int = 0
    shown: Sequence[Contribution] = ()


async def contributions(work: Work, subject: Subject, report: Report) -> Contributions:
    """The orders whose contribution to a product or a shop differs; MOST_ORDERS are shown."""
    count = work.settings.partitions
    numbers = (
        [partition_of(subject.id.encode(), count)] if subject.kind == "product" else range(count)
    )
    live, replayed = _Orders(subject), _Orders(subject)
    for number in numbers:
        stop = work.known_plan().stops[f"{PRODUCT_STAGE.name}-{number}"][-1]
        at = (work.settings.topic(SALES_TOPIC), number)
        first = work.known_plan().beginnings[f"{at[0]}-{number}"]
        reading = work.log.spans({at: first}, {at: offset_after(stop.offset)})
        async with aclosing(reading) as steps:
            async for step in steps:
                records = step.records.get(at, [])
                values = [record.value or b"" for record in records if record.key is not None]
                if work.ends is not None:
                    values = [value for value in values if _is_included(stop, value)]
                await asyncio.to_thread(live.add, values)
                report(len(records))
        for source, found in sources_of(work, SALES_TOPIC, number, lambda _bytes: None).items():
            for rows in included(stop, source, found):
                await asyncio.to_thread(replayed.add, [value for _, value in rows])
    orders = sorted(live.sums.keys() | replayed.sums.keys())
    found_all = (
        Contribution(
            order,
            live.sums_of(order),
            replayed.sums_of(order),
            sorted(live.causes[order] | replayed.causes[order]),
        )
        for order in orders
    )
    different = [one for one in found_all if one.live != one.replayed]
    return Contributions(len(orders), len(different), different[:MOST_ORDERS])


def _is_included(stop: Stop, value: bytes) -> bool:
    """Whether a stop of whole transactions includes the event that a row names."""
    return cause_of(value) <= stop.vector.get(id_of(value).rpartition("@")[0], -1)


class _Orders:
    """The sums of one side by order."""

    def __init__(self, subject: Subject) -> None:
        self.sums: defaultdict[str, Sums] = defaultdict(dict)
        self.causes: defaultdict[str, set[str]] = defaultdict(set)
        self._subject, self._id = subject, subject.id.encode()

    def add(self, values: Iterable[bytes]) -> None:
        """Add the entries about the subject of some rows."""
        for value in values:
            if self._id not in value:
                continue
            try:
                entry = decode(value)
            except UNREADABLE:
                continue  # the audit names what no worker wrote
            if isinstance(entry, Entry) and self._subject.is_of(entry):
                sums, key = self.sums[entry.order_id], (entry.cycle, entry.currency)
                sums[key] = plus(sums.get(key, ZERO), entry)
                self.causes[entry.order_id].add(entry.id.partition("#")[0])

    def sums_of(self, order_id: str) -> Sums:
        """An order's sums that are not zero."""
        return {key: sums for key, sums in self.sums[order_id].items() if sums != ZERO}
