"""What API and command line answer: integers only, money in minor units by currency, times in ISO 8601."""

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CycleSpan(_Answer):
    """A cycle: `[start, end)`, ISO 8601 with zone."""

    start: str
    end: str


class UnitsAnswer(_Answer):
    """Units in a cycle: `reversed` of this cycle's sales whenever (basis sale), `reversals_booked` in this cycle of whatever sale
    (basis refund); net = gross - reversed (S6).
    """  # noqa: D205

    gross: int
    reversed: int
    net: int
    reversals_booked: int


class MoneyAnswer(UnitsAnswer):
    """The same of money, in minor units of one currency."""


class CycleAnswer(_Answer):
    """What was sold in one cycle; `sold_monthly` is its net units, `successfully_traded` the net units of all time (C4)."""

    cycle: CycleSpan
    units: UnitsAnswer
    revenue: dict[str, MoneyAnswer]
    sold_monthly: int
    successfully_traded: int


class ProductAnswer(CycleAnswer):
    """A product in a cycle."""

    product_id: str


class ShopAnswer(CycleAnswer):
    """A shop in a cycle."""

    shop_id: str
