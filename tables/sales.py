"""Tally: the sums of journal entries by the id and cycle of a table's key (C4)."""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from schemas.columns import TALLY_VERSION, MeasureSums, SaleColumns
from tables.formats import reader

Basis = Literal["sale", "refund"]
"""In which cycle a refund takes units off: in that of its sale, or in the one in which it happened
(S6)."""


class ImpossibleTallyError(Exception):
    """A sum left its bounds: the journal was read twice, or with a gap.

    The rules exclude it, so the stage must stop before it writes.
    """


class CurrencySums(msgspec.Struct, array_like=True, gc=False):
    """What was sold in one currency: units, and amounts in its minor units (S3)."""

    units_gross: int = 0
    units_reversed: int = 0
    units_booked: int = 0
    amount_gross: int = 0
    amount_reversed: int = 0
    amount_booked: int = 0

    @property
    def units(self) -> MeasureSums:
        """The sums of units."""
        return MeasureSums(self.units_gross, self.units_reversed, self.units_booked)

    @property
    def amount(self) -> MeasureSums:
        """The sums of money."""
        return MeasureSums(self.amount_gross, self.amount_reversed, self.amount_booked)

    @property
    def are_possible(self) -> bool:
        """Whether 0 <= reversed <= gross and 0 <= booked, of units and of money (S8)."""
        return (
            0 <= self.units_reversed <= self.units_gross
            and self.units_booked >= 0
            and 0 <= self.amount_reversed <= self.amount_gross
            and self.amount_booked >= 0
        )


_NO_SUMS: Final = CurrencySums()


class Tally(msgspec.Struct, array_like=True, gc=False):
    """The sums of each currency. Units of all currencies together are derived from them.

    `restatements` counts entries of a cycle that had ended (C3). It depends on the order of the
    log; the sums don't (S12).
    """

    version: Literal[2] = TALLY_VERSION
    restatements: int = 0
    currencies: dict[str, CurrencySums] = msgspec.field(default_factory=dict)

    @property
    def holds_anything(self) -> bool:
        """Whether any sum isn't zero."""
        return bool(self.currencies)

    @property
    def net(self) -> int:
        """Net units of all currencies. It runs for each changed row of a reader."""
        net = 0
        for sums in self.currencies.values():
            net += sums.units_gross - sums.units_reversed
        return net

    def sold_monthly(self, basis: Basis) -> int:
        """The units that a cycle shows as sold (S6).

        By refund it is below zero where more of earlier sales came back than was sold.
        """
        if basis == "sale":
            return self.net
        return sum(sums.units_gross - sums.units_booked for sums in self.currencies.values())

    @property
    def units(self) -> MeasureSums:
        """The sums of units of all currencies."""
        total = MeasureSums()
        for sums in self.currencies.values():
            total.include(sums.units)
        return total

    @property
    def amounts(self) -> dict[str, MeasureSums]:
        """The sums of money of each currency that has any, sorted."""
        found = {currency: sums.amount for currency, sums in sorted(self.currencies.items())}
        return {currency: sums for currency, sums in found.items() if not sums.are_zero}

    def of_cycle(self) -> dict[str, Any]:
        """The sums of a cycle by their fields in its answer (schemas/answers.py).

        It runs for each answer and each period of one.
        """
        total = MeasureSums()
        units_by_currency, revenue = {}, {}
        for currency, sums in sorted(self.currencies.items()):
            units, amount = sums.units, sums.amount
            total.include(units)
            if not units.are_zero:
                units_by_currency[currency] = units.answer()
            if not amount.are_zero:
                revenue[currency] = amount.answer()
        return {
            "units": total.answer(),
            "units_by_currency": units_by_currency,
            "revenue": revenue,
        }

    def add(self, columns: SaleColumns, currency: str, restates: int) -> None:
        """Add an entry, or the sum of some of which `restates` restate.

        ImpossibleTallyError unless the sums are possible afterwards.
        """
        sums = self.change(columns, currency)
        self.restatements += restates
        if not sums.are_possible:
            raise ImpossibleTallyError(
                "0 <= reversed <= gross and 0 <= booked don't hold in "
                f"{self} after {columns} {currency}"
            )
        if sums == _NO_SUMS:
            del self.currencies[currency]  # equal sums give equal bytes

    def change(self, columns: SaleColumns, currency: str) -> CurrencySums:
        """Add changes, whatever the sums become; the sums of their currency.

        It runs for each entry. So it names the columns, which is quicker than a loop.
        """
        sums = self.currencies.get(currency)
        if sums is None:
            sums = self.currencies[currency] = CurrencySums()
        sums.units_gross += columns.units_gross
        sums.units_reversed += columns.units_reversed
        sums.units_booked += columns.units_booked
        sums.amount_gross += columns.amount_gross
        sums.amount_reversed += columns.amount_reversed
        sums.amount_booked += columns.amount_booked
        return sums


encode: Final[Callable[[Tally], bytes]] = msgspec.json.Encoder(order="deterministic").encode
"""Tally → bytes; equal sums give equal bytes."""
decode: Final[Callable[[bytes], Tally]] = reader(
    "sales", TALLY_VERSION, msgspec.json.Decoder(Tally).decode
)
"""Bytes → Tally; raises as `formats.reader`."""
