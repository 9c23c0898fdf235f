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
    assert (tally.units, tally.net, tally.restatements) == (MeasureSums(4, 1, 1), 3, 1)
    assert tally.of_cycle()["units_by_currency"] == {
        "CNY": MeasureSums(3, 1, 1).answer(),
        "USD": MeasureSums(1).answer(),
    }
    assert tally.amounts == {"CNY": MeasureSums(3000, 900, 900), "USD": MeasureSums(50)}


def test_a_measure_leaves_out_currencies_that_have_none_of_it() -> None:
    """A line without price has units only, a difference that is booked money only (S9)."""
    tally = Tally()
    add(tally, "USD", amount_booked=5)
    add(tally, "CNY", units_gross=2)
    assert tally.of_cycle() == {
        "units": {"gross": 2, "reversed": 0, "net": 2, "reversals_booked": 0},
        "units_by_currency": {"CNY": {"gross": 2, "reversed": 0, "net": 2, "reversals_booked": 0}},
        "revenue": {"USD": {"gross": 0, "reversed": 0, "net": 0, "reversals_booked": 5}},
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
    """S8: 0 <= reversed <= gross, else the journal was read twice or with a gap.

    Sums of another currency don't make up for it.
    """
    tally = Tally()
    add(tally, "USD", units_gross=9, units_booked=9, amount_gross=9, amount_booked=9)
    with pytest.raises(ImpossibleTallyError, match="CNY"):
        tally.add(msgspec.structs.replace(ZERO, **columns), "CNY", 0)


def test_equal_sums_are_equal_bytes() -> None:
    """Whatever came in which order, and though a currency came and went."""
    one, two = Tally(), Tally()
    add(one, amount_gross=5)
    add(one, "USD", amount_gross=7)
    add(two, "EUR", units_gross=1, amount_gross=1)
    add(two, "USD", amount_gross=7)
    add(two, amount_gross=5)
    add(two, "EUR", units_gross=-1, amount_gross=-1)
    row = b'[2,0,{"CNY":[0,0,0,5,0,0],"USD":[0,0,0,7,0,0]}]'
    assert sales.encode(one) == sales.encode(two) == row
    assert sales.decode(sales.encode(one)) == one


def test_sums_beyond_64_bits_survive() -> None:
    """Totals of all time may grow beyond what other JSON readers take for an integer.

    Ours doesn't lose a cent.
    """
    tally = Tally()
    for _ in range(20):
        add(tally, units_gross=10**18, amount_gross=10**18)
    found = sales.decode(sales.encode(tally))
    assert found.amounts == {"CNY": MeasureSums(20 * 10**18)}
    assert found.of_cycle()["units_by_currency"] == {"CNY": MeasureSums(20 * 10**18).answer()}


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
