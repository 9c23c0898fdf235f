"""Records of the sales journal, folded: what they put into a reader's store and add to its sums.

Folding needs no store. So another process can do it while a store is filled
(serving/reading_apart.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from schemas import limits
from serving import keys
from streams.log import FollowStep
from tables import periods
from tables.brief_entries import encode_entries, in_brief
from tables.periods import Periods

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemas.envelope import Record
    from streams.log import At
    from tables.brief_entries import Fields

Whose: TypeAlias = tuple[str, str, str]
"""The name of an id, the id, and the start of a cycle as the journal has it."""


class NewBrief(msgspec.Struct, array_like=True, gc=False):
    """One value of entries in brief."""

    whose: Whose
    offset: int
    """Of the first entry."""

    entries: int
    """How many."""

    value: bytes


class SoldOf(msgspec.Struct, array_like=True, gc=False):
    """What a shop sold more of a product in a cycle and currency: net units, and net money."""

    shop_id: str
    cycle: str
    product_id: str
    currency: str
    units: int
    amount: int


class Sums(msgspec.Struct, array_like=True):
    """What records add: to the marketplace's hours, by cycle, and to the products of shops."""

    hours: dict[str, Periods]
    sold: list[SoldOf]


class FoldedJournal(msgspec.Struct, array_like=True):
    """Some records of one partition of the journal; at least one.

    `count` is how many, `offset` that of the last one. `rows` are keys and values for the store,
    `marks` the values of the progress marks.
    """

    count: int
    offset: int
    rows: list[tuple[bytes, bytes]]
    marks: list[bytes]
    briefs: list[NewBrief]
    sums: Sums


@dataclass(frozen=True, slots=True)
class FoldedStep(FollowStep):
    """A step whose records of the journal are folded; `records` has the others."""

    journal: Mapping[At, FoldedJournal] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many records it has."""
        folded = sum(one.count for one in self.journal.values())
        return sum(map(len, self.records.values())) + folded


def fold(records: Sequence[Record]) -> FoldedJournal:
    """Fold records of one partition; at least one. Raises msgspec's errors."""
    adding = _Adding()
    rows, marks = [], []
    for record in records:
        key, value, offset = record.key, record.value or b"", record.offset
        if key is None:
            marks.append(value)
        else:
            rows.append((keys.row(keys.JOURNAL, key, offset), value))
            adding.add(offset, value)
    return FoldedJournal(
        len(records), records[-1].offset, rows, marks, adding.briefs(), adding.sums()
    )


class _Adding:
    """Adds up the entries of records."""

    def __init__(self) -> None:
        self._hours: dict[str, Periods] = {}
        self._sold: dict[tuple[str, str, str, str], SoldOf] = {}
        self._full: list[NewBrief] = []
        self._open: dict[Whose, tuple[int, list[Fields]]] = {}

    def add(self, offset: int, value: bytes) -> None:
        """Add a record. It runs for each."""
        read = in_brief(value)
        if read is None:
            return
        entry, at_ms, sold_ms, fields = read
        cycle, currency = entry.cycle, entry.currency
        product_id, shop_id = entry.product_id, entry.shop_id
        hours = self._hours.get(cycle)
        if hours is None:
            hours = self._hours[cycle] = {}
        periods.add(hours, currency, entry, at_ms, sold_ms)
        key = shop_id, cycle, product_id, currency
        sold = self._sold.get(key)
        if sold is None:
            sold = self._sold[key] = SoldOf(*key, 0, 0)
        sold.units += entry.units_gross - entry.units_reversed
        sold.amount += entry.amount_gross - entry.amount_reversed
        self._brief(("product_id", product_id, cycle), offset, (*fields, shop_id, sold_ms))
        self._brief(("shop_id", shop_id, cycle), offset, (*fields, product_id, sold_ms))

    def _brief(self, whose: Whose, offset: int, fields: Fields) -> None:
        some = self._open.get(whose)
        if some is None:
            self._open[whose] = offset, [fields]
            return
        some[1].append(fields)
        if len(some[1]) == limits.BRIEF_ENTRIES:
            self._full.append(_encoded(whose, *self._open.pop(whose)))

    def briefs(self) -> list[NewBrief]:
        """All entries in brief; those of an id and cycle in order."""
        return self._full + [_encoded(whose, *some) for whose, some in self._open.items()]

    def sums(self) -> Sums:
        """What was added up."""
        return Sums(self._hours, list(self._sold.values()))


def _encoded(whose: Whose, offset: int, entries: list[Fields]) -> NewBrief:
    return NewBrief(whose, offset, len(entries), encode_entries(entries))
