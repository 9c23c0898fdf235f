"""What API and command line answer: integers only, times in ISO 8601.

Money is in minor units of its currency by ISO 4217: 2997 is USD 29.97, but JPY 2,997 and KWD 2.997.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

State = Literal["live", "restoring", "behind", "stalled", "unknown"]
STATES: Final[dict[State, str]] = {
    "live": "the whole way from the events' topics to this answer was observed to be alive within the last seconds",
    "restoring": "the reader hasn't yet come to the end that the log had at its start",
    "behind": "everything is at work, but events have waited longer than the bound",
    "stalled": "something on the way stands: `netsold status` says what, and what to do",
    "unknown": "the cluster can't be observed, so nobody knows what is behind",
}
"""What an answer's `state` means."""


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
    """The same of money, in minor units of one currency.

    2997 is USD 29.97, but JPY 2,997 and KWD 2.997 (ISO 4217).
    """


class CycleAnswer(_Answer):
    """What was sold in one cycle; `revenue` is by currency, in its minor units.

    `sold_monthly` is its net units, `successfully_traded` the net units of all time (C4).
    """

    cycle: CycleSpan
    units: UnitsAnswer
    revenue: dict[str, MoneyAnswer]
    sold_monthly: int
    successfully_traded: int


class _OfProduct(_Answer):
    product_id: str


class _OfShop(_Answer):
    shop_id: str


class ProductAnswer(CycleAnswer, _OfProduct):
    """A product in a cycle; its id comes first, as in the events' description."""


class ShopAnswer(CycleAnswer, _OfShop):
    """A shop in a cycle."""


class Freshness(_Answer):
    """How much an answer holds.

    `applied`: by source partition such as `orders-0`, the last offset that is in it for certain.

    `as_of`: everything that happened until then and was told in time is in it; null while any
    source partition hasn't been heard of. `lag_seconds`: from `as_of` to the moment of answering,
    never below 0; null with it. `state` is one of STATES.
    """

    as_of: str | None
    applied: dict[str, int]
    lag_seconds: float | None
    state: State


class InquiriesAnswer(_Answer):
    """Whether a shop replied in time (R1, R2): counted = timely + late + overdue.

    `response_rate` = timely / counted, null without any.

    `answered_by` and `reply_ms` (quantiles in milliseconds, within 1 %; null without any) are of
    single inquiries, whatever is counted.
    """

    class AnsweredBy(_Answer):
        """Who or what answered."""

        person: int
        robot: int

    class Quantiles(_Answer):
        """How long it took: half of them, and nine of ten, no longer than this."""

        p50: int
        p90: int

    counted: int
    timely: int
    late: int
    overdue: int
    response_rate: float | None
    answered_by: AnsweredBy
    reply_ms: Quantiles | None


class CasesAnswer(_Answer):
    """How often something happened, in all and by reason (R3)."""

    class Case(_Answer):
        """For one reason."""

        count: int

    count: int
    by_reason: dict[str, Case]


class MoneyCasesAnswer(_Answer):
    """How often money was given back, and how much.

    `amounts` in minor units by currency, in all and by reason (R3).
    """

    class Case(_Answer):
        """For one reason; `amounts` in minor units by currency."""

        count: int
        amounts: dict[str, int]

    count: int
    amounts: dict[str, int]
    by_reason: dict[str, Case]


class AfterSalesAnswer(_Answer):
    """What a shop had to make right (R3)."""

    refusals: CasesAnswer
    reissues: CasesAnswer
    differences: MoneyCasesAnswer
    returns: MoneyCasesAnswer


class ProactiveAnswer(_Answer):
    """How often a shop had reason to write to a buyer, and did so first (R4).

    `share` is null without reason.
    """

    occasions: int
    first: int
    share: float | None


class ReviewsAnswer(_Answer):
    """Reviews, and those of 4 or 5 (R5); `good_share` is null without any."""

    count: int
    good: int
    good_share: float | None


class BuyersAnswer(_Answer):
    """Buyers with an order that sold, and those with two or more (R6).

    `repeat_share` is null without any.
    """

    count: int
    repeat: int
    repeat_share: float | None


class ShopService(_Answer):
    """A shop's service, in a cycle or of all time."""

    inquiries: InquiriesAnswer
    after_sales: AfterSalesAnswer
    proactive_contact: ProactiveAnswer
    reviews: ReviewsAnswer
    buyers: BuyersAnswer


class ProductService(_Answer):
    """What became of a product's sales in a cycle."""

    reviews: ReviewsAnswer
    differences: MoneyCasesAnswer
    refusals: CasesAnswer


class ServiceRulesAnswer(_Answer):
    """The settings by which replies were counted (R1)."""

    reply_within_seconds: int
    service_hours: str
    zone: str
    count_per: Literal["buyer_day", "inquiry"]


class FreshProduct(ProductAnswer):
    """A product in a cycle, as the reader answers it."""

    service: ProductService
    freshness: Freshness


class ServedShop(ShopAnswer):
    """A shop in a cycle: its sales and its service side by side."""

    service: ShopService


class FreshShop(ServedShop):
    """A shop in a cycle, as the reader answers it."""

    service_all_time: ShopService
    service_rules: ServiceRulesAnswer
    freshness: Freshness


class TopShops(_Answer):
    """A page of the best shops in a cycle: those with nothing to compare are not listed."""

    cycle: CycleSpan
    by: Literal["sales", "response-rate", "good-reviews"]
    items: list[ServedShop]
    next_cursor: str | None
    service_rules: ServiceRulesAnswer
    freshness: Freshness


class OverdueInquiry(_Answer):
    """An inquiry whose time has passed without a reply (R2), by the message that opened it."""

    shop_id: str
    buyer_id: str
    message_id: str
    order_id: str | None
    opened_at: str
    due_at: str


class OverduePage(_Answer):
    """A page of what is overdue, longest first; `count` is how many there are in all."""

    count: int
    items: list[OverdueInquiry]
    next_cursor: str | None
    service_rules: ServiceRulesAnswer
    freshness: Freshness


class TopProducts(_Answer):
    """A page of the products that sold in a cycle, by units net, most first, then by id.

    Those with none are not listed.
    """

    cycle: CycleSpan
    items: list[ProductAnswer]
    next_cursor: str | None
    freshness: Freshness


class JournalPage(_Answer):
    """A page of a product's journal entries as they stand in the log (schemas/journal.py), in its order."""

    items: list[dict[str, Any]]
    next_cursor: str | None
    freshness: Freshness


class ReversalAnswer(_Answer):
    """What one refund took off a sale: units, and money in minor units."""

    at: str
    units: int
    amount: int


class Part(_Answer):
    """Of one line: net = gross - reversed; of money, in minor units of the order's currency."""

    gross: int
    reversed: int
    net: int


class SaleAnswer(_Answer):
    """A line that counts (S1): received at `received_at`, so in that cycle.

    Money in minor units of the order's currency.
    """

    line_id: str
    product_id: str
    cycle: CycleSpan
    received_at: str
    units: Part
    amount: Part
    reversals: list[ReversalAnswer]


class AnomalyAnswer(_Answer):
    """What is odd about the order, or about one of its lines."""

    anomaly: str
    line_id: str | None


class OrderAnswer(_Answer):
    """An order: what is known (`facts`, the events that hold, by time), what counts of it (`sales`), and what is odd.

    `shop_id`, `buyer_id` and `currency` are null until it is placed. Money, in `facts` too, is in minor units of `currency`.
    """

    order_id: str
    shop_id: str | None
    buyer_id: str | None
    currency: str | None
    facts: list[dict[str, Any]]
    sales: list[SaleAnswer]
    anomalies: list[AnomalyAnswer]
    freshness: Freshness


class Fault(_Answer):
    """What is wrong with one part of a request."""

    where: str
    detail: str


class Problem(BaseModel):
    """An error as RFC 9457 has it; `type` is stable, `detail` is for people."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None
