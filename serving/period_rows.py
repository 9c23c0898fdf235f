"""Writes sums by hour and by day to the store.

The marketplace's are written with each step. Of products and shops the entries in brief are enough
while they are few. Once an id may have many that its rows don't include (`limits.LOOSE_ENTRIES`),
they are added to its rows, and the store has how far. So an id that sells rarely costs nothing
here, and an answer never adds up many entries (decision 48).
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from schemas import limits, times
from serving import series_keys
from serving.loose_entries import loose
from serving.progress import SALES_JOURNAL
from tables import periods
from tables.brief_entries import decode_entries
from tables.catalogue import PRODUCT_CYCLES
from tables.periods import MARKETPLACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rocksdict import WriteBatch

    from serving.folded_journal import NewBrief, Whose
    from serving.progress import ReaderProgress
    from serving.store import Snapshot, Store
    from tables.cycles import Calendar
    from tables.periods import Periods

NewEntries = tuple[tuple[int, int], bytes]
"""One value of entries in brief: (partition, offset of the first one), the value."""


class PeriodRows:
    """Collects what a step of the journal adds, and puts it into a batch.

    Hours are kept for `limits.HOURS_DAYS`, and for as long as the same point of the cycle before
    needs them.
    """

    def __init__(self, store: Store, calendar: Calendar) -> None:
        self._store = store
        self._calendar = calendar
        self._kept_days = max(limits.HOURS_DAYS + 1, calendar.length_ms // times.DAY_MS + 2)
        self._hours_from = first_hours_day(store.snapshot())
        self._marketplace: dict[str, Periods] = {}
        # Not from zero: a reader that starts often would never add an id that sells between.
        self._counts = [
            begin * limits.LOOSE_ENTRIES // 256 for begin in os.urandom(limits.LOOSE_COUNTERS)
        ]
        self._new: defaultdict[Whose, list[NewEntries]] = defaultdict(list)
        self._due: list[Whose] = []

    def add(self, hours: Mapping[str, Periods]) -> None:
        """Add to the marketplace's hours, by cycle."""
        for cycle, some in hours.items():
            periods.merge(self._marketplace.setdefault(cycle, {}), some)

    def count(self, partition: int, new: NewBrief) -> None:
        """Count new entries in brief of an id in a cycle, of one partition of the journal.

        Several ids share a counter, so memory is bounded: the one with most entries is nearly
        always the one that fills it.
        """
        whose = new.whose
        self._new[whose].append(((partition, new.offset), new.value))
        place = hash(whose) % limits.LOOSE_COUNTERS
        count = self._counts[place] + new.entries
        if count >= limits.LOOSE_ENTRIES:
            self._due.append(whose)
            count = 0
        self._counts[place] = count

    def put(self, batch: WriteBatch, event_ms: int | None) -> bool:
        """Put what was collected since the last call; `event_ms` is event time (`event_time`).

        Returns whether old hours were dropped.
        """
        hours_from = self._hours_from
        self._drop_old_hours(batch, event_ms)
        rows: dict[bytes, Periods] = {}
        for cycle, hours in self._marketplace.items():
            self._collect(rows, (MARKETPLACE, b"", self._calendar.start_of_iso(cycle)), hours)
        self._marketplace = {}
        if self._due:
            snapshot = self._store.snapshot()
            for keyed_by, id_, cycle in dict.fromkeys(self._due):
                of = keyed_by, id_.encode(), self._calendar.start_of_iso(cycle)
                new = self._new[keyed_by, id_, cycle]
                self._collect(rows, of, _add_loose(batch, snapshot, of, new))
            self._due = []
        self._new.clear()
        if rows:
            for (key, row), before in zip(
                rows.items(), self._store.get_many(list(rows)), strict=True
            ):
                if before is not None:
                    periods.merge(row, periods.decode(before))
                batch.put(key, periods.encode(row))
        return self._hours_from != hours_from

    def _collect(
        self, rows: dict[bytes, Periods], of: tuple[str, bytes, int], hours: Periods
    ) -> None:
        """Sort the hours of an id in a cycle into the rows that they belong to."""
        first_day = of[2] // times.DAY_MS
        days = series_keys.days(*of)
        for day, hour, currency, sums in periods.hours_by_day(hours):
            block, number = periods.block_of(day, first_day)
            key = series_keys.days_row(days, block)
            periods.include(rows.setdefault(key, {}), currency, number, sums)
            if day >= self._hours_from:
                key = series_keys.hours_row(*of, day)
                periods.include(rows.setdefault(key, {}), currency, hour, sums)

    def _drop_old_hours(self, batch: WriteBatch, event_ms: int | None) -> None:
        if event_ms is None:
            return
        first = event_ms // times.DAY_MS - self._kept_days
        if first > self._hours_from:
            batch.delete_range(
                series_keys.hours_from(self._hours_from), series_keys.hours_from(first)
            )
            batch.put(series_keys.HOURS_FROM, b"%d" % first)
            self._hours_from = first


def _add_loose(
    batch: WriteBatch, snapshot: Snapshot, of: tuple[str, bytes, int], new: list[NewEntries]
) -> Periods:
    """The hours of an id's loose entries, and of this step's, which the snapshot doesn't have.

    In the batch they are loose no longer.
    """
    hours, included = loose(snapshot, *of)
    for (partition, offset), value in new:
        for entry in decode_entries(value):
            periods.add_entry(hours, entry)
        included[partition] = offset
    batch.put(series_keys.added(*of), msgspec.json.encode(included))
    return hours


def event_time(progress: ReaderProgress) -> int | None:
    """The instant through which either the tables or the journal are complete, the later one."""
    known = [progress.of(name).through_ms for name in (PRODUCT_CYCLES.name, SALES_JOURNAL)]
    return max((one for one in known if one is not None), default=None)


def first_hours_day(snapshot: Snapshot) -> int:
    """The first day since the epoch whose hours are kept."""
    value = snapshot.get(series_keys.HOURS_FROM)
    return limits.OCCURRED_FIRST_MS // times.DAY_MS if value is None else int(value)
