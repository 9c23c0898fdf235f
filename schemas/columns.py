"""The columns of sales: what a journal row adds to, and what the tables sum.

A new column is one more line in each class and method of this module that names them all.
"""

from typing import Final

import msgspec

from schemas.answers import SumsAnswer

TALLY_VERSION: Final = 1
"""Version of the form of a table's sums; the first element of a row's bytes."""


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

    def plus(self, other: "SaleColumns") -> "SaleColumns":
        """The sum, column by column."""
        return SaleColumns(
            units_gross=self.units_gross + other.units_gross,
            units_reversed=self.units_reversed + other.units_reversed,
            units_booked=self.units_booked + other.units_booked,
            amount_gross=self.amount_gross + other.amount_gross,
            amount_reversed=self.amount_reversed + other.amount_reversed,
            amount_booked=self.amount_booked + other.amount_booked,
            orders=self.orders + other.orders,
        )

    def minus(self, other: "SaleColumns") -> "SaleColumns":
        """The difference, column by column."""
        return SaleColumns(
            units_gross=self.units_gross - other.units_gross,
            units_reversed=self.units_reversed - other.units_reversed,
            units_booked=self.units_booked - other.units_booked,
            amount_gross=self.amount_gross - other.amount_gross,
            amount_reversed=self.amount_reversed - other.amount_reversed,
            amount_booked=self.amount_booked - other.amount_booked,
            orders=self.orders - other.orders,
        )

    @property
    def decrease(self) -> "SaleColumns":
        """The columns that are below zero; zero for the others."""
        return SaleColumns(
            units_gross=min(self.units_gross, 0),
            units_reversed=min(self.units_reversed, 0),
            units_booked=min(self.units_booked, 0),
            amount_gross=min(self.amount_gross, 0),
            amount_reversed=min(self.amount_reversed, 0),
            amount_booked=min(self.amount_booked, 0),
            orders=min(self.orders, 0),
        )

    @property
    def is_zero(self) -> bool:
        """Whether no column changes."""
        return not (
            self.units_gross
            or self.units_reversed
            or self.units_booked
            or self.amount_gross
            or self.amount_reversed
            or self.amount_booked
            or self.orders
        )


ZERO: Final = SaleColumns(
    units_gross=0,
    units_reversed=0,
    units_booked=0,
    amount_gross=0,
    amount_reversed=0,
    amount_booked=0,
    orders=0,
)


_ANSWERED: Final = tuple(SumsAnswer.model_fields)
"""The names of sums in answers."""


class _Sums:
    """The sums of one measure: what `UnitSums` and `AmountSums` share."""

    __slots__ = ()
    gross: int
    reversed: int
    booked: int

    @property
    def net(self) -> int:
        """What stayed sold (S6)."""
        return self.gross - self.reversed

    @property
    def are_possible(self) -> bool:
        """S8: whether refunds took at most what was sold, and never less than nothing."""
        return 0 <= self.reversed <= self.gross and self.booked >= 0

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
    """The sums of the columns of units; a row of a sales table begins with them."""

    version: int = TALLY_VERSION
    gross: int = 0
    reversed: int = 0
    booked: int = 0

    def add_units(self, columns: SaleColumns) -> None:
        """Add the columns of units."""
        self.gross += columns.units_gross
        self.reversed += columns.units_reversed
        self.booked += columns.units_booked

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


class AmountSums(_Sums, msgspec.Struct, array_like=True, gc=False):
    """The sums of the columns of money in one currency."""

    gross: int = 0
    reversed: int = 0
    booked: int = 0

    def add_amount(self, columns: SaleColumns) -> None:
        """Add the columns of money."""
        self.gross += columns.amount_gross
        self.reversed += columns.amount_reversed
        self.booked += columns.amount_booked
