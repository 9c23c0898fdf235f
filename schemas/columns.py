"""The columns of sales: what a journal row adds to, and what the tables sum.

What a new measure, such as gifts, touches:

- this module: three fields of `SaleColumns`, such as `gifts_gross`, three lines of `plus`, and a
  higher `RULES`;
- `tables/entries.py`: their values in a row, from the line;
- `tables/sales.py`: three fields of `CurrencySums`, such as `gifts_gross`, bounded by its
  `are_possible`, added up by `Tally.change`, answered by `Tally.of_cycle`;
- `tables/periods.py`: the fields in `PeriodSums.include`, and in what adds an entry to them;
  `tables/marketplace.py`: the same in `change`;
- `schemas/answers.py`: a field of `CycleAnswer`;
- `operations/oracle/sales.py`: a count of its own in the recount, from the line as placed.

The rest follows from these: earlier moments, explanations of entries, `netsold get`, `top` and
`journal`, and a reader's store, which is filled anew. The rule itself goes to docs/rules.md, the
version to CHANGELOG.md, and `python -m docs.lists` writes the API's page.
"""

from typing import Final

import msgspec
from msgspec.structs import astuple

RULES: Final = 8
"""Version of the rules (S1-S13, C1-C4, R1-R6) and of the forms of rows; another one is a rebuild.

It rises with every change of what counts, of a row's or an entry's form, and with a new table: its
rows of the past come from a rebuild alone.

8: rows name the terms by which they count; `sold_monthly` has a basis; tables of sales are topics,
and the ends of cycles are sent.
"""

TALLY_VERSION: Final = 2
"""Version of the form of a row of sales; the first element of its bytes."""


class SaleColumns(msgspec.Struct, frozen=True, gc=False, array_like=True):
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


SALE_COLUMNS: Final = SaleColumns.__struct_fields__
"""The names of the columns."""

SUMMED: Final = tuple([name for name in SALE_COLUMNS if name != "orders"])
"""The columns that tables of sales sum, each named MEASURE_SUM, such as `units_gross`."""

ZERO: Final = SaleColumns(**dict.fromkeys(SALE_COLUMNS, 0))
"""No change. A row that changes few columns is made of it by `msgspec.structs.replace`."""


def plus(one: SaleColumns, other: SaleColumns, sign: int = 1) -> SaleColumns:
    """The sum, column by column; the difference if `sign` is -1.

    It runs for each entry. So it names the columns, which is quicker than a loop.
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
    return SaleColumns(*[min(column, 0) for column in astuple(columns)])


def is_higher(columns: SaleColumns) -> bool:
    """Whether a change makes what stayed sold higher: the money, or else the units.

    Where neither changes in the sale's cycle, a refund that is booked makes its own cycle lower.
    """
    money, units = (
        columns.amount_gross - columns.amount_reversed,
        columns.units_gross - columns.units_reversed,
    )
    return (money, units, -columns.amount_booked, -columns.units_booked) > (0, 0, 0, 0)


class MeasureSums(msgspec.Struct, array_like=True, gc=False):
    """The sums of one measure, such as units, or money in one currency."""

    gross: int = 0
    reversed: int = 0
    booked: int = 0

    @property
    def net(self) -> int:
        """What stayed sold (S6)."""
        return self.gross - self.reversed

    @property
    def are_zero(self) -> bool:
        """Whether every sum is zero."""
        return not (self.gross or self.reversed or self.booked)

    def answer(self) -> dict[str, int]:
        """The sums by their names in `SumsAnswer` (schemas/answers.py)."""
        return {
            "gross": self.gross,
            "reversed": self.reversed,
            "net": self.net,
            "reversals_booked": self.booked,
        }

    def include(self, other: "MeasureSums") -> None:
        """Add the sums of another cycle or currency."""
        self.gross += other.gross
        self.reversed += other.reversed
        self.booked += other.booked
