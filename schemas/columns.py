"""The columns of sales: what a journal row adds to, and what the tables sum.

A new column is a field of `SaleColumns` and a line of `plus`. Besides, it touches
`tables/entries.py`, which gives it its value in a row, `tables/sales.py`, which sums it in the
tables, and `journal.RULES`, as entries and tables get another form. To be shown it needs a field in
`schemas/answers.py` and a value in `tables/report.py`.
"""

from typing import Final

import msgspec

from schemas.answers import SumsAnswer

TALLY_VERSION: Final = 1
"""The first element of a row's bytes. Nothing reads it: a store with rows of another form has
another `journal.RULES`, and is refused as a whole."""


class SaleColumns(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """Signed changes of units, of money in minor units of one currency, and of orders.

    `_gross` is what was sold. `_reversed` is what refunds took off the sales of a cycle, whenever
    they happened (basis sale). `_booked` is what refunds took off in a cycle, of whatever sale
    (basis refund) (S6).
    """

    units_gross: int
    units_reversed: int
    units_booked: int
    amount_gross: int
    amount_reversed: int
    amount_booked: int
    orders: int
    """Orders with a sale of one buyer; an order counts in one line of one cycle (R6)."""


_NAMES: Final = SaleColumns.__struct_fields__

ZERO: Final = SaleColumns(**dict.fromkeys(_NAMES, 0))
"""No change. A row that changes few columns is made of it by `msgspec.structs.replace`."""


def plus(one: SaleColumns, other: SaleColumns, sign: int = 1) -> SaleColumns:
    """The sum, column by column; the difference if `sign` is -1.

    It runs for each entry. So it names the columns, which is quicker than a loop over `_NAMES`.
    """
    return SaleColumns(
        units_gross=one.units_gross + sign * other.units_gross,
        units_reversed=one.units_reversed + sign * other.units_reversed,
        units_booked=one.units_booked + sign * other.units_booked,
        amount_gross=one.amount_gross + sign * other.amount_gross,
        amount_reversed=one.amount_reversed + sign * other.amount_reversed,
        amount_booked=one.amount_booked + sign * other.amount_booked,
        orders=one.orders + sign * other.orders,
    )


def decrease(columns: SaleColumns) -> SaleColumns:
    """The columns that are below zero; zero for the others."""
    return SaleColumns(**{name: min(getattr(columns, name), 0) for name in _NAMES})


_ANSWERED: Final = tuple(SumsAnswer.model_fields)
"""The names of sums in answers."""


class _Sums:
    """The sums of one measure, such as units: what `UnitSums` and `MeasureSums` share."""

    __slots__ = ()
    gross: int
    reversed: int
    booked: int

    @property
    def net(self) -> int:
        """What stayed sold (S6)."""
        return self.gross - self.reversed

    @property
    def are_zero(self) -> bool:
        """Whether every sum is zero."""
        return not (self.gross or self.reversed or self.booked)

    @property
    def reversals_booked(self) -> int:
        """`booked` by its name in answers."""
        return self.booked

    def answer(self) -> dict[str, int]:
        """The sums by the names that answers have for them."""
        return {name: getattr(self, name) for name in _ANSWERED}


class UnitSums(_Sums, msgspec.Struct, array_like=True, gc=False):
    """The sums of units; a row of a sales table begins with them."""

    version: int = TALLY_VERSION
    gross: int = 0
    reversed: int = 0
    booked: int = 0

    def include(self, other: "UnitSums") -> None:
        """Add the sums of another cycle."""
        self.gross += other.gross
        self.reversed += other.reversed
        self.booked += other.booked

    def of_cycle(self) -> dict[str, dict[str, int]]:
        """The sums of a cycle by their fields in its answer (schemas/answers.py)."""
        return {"units": self.answer()}

    def of_all_time(self) -> dict[str, int]:
        """What an answer has of these sums as those of all time (C4)."""
        return {"successfully_traded": self.net}


class MeasureSums(_Sums, msgspec.Struct, array_like=True, gc=False):
    """The sums of another measure within a row, such as money in one currency."""

    gross: int = 0
    reversed: int = 0
    booked: int = 0
