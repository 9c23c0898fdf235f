"""Answers about an earlier moment, and explanations of a product's or a shop's number.

As in schemas/answers.py: integers only, money in minor units of its currency.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.answers import (
    CycleSpan,
    Freshness,
    LineSums,
    OrderAnswer,
    ProductAnswer,
    ShopAnswer,
)


class _Form(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_serialization_defaults_required=True
    )


class MomentAnswer(_Form):
    """The moment that an answer is about.

    `known_at`: only events that stood in the log by then (log time). `as_of`: only what had
    happened by then (event time). Null where the request doesn't limit it. `included`: by source
    partition, the last offset that it includes, -1 if it includes none.
    """

    known_at: str | None
    as_of: str | None
    included: dict[str, int]


class PastProduct(ProductAnswer):
    """A product at an earlier moment; `service` is null: the journal of sales doesn't have it."""

    service: None = None
    moment: MomentAnswer
    freshness: Freshness


class PastShop(ShopAnswer):
    """A shop at an earlier moment; `service` is null: the journal of sales doesn't have it."""

    service: None = None
    service_all_time: None = None
    moment: MomentAnswer
    freshness: Freshness


class PastTopProducts(_Form):
    """The best products of a cycle at an earlier moment: by net units, most first, then by id.

    It is one page: `next_cursor` is null.
    """

    cycle: CycleSpan
    by: Literal["units"] = "units"
    items: list[ProductAnswer]
    next_cursor: None = None
    moment: MomentAnswer
    freshness: Freshness


class PastTopShops(_Form):
    """The best shops of a cycle at an earlier moment, by net units, most first, then by id.

    It is one page: `next_cursor` is null. Service isn't known of an earlier moment.
    """

    cycle: CycleSpan
    by: Literal["units"] = "units"
    items: list[ShopAnswer]
    next_cursor: None = None
    moment: MomentAnswer
    freshness: Freshness


class PastOrder(OrderAnswer):
    """An order at an earlier moment: the facts that a moment includes, and what counts of them."""

    moment: MomentAnswer


class ExplainedEntry(_Form):
    """One journal entry of an order.

    `position` is that of the event that caused it, null where the order was derived from its facts
    for `as_of`. `at` is when the sale or the refund happened. Units and amount are what it adds to
    the number; `booked` are the units of a refund in the cycle in which it happened (S6).
    """

    position: str | None
    product_id: str
    at: str
    restates: bool
    units: int
    amount: int
    booked: int


class ExplainedOrder(_Form):
    """What one order adds to the number, in one currency.

    `others` are the products of a shop's order, the shop of a product's. `reversals_booked` are
    what refunds in this cycle took off any of its sales (S6). `entries` are its first ones by
    position, `entries_left_out` how many more it has.
    """

    order_id: str
    others: list[str]
    currency: str
    units: LineSums
    amount: LineSums
    reversals_booked: int
    entries: list[ExplainedEntry]
    entries_left_out: int


class PartAnswer(_Form):
    """Sums of some entries: their number, units, and amounts by currency."""

    entries: int
    units: int
    amounts: dict[str, int]


class StepAnswer(_Form):
    """A step of the movement: what it added, and the number after it.

    `start` is the first instant of its day, or of its first day, in UTC.
    """

    start: str
    units: int
    amounts: dict[str, int]
    running_units: int
    running_amounts: dict[str, int]


class MovementAnswer(_Form):
    """How the number moved by event time: a sale on its day, a refund on its own.

    A step is `step_days` long; steps without a change are left out. The last running values are
    the number: the net units and amounts of the cycle.
    """

    step_days: int
    steps: list[StepAnswer]


class ExplanationAnswer(_Form):
    """What makes up a number: orders, largest first, reversals and restatements apart, movement.

    `orders` are the first of `order_count`; `orders_left_out` is the number of the others, and
    `sums_left_out` is what they add. `reversals` are what refunds took off the cycle's sales.
    `restatements` are the entries that came after the cycle had ended, with their signs; null with
    `as_of`, as event time alone doesn't tell. `entries` is the number of all entries of the cycle.
    """

    entries: int
    order_count: int
    orders: list[ExplainedOrder]
    orders_left_out: int
    sums_left_out: PartAnswer
    reversals: PartAnswer
    restatements: PartAnswer | None
    movement: MovementAnswer
    moment: MomentAnswer
    freshness: Freshness


class UncountedOrder(_Form):
    """An order of a product of which nothing counts, and why."""

    order_id: str
    placed_at: str
    why: str


class UncountedOrders(_Form):
    """How many of a product's orders that were placed in a cycle count nothing of it.

    They are among the newest `searched` orders of the cycle (`is_all`: it has no more). `newest`
    are the first of them.
    """

    searched: int
    is_all: bool
    count: int
    newest: list[UncountedOrder]


class ProductExplanation(ProductAnswer, ExplanationAnswer):
    """A product in a cycle, as the table has it, and what makes up its number.

    `uncounted` is null at an earlier moment, and while the event index is not as far as the tables.
    """

    uncounted: UncountedOrders | None = None


class ShopExplanation(ShopAnswer, ExplanationAnswer):
    """A shop in a cycle, as the table has it, and what makes up its number."""
