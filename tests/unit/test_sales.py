"""Columns and tallies: sums with bounds."""

import msgspec
import pytest

from schemas.columns import ZERO, MeasureSums, SaleColumns, decrease, plus
from tables import sales
from tables.sales import ImpossibleTallyError, Tally


def add(tally: Tally, currency: str = "CNY", *, restates: bool = False, **columns: int) -> None:
    """Add an entry that changes only these columns."""
    tally.add(msgspec.structs.replace(ZERO, **columns), currency, restates)


def test_columns_add_up() -> None:
    """Units, and money per currency, each for itself; restatements are counted."""
    tally = Tally()
    add(tally, units_gross=3, amount_gross=3000)
    add(
        tally,
        units_reversed=1,
        units_booked=1,
        amount_reversed=900,
        amount_booked=900,
        restates=True,
    )
    add(tally, "USD", units_gross=1, amount_gross=50)
    assert (tally.gross, tally.reversed, tally.net, tally.booked, tally.restatements) == (
        4,
        1,
        3,
        1,
        1,
    )
    assert tally.amounts == {
        "CNY": MeasureSums(3000, 900, 900),
        "USD": MeasureSums(50, 0, 0),
    }


@pytest.mark.parametrize(
    "columns",
    [
        {"units_gross": -1},
        {"units_reversed": 1},
        {"units_booked": -1},
        {"amount_gross": -1},
        {"amount_reversed": 1},
        {"amount_booked": -1},
        {"units_reversed": -1, "units_gross": 1},
        {"amount_reversed": -1, "amount_gross": 1},
    ],
)
def test_a_sum_out_of_bounds_is_a_loud_stop(columns: dict[str, int]) -> None:
    """S8: 0 <= reversed <= gross; if it doesn't hold the journal was read twice or with a hole."""
    with pytest.raises(ImpossibleTallyError, match="CNY"):
        Tally().add(msgspec.structs.replace(ZERO, **columns), "CNY", 0)


def test_equal_sums_are_equal_bytes() -> None:
    """Whatever came in which order, and though a currency came and went."""
    one, two = Tally(), Tally()
    add(one, amount_gross=5)
    add(one, "USD", amount_gross=7)
    add(two, "EUR", amount_gross=1)
    add(two, "USD", amount_gross=7)
    add(two, amount_gross=5)
    add(two, "EUR", amount_gross=-1)
    assert sales.encode(one) == sales.encode(two) == b'[1,0,0,0,0,{"CNY":[5,0,0],"USD":[7,0,0]}]'
    assert sales.decode(sales.encode(one)) == one


def test_sums_beyond_64_bits_survive() -> None:
    """Totals of all time may grow beyond what other JSON readers take for an integer.

    Ours doesn't lose a cent.
    """
    tally = Tally()
    for _ in range(20):
        add(tally, amount_gross=10**18)
    assert sales.decode(sales.encode(tally)).amounts == {"CNY": MeasureSums(20 * 10**18)}


COLUMNS = SaleColumns.__struct_fields__


def test_columns_are_added_and_subtracted_each_for_itself() -> None:
    """A function that names the columns does the same as a loop over all names."""
    one = SaleColumns(**{name: 2**number for number, name in enumerate(COLUMNS)})
    two = SaleColumns(**{name: 3**number for number, name in enumerate(COLUMNS)})
    for name in COLUMNS:
        assert getattr(plus(one, two), name) == getattr(one, name) + getattr(two, name)
        assert getattr(plus(one, two, -1), name) == getattr(one, name) - getattr(two, name)
        assert getattr(decrease(plus(two, one, -1)), name) == min(
            getattr(plus(two, one, -1), name), 0
        )
        assert getattr(ZERO, name) == 0
    assert plus(one, one, -1) == ZERO
