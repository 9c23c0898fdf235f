"""The events of orders and chats: one strict, frozen class per event type.

Type names and field names are the storage format: topics keep them for good. The fast decoders are
derived from these classes (`decoders`).
"""

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from schemas import limits, times
from schemas.money import CURRENCIES


def is_printable(text: str) -> bool:
    """Whether a text has no control character: none below U+0020, and not U+007F."""
    return text.isprintable() or not any(
        character < " " or character == "\x7f" for character in text
    )


def _without_controls(text: str) -> str:
    if not is_printable(text):
        raise ValueError("has a control character")
    return text


def _instant(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("is not a text, such as 2026-07-01T08:00:00Z")  # noqa: TRY004 - pydantic reports ValueError
    return times.parse_ms(value)


def _text_schema(longest: int) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": longest,
            "pattern": "^[^\\u0000-\\u001f\\u007f]+$",
        }
    )


Id = Annotated[
    str,
    StringConstraints(min_length=1, max_length=limits.ID_CHARS),
    AfterValidator(_without_controls),
    _text_schema(limits.ID_CHARS),
]
"""An id. Ids are compared character by character, without any normalization."""

Source = Annotated[
    str,
    StringConstraints(min_length=1, max_length=limits.SOURCE_CHARS),
    AfterValidator(_without_controls),
    _text_schema(limits.SOURCE_CHARS),
]
"""The system that sent an event, as CloudEvents' `source`."""

Instant = Annotated[
    int,
    BeforeValidator(_instant),
    PlainSerializer(times.format_ms, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant: RFC 3339 with a time zone in JSON, epoch milliseconds in Python."""

if TYPE_CHECKING:
    Currency = str
else:
    Currency = Literal[CURRENCIES]

LineIds = Annotated[tuple[Id, ...], Field(strict=False, min_length=1)]
ComplaintReason = Literal[
    "short_weight",
    "damaged_in_transit",
    "wrong_goods",
    "late_delivery",
    "quality",
    "changed_mind",
    "other",
]
ReceivedBy = Literal["logistics", "buyer", "timeout"]
CancelReason = Literal["unpaid", "group_not_filled", "buyer", "shop", "platform"]
RefundFailure = Literal["rejected", "withdrawn", "lapsed", "bank"]
RepliedBy = Literal["person", "robot"]


class _Frozen(BaseModel):
    """Strict (`true` and `1.0` are no integers), frozen, and open: unknown fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class PlacedLine(_Frozen):
    """One line of an order: a quantity of a product at a unit price.

    Money is in minor units. `discount` is taken off the whole line.
    """

    line_id: Id
    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=limits.QUANTITY)]
    unit_price: Annotated[int, Field(ge=0, le=limits.UNIT_PRICE_MINOR)]
    discount: Annotated[int, Field(ge=0, le=limits.LINE_REVENUE_MINOR)] | None = None


class ClaimedLine(_Frozen):
    """What a refund claims of one line: units, and an amount in minor units.

    A refund of 0 units makes up a difference (S9).
    """

    line_id: Id
    quantity: Annotated[int, Field(ge=0, le=limits.QUANTITY)]
    amount: Annotated[int, Field(ge=0, le=limits.LINE_REVENUE_MINOR)]


Lines = Annotated[tuple[PlacedLine, ...], Field(strict=False, min_length=1)]
RefundLines = Annotated[tuple[ClaimedLine, ...], Field(strict=False, min_length=1)]


class _Event(_Frozen):
    """The fields of every event. `(source, id)` identifies it: a duplicate has the same (S11)."""

    id: Id
    source: Source
    occurred_at_ms: Annotated[Instant, Field(alias="occurred_at")]


class _OrderEvent(_Event):
    """The fields of every event of an order."""

    order_id: Id


class _ChatEvent(_Event):
    """The fields of a message between a shop and a buyer, whoever wrote it.

    `order_id` names the order that the message is about, if any.
    """

    shop_id: Id
    buyer_id: Id
    message_id: Id
    order_id: Id | None = None


class OrderPlaced(_OrderEvent):
    """A buyer placed an order with one shop, in one currency."""

    type: Literal["order_placed"]
    shop_id: Id
    buyer_id: Id
    currency: Currency
    group_id: Id | None = None
    lines: Lines

    @model_validator(mode="after")
    def _lines_agree(self) -> "OrderPlaced":
        fault = lines_fault(self.lines)
        if fault is not None:
            raise ValueError(fault)
        return self


def lines_fault(lines: tuple[PlacedLine, ...]) -> str | None:
    """The first fault between the fields of an order's lines, as a sentence; None without one."""
    whole = 0
    for line in lines:
        price = line.quantity * line.unit_price
        whole += price
        if price > limits.LINE_REVENUE_MINOR:
            return (
                f"lines.{lines.index(line)}: quantity times unit_price is {price},"
                f" more than {limits.LINE_REVENUE_MINOR}"
            )
        if line.discount is not None and line.discount > price:
            return (
                f"lines.{lines.index(line)}: discount is {line.discount},"
                f" more than quantity times unit_price, {price}"
            )
    if whole > limits.PAID_MINOR:
        return (
            f"lines: quantity times unit_price of all of them is {whole},"
            f" more than {limits.PAID_MINOR}"
        )
    if len(lines) > 1 and len({line.line_id for line in lines}) < len(lines):
        return "lines: two of them have one line_id"
    return None


class OrderPaid(_OrderEvent):
    """The buyer paid. A payment alone is no sale (S1)."""

    type: Literal["order_paid"]
    amount: Annotated[int, Field(ge=0, le=limits.PAID_MINOR)]


class OrderShipped(_OrderEvent):
    """A parcel left the shop. Shipping alone is no sale (S1)."""

    type: Literal["order_shipped"]
    parcel_id: Id | None = None
    line_ids: LineIds | None = None
    carrier: Id | None = None
    tracking_no: Id | None = None


class ReceiptConfirmed(_OrderEvent):
    """Goods arrived: the lines in `line_ids`, or all lines when it is absent."""

    type: Literal["receipt_confirmed"]
    line_ids: LineIds | None = None
    parcel_id: Id | None = None
    by: ReceivedBy


class OrderCancelled(_OrderEvent):
    """The order was cancelled (S4)."""

    type: Literal["order_cancelled"]
    reason: CancelReason


class DeliveryRefused(_OrderEvent):
    """The buyer refused the delivery at the door. A receipt stays valid (S4, S10)."""

    type: Literal["delivery_refused"]
    line_ids: LineIds | None = None
    reason: ComplaintReason


class RefundRequested(_OrderEvent):
    """The buyer requested a refund. It counts only when it succeeds (S5)."""

    type: Literal["refund_requested"]
    refund_id: Id
    reason: ComplaintReason
    lines: RefundLines | None = None


class RefundSucceeded(_OrderEvent):
    """A refund succeeded (S5): of the claimed lines, or of the whole order.

    Without `lines` it is a refund of the whole order (S8).
    """

    type: Literal["refund_succeeded"]
    refund_id: Id
    reason: ComplaintReason
    lines: RefundLines | None = None


class RefundFailed(_OrderEvent):
    """A refund failed. It counts nothing (S5)."""

    type: Literal["refund_failed"]
    refund_id: Id
    cause: RefundFailure


class RefundReversed(_OrderEvent):
    """The bank returned the money of a successful refund. The refund counts nothing (S5)."""

    type: Literal["refund_reversed"]
    refund_id: Id


class ReissueShipped(_OrderEvent):
    """The shop sent goods again. It is never a second sale (S10)."""

    type: Literal["reissue_shipped"]
    line_ids: LineIds | None = None
    reason: ComplaintReason
    parcel_id: Id | None = None


class ReviewPosted(_OrderEvent):
    """A buyer rated a product of an order, from 1 (worst) to 5 (R5)."""

    type: Literal["review_posted"]
    product_id: Id
    rating: Annotated[int, Field(ge=1, le=5)]


class BuyerMessaged(_ChatEvent):
    """A buyer wrote to a shop. The message opens an inquiry unless one is open (R1)."""

    type: Literal["buyer_messaged"]


class SellerReplied(_ChatEvent):
    """A person or a robot of a shop wrote to a buyer.

    The message answers the open inquiry (R1), or is proactive contact (R4).
    """

    type: Literal["seller_replied"]
    by: RepliedBy


Event = Annotated[
    OrderPlaced
    | OrderPaid
    | OrderShipped
    | ReceiptConfirmed
    | OrderCancelled
    | DeliveryRefused
    | RefundRequested
    | RefundSucceeded
    | RefundFailed
    | RefundReversed
    | ReissueShipped
    | ReviewPosted
    | BuyerMessaged
    | SellerReplied,
    Field(discriminator="type"),
]

MODELS: Final[dict[str, type[Any]]] = {
    model.model_fields["type"].annotation.__args__[0]: model  # type: ignore[union-attr]
    for model in (
        OrderPlaced,
        OrderPaid,
        OrderShipped,
        ReceiptConfirmed,
        OrderCancelled,
        DeliveryRefused,
        RefundRequested,
        RefundSucceeded,
        RefundFailed,
        RefundReversed,
        ReissueShipped,
        ReviewPosted,
        BuyerMessaged,
        SellerReplied,
    )
}
"""By event type: its class."""

CHAT_TYPES: Final = frozenset(
    name for name, model in MODELS.items() if issubclass(model, _ChatEvent)
)
"""The event types of the topic `chats`."""

TYPE_BY_SIDE: Final = ("buyer_messaged", "seller_replied")
"""The event types of messages, by the side that writes them: 0 the buyer, 1 the shop."""

ORDER_TYPES: Final = frozenset(MODELS) - CHAT_TYPES
"""The event types of the topic `orders`."""


SCHEMAS: Final = "urn:netsold:"
"""How the ids of all schemas of netsold begin."""


def schema_id(name: str, version: int = 1) -> str:
    """The id of the JSON Schema of a form, such as `order_paid`; `ce_dataschema` names it."""
    return f"{SCHEMAS}{name}:{version}"


def topic_of(event_type: str) -> Literal["orders", "chats"]:
    """The topic of an event type, without the prefix of the settings."""
    return "chats" if event_type in CHAT_TYPES else "orders"


def common_of(event_type: str) -> tuple[str, ...]:
    """The JSON names of the fields that CloudEvents attributes carry, for an event type.

    Every event of the same topic has them. The order of an event is its subject.
    """
    return (
        ("type", "id", "source", "occurred_at")
        if event_type in CHAT_TYPES
        else ("type", "id", "source", "occurred_at", "order_id")
    )
