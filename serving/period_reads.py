"""Reads sums by hour and by day of a product, a shop or the marketplace from a snapshot.

They are the rows of the store and, of products and shops, the loose entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import times
from serving import keys, series_keys
from serving.loose_entries import has_added, loose
from tables import periods
from tables.brief_entries import decode_entries
from tables.periods import DAY_HOURS, MARKETPLACE, ROW_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.store import Snapshot
    from tables.cycles import Calendar
    from tables.periods import Net, Periods
    from tables.sales import Tally

Of = tuple[str, bytes, int]
"""The name of an id, the id, and the start of a cycle; the marketplace has the empty id."""


class PeriodReads:
    """Reads periods of one id, or of the marketplace; periods without sales may be missing."""

    def __init__(self, snapshot: Snapshot, calendar: Calendar, keyed_by: str, id_: bytes) -> None:
        self._snapshot = snapshot
        self._calendar = calendar
        self._whose = keyed_by, id_

    def hours(self, first: int, end: int) -> dict[int, Tally]:
        """The sums of the hours `[first, end)` since the epoch."""
        found: Periods = {}
        first_ms, end_ms = first * times.HOUR_MS, end * times.HOUR_MS
        for of in self._cycles(first_ms, end_ms):
            from_ms, until_ms = max(of[2], first_ms), min(self._calendar.end_of(of[2]), end_ms)
            for day in range(from_ms // times.DAY_MS, (until_ms - 1) // times.DAY_MS + 1):
                _include(found, _hours_row(self._snapshot, of, day), day * DAY_HOURS, (first, end))
            _include(found, loose(self._snapshot, *of).hours, 0, (first, end))
        return periods.tallies(found)

    def days(self, first: int, end: int) -> dict[int, Tally]:
        """The sums of the days `[first, end)` since the epoch."""
        found: Periods = {}
        for of in self._cycles(first * times.DAY_MS, end * times.DAY_MS):
            for first_day, row in _days_rows(self._snapshot, of):
                _include(found, row, first_day, (first, end))
            by_day = periods.by_day(loose(self._snapshot, *of).hours)
            _include(found, by_day, 0, (first, end))
        return periods.tallies(found)

    def _cycles(self, first_ms: int, end_ms: int) -> Iterator[Of]:
        """The cycles that have an instant of `[first_ms, end_ms)`."""
        calendar = self._calendar
        for start_ms in range(calendar.start_of(first_ms), end_ms, calendar.length_ms):
            yield *self._whose, start_ms


def nets_until(
    snapshot: Snapshot, of: Of, length_ms: int, end_hours: tuple[int | None, int | None]
) -> tuple[Net, Net]:
    """What stood in the cycle before one, and in this one, at hours since the epoch.

    At the cycle's end where that is None. It is what was sold until then, less what refunds until
    then took off that. `length_ms` is that of a cycle.

    Most ids have loose entries alone, and those of both cycles stand together.
    """
    last = of[0], of[1], of[2] - length_ms
    if of[0] == MARKETPLACE or has_added(snapshot, last, of):
        return _net_until(snapshot, last, end_hours[0]), _net_until(snapshot, of, end_hours[1])
    nets = periods.Net(), periods.Net()
    first, middle = keys.brief(*last), keys.brief(*of)
    for key, value in snapshot.between(first, keys.brief(*of[:2], of[2] + 1)):
        is_this = key >= middle
        for entry in decode_entries(value):
            nets[is_this].add_entry(entry, end_hours[is_this])
    return nets


def _net_until(snapshot: Snapshot, of: Of, end_hour: int | None) -> Net:
    """What stood in a cycle at an hour since the epoch, or at its end if None."""
    net = periods.Net()
    end_day, end_of_day = (None, 0) if end_hour is None else divmod(end_hour, DAY_HOURS)
    for first_day, row in _days_rows(snapshot, of):
        net.add(row, None if end_day is None else end_day - first_day)
    if end_day is not None and end_of_day:
        net.add(_hours_row(snapshot, of, end_day), end_of_day)
    net.add(loose(snapshot, *of).hours, end_hour)
    return net


def _days_rows(snapshot: Snapshot, of: Of) -> Iterator[tuple[int, Periods]]:
    """(first day since the epoch, sums by number from there) of each row of days of a cycle."""
    first_day = of[2] // times.DAY_MS
    for key, value in snapshot.walk(series_keys.days(*of)):
        yield first_day + key[-1] * ROW_DAYS, periods.decode(value)


def _hours_row(snapshot: Snapshot, of: Of, day: int) -> Periods:
    value = snapshot.get(series_keys.hours_row(*of, day))
    return {} if value is None else periods.decode(value)


def _include(found: Periods, row: Periods, base: int, span: tuple[int, int]) -> None:
    """Add the periods of a row that are in `[first, end)`; their numbers are from `base`."""
    first, end = span
    for currency, numbers in row.items():
        for number, sums in numbers.items():
            if first <= base + number < end:
                periods.include(found, currency, base + number, sums)
