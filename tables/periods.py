"""Sums by UTC hour and day of a product, a shop or the marketplace, from journal entries.

Gross and reversed count at the sale's instant, booked at the refund's (S6). So hours add up to
days, and days to cycles. A row has the hours of one day, or some days, of one cycle.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from schemas import limits, times
from schemas.columns import SaleColumns
from tables.brief_entries import BriefEntry
from tables.sales import CurrencySums, Tally

DAY_HOURS: Final = 24
ROW_DAYS: Final = 32
"""The days of one row. A cycle of 30 days touches at most 31 days of UTC, so it has one row."""


class PeriodSums(CurrencySums, array_like=True, gc=False):
    """What was sold in one currency in a period of one cycle.

    `_early` is what refunds until the end of the cycle took off its sales, counted when both sale
    and refund had happened. So gross less it is what stood at the end of any hour of the cycle.
    """

    units_early: int = 0
    amount_early: int = 0

    def include(self, other: "PeriodSums") -> None:
        """Add the sums of another period. It runs for each row, so it names the fields."""
        self.units_gross += other.units_gross
        self.units_reversed += other.units_reversed
        self.units_booked += other.units_booked
        self.amount_gross += other.amount_gross
        self.amount_reversed += other.amount_reversed
        self.amount_booked += other.amount_booked
        self.units_early += other.units_early
        self.amount_early += other.amount_early


Periods = dict[str, dict[int, PeriodSums]]
"""By currency, the sums of hours or days by their number."""

encode: Final[Callable[[Periods], bytes]] = msgspec.json.Encoder().encode
"""Sums of periods → bytes. JSON, as a sum may be larger than 64 bits."""
decode: Final[Callable[[bytes], Periods]] = msgspec.json.Decoder(
    dict[str, dict[int, PeriodSums]]
).decode
"""Bytes → sums of periods; raises msgspec's errors."""


MARKETPLACE: Final = ""
"""In place of the name of an id: everything that was sold."""


def add_entry(hours: Periods, entry: BriefEntry) -> None:
    """Add a journal entry to sums by hour since the epoch."""
    add(hours, entry.currency, entry, entry.at_ms, entry.sold_ms)


def add(
    hours: Periods, currency: str, columns: SaleColumns, at_ms: int, of_sale_ms: int | None
) -> None:
    """As `add_entry`, by the instants of a BriefEntry. It runs for each entry."""
    numbers = hours.get(currency)
    if numbers is None:
        numbers = hours[currency] = {}
    sold_ms = at_ms if of_sale_ms is None else of_sale_ms
    is_booked = columns.units_booked or columns.amount_booked
    if columns.units_gross or columns.amount_gross:
        sums = _sums_at(numbers, sold_ms)
        sums.units_gross += columns.units_gross
        sums.amount_gross += columns.amount_gross
    if columns.units_reversed or columns.amount_reversed:
        sums = _sums_at(numbers, sold_ms)
        sums.units_reversed += columns.units_reversed
        sums.amount_reversed += columns.amount_reversed
        if is_booked or at_ms < sold_ms:  # a row has both if the cycles are the same
            sums = _sums_at(numbers, max(sold_ms, at_ms))
            sums.units_early += columns.units_reversed
            sums.amount_early += columns.amount_reversed
    if is_booked:
        sums = _sums_at(numbers, at_ms)
        sums.units_booked += columns.units_booked
        sums.amount_booked += columns.amount_booked


def _sums_at(numbers: dict[int, PeriodSums], at_ms: int) -> PeriodSums:
    hour = at_ms // times.HOUR_MS
    sums = numbers.get(hour)
    if sums is None:
        sums = numbers[hour] = PeriodSums()
    return sums


def hours_by_day(added: Periods) -> Iterator[tuple[int, int, str, PeriodSums]]:
    """(day since the epoch, hour of the day, currency, sums) of each hour."""
    for currency, hours in added.items():
        for hour, sums in hours.items():
            day, of_day = divmod(hour, DAY_HOURS)
            yield day, of_day, currency, sums


def block_of(day: int, first_day: int) -> tuple[int, int]:
    """(number of a row of days, the day's number in it) in a cycle with this first day."""
    return divmod(day - first_day, ROW_DAYS)


def include(row: Periods, currency: str, number: int, sums: PeriodSums) -> None:
    """Add the sums of one period to a row."""
    numbers = row.get(currency)
    if numbers is None:
        numbers = row[currency] = {}
    before = numbers.get(number)
    if before is None:
        numbers[number] = msgspec.structs.replace(sums)
    else:
        before.include(sums)


def merge(row: Periods, other: Periods) -> None:
    """Add all sums of another row."""
    for currency, numbers in other.items():
        for number, sums in numbers.items():
            include(row, currency, number, sums)


class Net:
    """Adds up net units and, by currency, net amounts, as they stood at some instant of a cycle."""

    __slots__ = ("_amounts", "units")

    def __init__(self) -> None:
        self.units = 0
        self._amounts: dict[str, int] = {}

    def add(self, row: Periods, end: int | None) -> None:
        """Add what was sold in the periods before `end`, or in all if it is None.

        What refunds in them took off it is subtracted.
        """
        for currency, numbers in row.items():
            amount = self._amounts.get(currency, 0)
            for number, sums in numbers.items():
                if end is None or number < end:
                    self.units += sums.units_gross - sums.units_early
                    amount += sums.amount_gross - sums.amount_early
            self._amounts[currency] = amount

    def add_entry(self, entry: BriefEntry, end: int | None) -> None:
        """As `add` of the hours that the entry alone makes. It runs for each entry."""
        sold_ms = entry.at_ms if entry.sold_ms is None else entry.sold_ms
        end_ms = limits.INT64_MAX if end is None else end * times.HOUR_MS
        units = amount = 0
        if sold_ms < end_ms:
            units, amount = entry.units_gross, entry.amount_gross
        is_early = entry.units_booked or entry.amount_booked or entry.at_ms < sold_ms
        if is_early and max(sold_ms, entry.at_ms) < end_ms:
            units -= entry.units_reversed
            amount -= entry.amount_reversed
        self.units += units
        self._amounts[entry.currency] = self._amounts.get(entry.currency, 0) + amount

    def answer(self) -> dict[str, Any]:
        """The fields of `NetSums` (schemas/shown_answers.py)."""
        return {"units": self.units, "revenue": self.revenue()}

    def revenue(self) -> dict[str, int]:
        """The amounts that are not zero, by currency in order."""
        return {currency: amount for currency, amount in sorted(self._amounts.items()) if amount}


def by_day(hours: Periods) -> Periods:
    """The sums of days since the epoch, from those of hours since the epoch."""
    found: Periods = {}
    for day, _, currency, sums in hours_by_day(hours):
        include(found, currency, day, sums)
    return found


def tallies(row: Periods) -> dict[int, Tally]:
    """The sums of each period, as those of a cycle are."""
    found: dict[int, Tally] = {}
    for currency, numbers in row.items():
        for number, sums in numbers.items():
            tally = found.get(number)
            if tally is None:
                tally = found[number] = Tally()
            tally.currencies[currency] = sums
    return found
