"""Tally: the sums of journal entries by the id and cycle of a table's key (C4)."""

from collections.abc import Callable
from typing import Final

import msgspec

from schemas.columns import MeasureSums, SaleColumns, UnitSums

_NO_SUMS: Final = MeasureSums()


class ImpossibleTallyError(Exception):
    """A sum left its bounds: the journal was read twice, or with a gap.

    The rules exclude it, so the stage must stop before it writes.
    """


class Tally(UnitSums, array_like=True, gc=False):
    """Units and, by currency, amounts in minor units.

    `restatements` counts entries of a cycle that had ended (C3). It depends on the order of the
    log; the sums don't (S12).
    """

    restatements: int = 0
    amounts: dict[str, MeasureSums] = msgspec.field(default_factory=dict)

    @property
    def holds_anything(self) -> bool:
        """Whether any sum isn't zero."""
        return bool(self.amounts) or not self.are_zero

    def add(self, columns: SaleColumns, currency: str, restates: int) -> None:
        """Add an entry, or the sum of some of which `restates` restate.

        ImpossibleTallyError unless 0 <= reversed <= gross and 0 <= booked afterwards (S8).
        """
        self.gross = gross = self.gross + columns.units_gross
        self.reversed = reversed_ = self.reversed + columns.units_reversed
        self.booked = booked = self.booked + columns.units_booked
        units_are_possible = 0 <= reversed_ <= gross and booked >= 0
        self.restatements += restates
        amounts = self.amounts.get(currency)
        if amounts is None:
            amounts = self.amounts[currency] = MeasureSums()
        amounts.gross = gross = amounts.gross + columns.amount_gross
        amounts.reversed = reversed_ = amounts.reversed + columns.amount_reversed
        amounts.booked = booked = amounts.booked + columns.amount_booked
        if not (units_are_possible and 0 <= reversed_ <= gross and booked >= 0):
            raise ImpossibleTallyError(
                "0 <= reversed <= gross and 0 <= booked don't hold in "
                f"{self} after {columns} {currency}"
            )
        if amounts == _NO_SUMS:
            del self.amounts[currency]  # equal sums give equal bytes


encode: Final[Callable[[Tally], bytes]] = msgspec.json.Encoder(order="deterministic").encode
"""Tally → bytes; equal sums give equal bytes."""
decode: Final[Callable[[bytes], Tally]] = msgspec.json.Decoder(Tally).decode
"""Bytes → Tally; raises msgspec's errors."""
