"""What API and command line answer: integers only, times in ISO 8601.

Money is in minor units of its currency by ISO 4217: 2997 is USD 29.97, but JPY 2,997 and KWD 2.997.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

State = Literal["live", "restoring", "behind", "stalled", "unknown"]
STATES: Final[dict[State, str]] = {
    "live": "the whole way from the events' topics to this answer was observed to be alive within"
    " the last seconds",
    "restoring": "the reader hasn't yet applied all that the log had when the reader started",
    "behind": "everything works, but events have waited longer than the bound",
    "stalled": "something on the way has stopped: `netsold status` says what, and what to do",
    "unknown": "the cluster can't be observed, so what is behind is unknown",
}
"""The states of an answer, and what they mean."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CycleSpan(_Answer):
    """A cycle: `[start, end)`, ISO 8601 with zone."""

    start: str
    end: str


class SumsAnswer(_Answer):
    """The sums that units and money have in common, in one cycle; net = gross - reversed (S6).

    `reversed` is what refunds took off this cycle's sales at any time (basis sale).
    `reversals_booked` is what refunds in this cycle took off any sale (basis refund).
    """

    gross: int
    reversed: int
    net: int
    reversals_booked: int


class UnitsAnswer(SumsAnswer):
    """Sums of units; `netsold get` shows every field as a column."""


class MoneyAnswer(SumsAnswer):
    """Sums of money, in minor units of one currency.

    2997 is USD 29.97, but JPY 2,997 and KWD 2.997 (ISO 4217).
    """


class CycleAnswer(_Answer):
    """What was sold in one cycle: units, and by currency units and money in its minor units.

    `units` are the sums of `units_by_currency`; a currency without any is left out there and in
    `revenue`. `sold_monthly` is the net units of the cycle, `successfully_traded` those of all time
    (C4).
    """

    cycle: CycleSpan
    units: UnitsAnswer
    units_by_currency: dict[str, UnitsAnswer]
    revenue: dict[str, MoneyAnswer]
    sold_monthly: int
    successfully_traded: int


class _OfProduct(_Answer):
    product_id: str


class _OfShop(_Answer):
    shop_id: str


class ProductAnswer(CycleAnswer, _OfProduct):
    """A product in a cycle; its id is the first field."""


class ShopAnswer(CycleAnswer, _OfShop):
    """A shop in a cycle."""


class Freshness(_Answer):
    """How fresh an answer is.

    `applied`: by source partition such as `orders-0`, the last offset that it certainly includes.
    `as_of`: it includes every event until then that arrived in time; null while the progress of
    a source partition is unknown. `lag_seconds`: from `as_of` to the time of the answer, at least
    0, null without `as_of`. `state` is one of STATES. `version` is the application that the answer
    is of: all of it, numbers, cursors and offsets.
    """

    as_of: str | None
    applied: dict[str, int]
    lag_seconds: float | None
    state: State
    version: str


class InquiriesAnswer(_Answer):
    """Whether a shop replied in time (R1, R2): counted = timely + late + overdue.

    `response_rate` = timely / counted, null if nothing is counted. `answered_by` and `reply_ms`
    (quantiles in milliseconds, within 1 %, null without replies) are of single inquiries, however
    inquiries are counted.
    """

    class AnsweredBy(_Answer):
        """Replies by people and by robots."""

        person: int
        robot: int

    class Quantiles(_Answer):
        """The times within which half of the replies, and nine of ten, were sent."""

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
    """The number of cases, in all and by reason (R3)."""

    class Case(_Answer):
        """The cases of one reason."""

        count: int

    count: int
    by_reason: dict[str, Case]


class MoneyCasesAnswer(_Answer):
    """The cases in which money was returned, in all and by reason (R3).

    `amounts` are in minor units by currency.
    """

    class Case(_Answer):
        """The cases of one reason; `amounts` are in minor units by currency."""

        count: int
        amounts: dict[str, int]

    count: int
    amounts: dict[str, int]
    by_reason: dict[str, Case]


class AfterSalesAnswer(_Answer):
    """A shop's refusals, reissues, differences and returns (R3)."""

    refusals: CasesAnswer
    reissues: CasesAnswer
    differences: MoneyCasesAnswer
    returns: MoneyCasesAnswer


class ProactiveAnswer(_Answer):
    """Occasions for a shop to write to a buyer, and those where it wrote first (R4).

    `share` is null without occasions.
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
    """A product's service in a cycle: reviews, differences and refusals."""

    reviews: ReviewsAnswer
    differences: MoneyCasesAnswer
    refusals: CasesAnswer


class ServiceRulesAnswer(_Answer):
    """The settings by which replies were counted (R1)."""

    reply_within_seconds: int
    service_hours: str
    zone: str
    count_per: Literal["buyer_day", "inquiry"]


class OverdueInquiry(_Answer):
    """An inquiry whose time has passed without a reply (R2), with the message that opened it."""

    shop_id: str
    buyer_id: str
    message_id: str
    order_id: str | None
    opened_at: str
    due_at: str


class OverduePage(_Answer):
    """A page of overdue inquiries, longest overdue first; `count` is the number of all."""

    count: int
    items: list[OverdueInquiry]
    next_cursor: str | None
    service_rules: ServiceRulesAnswer
    freshness: Freshness


class JournalPage(_Answer):
    """A page of a product's journal entries (schemas/journal.py), in the order of the log."""

    items: list[dict[str, Any]]
    next_cursor: str | None
    freshness: Freshness


class ReversalAnswer(_Answer):
    """The units, and the money in minor units, that one refund took off a sale."""

    at: str
    units: int
    amount: int


class LineSums(_Answer):
    """Units or money of one line: net = gross - reversed.

    Money is in minor units of the order's currency.
    """

    gross: int
    reversed: int
    net: int


class SaleAnswer(_Answer):
    """A line that counts (S1), in the cycle that contains `received_at`.

    Money is in minor units of the order's currency.
    """

    line_id: str
    product_id: str
    cycle: CycleSpan
    received_at: str
    units: LineSums
    amount: LineSums
    reversals: list[ReversalAnswer]


class AnomalyAnswer(_Answer):
    """An anomaly of the order, or of one of its lines."""

    anomaly: str
    line_id: str | None


class OrderAnswer(_Answer):
    """An order: the events known of it by time (`facts`), what counts (`sales`), and anomalies.

    `shop_id`, `buyer_id` and `currency` are null until it is placed. Money is in minor units of
    `currency`, in `facts` too.
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
    """The fault of one part of a request."""

    where: str
    detail: str


class Problem(BaseModel):
    """An error in the form of RFC 9457; `type` is stable, `detail` is for people."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None
