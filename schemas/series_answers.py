"""What a reader answers about time: cycles, series by cycle, by day and by hour, and all sales."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.answers import CycleSpan, Freshness, MoneyAnswer, UnitsAnswer
from schemas.shown_answers import SamePoint


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PeriodAnswer(_Form):
    """What was sold in a period: units, and by currency units and money in its minor units.

    Gross and reversed count when the goods were received (basis sale), reversals booked when their
    refund succeeded (basis refund). A currency without any is left out.
    """

    units: UnitsAnswer
    units_by_currency: dict[str, UnitsAnswer]
    revenue: dict[str, MoneyAnswer]


class CyclePoint(PeriodAnswer):
    """A cycle of a series; zeros where nothing was sold.

    `restatements` counts the entries that changed it after it had ended (C3).
    """

    cycle: CycleSpan
    current: bool
    restatements: int


class CycleSeries(_Form):
    """Successive cycles, oldest first; the last one is the current cycle."""

    items: list[CyclePoint]
    freshness: Freshness


class Period(PeriodAnswer):
    """An hour or a day of a series, by its start; zeros where nothing was sold."""

    start: str


class PeriodSeries(_Form):
    """Successive hours or days of UTC, oldest first: all that `[start, end)` has an instant of."""

    step: Literal["hour", "day"]
    zone: Literal["UTC"]
    start: str
    end: str
    items: list[Period]
    freshness: Freshness


class _OfProduct(_Form):
    product_id: str


class _OfShop(_Form):
    shop_id: str


class ProductCycles(CycleSeries, _OfProduct):
    """Cycles of a product."""


class ShopCycles(CycleSeries, _OfShop):
    """Cycles of a shop."""


class ProductPeriods(PeriodSeries, _OfProduct):
    """Hours or days of a product."""


class ShopPeriods(PeriodSeries, _OfShop):
    """Hours or days of a shop."""


class CurrentCycle(_Form):
    """The current cycle, and how far through it the event time of the tables is.

    `share` is from 0 to 1, in thousandths. `remaining_seconds` is until its end.
    """

    cycle: CycleSpan
    share: float
    remaining_seconds: int


class KnownCycle(_Form):
    """A cycle in which something was sold, or a refund was booked."""

    cycle: CycleSpan
    current: bool


class CyclesPage(_Form):
    """A page of the cycles that the tables have, newest first, and the current cycle."""

    current: CurrentCycle
    items: list[KnownCycle]
    next_cursor: str | None
    freshness: Freshness


class MarketplaceAnswer(PeriodAnswer):
    """The sums of all products in a cycle, and of all time.

    `products` and `shops` are how many have net units in the cycle. `same_point` compares it with
    the cycle before; null while that is not known.
    """

    cycle: CycleSpan
    current: bool
    restatements: int
    products: int
    shops: int
    all_time: PeriodAnswer
    same_point: SamePoint | None
    freshness: Freshness
