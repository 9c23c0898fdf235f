"""What `explain` and `find` answer about orders: their events, and why they count what they do.

Money is in minor units of its currency (ISO 4217).
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, create_model

from schemas.answers import AnomalyAnswer, Freshness, LineSums
from schemas.columns import SUMMED
from schemas.past_answers import MomentAnswer


class _Answer(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_serialization_defaults_required=True
    )


class OrderResult(_Answer):
    """What counts of an order: units, and money in minor units by currency; net = gross - reversed.

    `reversed` is what refunds took off the sales (S6).
    """

    units: LineSums
    amounts: dict[str, LineSums]


class _EntryAnswer(_Answer):
    id: str
    line_id: str
    product_id: str
    cycle: str
    refund_id: str | None
    currency: str


_COLUMN_FIELDS: Final[dict[str, Any]] = dict.fromkeys(SUMMED, int)
_Columns = create_model("_Columns", __base__=_Answer, **_COLUMN_FIELDS)


class EntryOfEvent(_Columns, _EntryAnswer):
    """A journal entry that an event made, such as `orders-3@1841#0` on the topic `sales`.

    `cycle` is its cycle's start. The columns are signed changes (schemas/columns.py).
    """


class ParkedRecord(_Answer):
    """Why a record is parked; null where no dead letter of it is known any more.

    `dead_letter` is the position of its dead letter, `detail` the exact fault as it is read today.
    `put_back_to` is the listed record that it was put back as; null if there is none.
    """

    reason: str | None
    detail: str | None
    dead_letter: str | None
    put_back_to: str | None


class ExplainedEvent(_Answer):
    """A record of an order, as it stands in the log, and its effect.

    `written_at` is the record's own time; null if it has none. What only an event has is null in a
    record that can't be read as one. `fields` are those that only its type has. `rules` are those
    that it met (docs/rules.md), `units` and `amounts` its net effect, and `result` is what counts
    after it.
    """

    position: str
    written_at: str | None
    occurred_at: str | None
    type: str | None
    id: str | None
    source: str | None
    fields: dict[str, Any]
    verdict: Literal["applied", "duplicate", "conflicting", "parked"]
    parked: ParkedRecord | None
    put_back_from: str | None
    rules: list[str]
    units: int
    amounts: dict[str, int]
    entries: list[EntryOfEvent]
    result: OrderResult


class LinesBecause(_Answer):
    """Why some lines of an order count what they do; of the whole order if no line is named."""

    line_ids: list[str]
    rules: list[str]
    text: str


class EarlierEvents(_Answer):
    """The events before the listed ones: `facts` of the order come from them, and what counted.

    `left_out` are records that were not read (`left_out_at_least`: there are more than that), and
    `deleted` those that the log no longer has. Of an event with records among these and among the
    listed ones, the first listed one is shown as the applied one.
    """

    facts: int
    left_out: int
    left_out_at_least: bool
    deleted: int
    result: OrderResult


class OrderExplanation(_Answer):
    """An order's events in the order of the log, each with its effect, and what counts in the end.

    `earlier` is null if all its events are listed. The last result is the table's row. `sentence`
    concludes: net units of those ordered, net money, cycles and reasons. `moment` is null if it is
    about now.
    """

    order_id: str
    shop_id: str | None
    buyer_id: str | None
    currency: str | None
    earlier: EarlierEvents | None
    events: list[ExplainedEvent]
    result: OrderResult
    units_ordered: int
    because: list[LinesBecause]
    sentence: str
    anomalies: list[AnomalyAnswer]
    moment: MomentAnswer | None = None
    freshness: Freshness


class FoundOrder(_Answer):
    """An order that was found: who, when it was placed, and what counts of it now.

    `found_by` names what it was found by. `units` and `amount` are net and of the whole order;
    `product_units` and `product_amount` are of the lines of the product that it was found by.
    `refund` is what became of the refund that it was found by. `uncounted` is why nothing counts of
    it, or of that product's lines. Each is null where it does not apply. What only the table has is
    null if the order isn't in it, as all its records are parked.
    """

    order_id: str
    placed_at: str | None
    shop_id: str | None
    buyer_id: str | None
    currency: str | None
    units: int | None
    amount: int | None
    product_units: int | None
    product_amount: int | None
    refund: str | None
    uncounted: str | None
    found_by: str


class FoundOrders(_Answer):
    """A page of found orders: by the time of their placing, then by id; those of a refund by id.

    Each is found by the placing that holds (S11). Only a page without `next_cursor` is the last:
    one before it may have fewer orders than its limit, or none.
    """

    items: list[FoundOrder]
    next_cursor: str | None
    freshness: Freshness
