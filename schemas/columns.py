"""The columns of sales: what a journal row adds to, and what the tables sum.

A new column is a field of `SaleColumns`. Besides, it touches `tables/entries.py`, which gives it
its value in each row, `tables/sales.py`, which sums it in the tables' rows, and
`journal.RULES`, as rows and entries get another form. It is shown by a field of
`schemas/answers.py` and by `tables/report.py`.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

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


def _column_by_column(value: str) -> Callable[..., SaleColumns]:
    """A function of `one` and `other`; `value` is the source text of a column, `{0}` its name.

    Compiled with all columns by name, it takes a sixth of the time of a loop over the names:
    `python -m timeit -s "$SETUP" "plus(ZERO, ZERO)"`.
    """
    columns = ", ".join(f"{name}={value.format(name)}" for name in _NAMES)
    names: dict[str, Any] = {"SaleColumns": SaleColumns}
    made: Callable[..., SaleColumns] = eval(  # noqa: S307 - of the texts below alone
        f"lambda one, other: SaleColumns({columns})", names
    )
    return made


plus: Final[Callable[[SaleColumns, SaleColumns], SaleColumns]] = _column_by_column(
    "one.{0} + other.{0}"
)
"""The sum, column by column."""
minus: Final[Callable[[SaleColumns, SaleColumns], SaleColumns]] = _column_by_column(
    "one.{0} - other.{0}"
)
"""The difference, column by column."""


def decrease(columns: SaleColumns) -> SaleColumns:
    """The columns that are below zero; zero for the others."""
    return SaleColumns(**{name: min(getattr(columns, name), 0) for name in _NAMES})


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
    def are_possible(self) -> bool:
        """S8: whether refunds took at most what was sold, and never less than nothing."""
        return 0 <= self.reversed <= self.gross and self.booked >= 0

    @property
    def are_zero(self) -> bool:
        """Whether every sum is zero."""
        return not (self.gross or self.reversed or self.booked)

    def change(self, gross: int, reversed: int, booked: int) -> None:  # noqa: A002 - as the field
        """Add signed changes."""
        self.gross += gross
        self.reversed += reversed
        self.booked += booked

    def answer(self) -> dict[str, int]:
        """The sums by their names in answers (schemas/answers.py)."""
        return {
            "gross": self.gross,
            "reversed": self.reversed,
            "net": self.net,
            "reversals_booked": self.booked,
        }


class UnitSums(_Sums, msgspec.Struct, array_like=True, gc=False):
    """The sums of units; a row of a sales table begins with them."""

    version: int = TALLY_VERSION
    gross: int = 0
    reversed: int = 0
    booked: int = 0


class MeasureSums(_Sums, msgspec.Struct, array_like=True, gc=False):
    """The sums of another measure within a row, such as money in one currency."""

    gross: int = 0
    reversed: int = 0
    booked: int = 0
