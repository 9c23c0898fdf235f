"""The events of orders and chats, one frozen strict class per type.

These names are the storage format: logs keep them for good.

Everything else that knows events is derived from these classes (the fast decoders) or refers to
them.
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
    """Whether a text has no control characters: none below U+0020, and not U+007F."""
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


Id = Annotated[
    str,
    StringConstraints(min_length=1, max_length=limits.ID_CHARS),
    AfterValidator(_without_controls),
]
"""An id, compared character by character: no case, width or Unicode form is taken for another."""

Source = Annotated[
    str,
    StringConstraints(min_length=1, max_length=limits.SOURCE_CHARS),
    AfterValidator(_without_controls),
]
Instant = Annotated[
    int,
    BeforeValidator(_instant),
    PlainSerializer(times.format_ms, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant: RFC 3339 with zone outside, epoch milliseconds inside."""

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
    """Strict (no `true` or `1.0` for 1), frozen, and open: unknown fields pass unread."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Line(_Frozen):
    """One line of an order: so many units of a product at a price.

    `discount` is off the whole line. Money in minor units.
    """

    line_id: Id
    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=limits.QUANTITY)]
    unit_price: Annotated[int, Field(ge=0, le=limits.UNIT_PRICE_MINOR)]
    discount: Annotated[int, Field(ge=0, le=limits.LINE_REVENUE_MINOR)] | None = None


class RefundLine(_Frozen):
    """What a refund asks for one line.

    Units (0 when it makes up a difference, S9) and an amount in minor units.
    """

    line_id: Id
    quantity: Annotated[int, Field(ge=0, le=limits.QUANTITY)]
    amount: Annotated[int, Field(ge=0, le=limits.LINE_REVENUE_MINOR)]


Lines = Annotated[tuple[Line, ...], Field(strict=False, min_length=1)]
RefundLines = Annotated[tuple[RefundLine, ...], Field(strict=False, min_length=1)]


class _Event(_Frozen):
    """What every event has; the same event again has the same (`source`, `id`) (S11)."""

    id: Id
    source: Source
    occurred_at_ms: Annotated[Instant, Field(alias="occurred_at")]


class _OrderEvent(_Event):
    """What every event of an order has."""

    order_id: Id


class _ChatEvent(_Event):
    """What a message between a shop and a buyer has, whoever wrote it.

    `order_id` is the order it is about, if any.
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


def lines_fault(lines: tuple[Line, ...]) -> str | None:
    """What is wrong with an order's lines taken together, as a sentence that names the line by its index; or None."""
    whole = 0
    for line in lines:
        price = line.quantity * line.unit_price
        whole += price
        if price > limits.LINE_REVENUE_MINOR:
            return f"lines.{lines.index(line)}: quantity times unit_price is {price}, more than {limits.LINE_REVENUE_MINOR}"
        if line.discount is not None and line.discount > price:
            return f"lines.{lines.index(line)}: discount is {line.discount}, more than quantity times unit_price, {price}"
    if whole > limits.PAID_MINOR:
        return f"lines: quantity times unit_price of all of them is {whole}, more than {limits.PAID_MINOR}"
    if len(lines) > 1 and len({line.line_id for line in lines}) < len(lines):
        return "lines: two of them have one line_id"
    return None


class OrderPaid(_OrderEvent):
    """A payment came in; by itself it is no sale (S1)."""

    type: Literal["order_paid"]
    amount: Annotated[int, Field(ge=0, le=limits.PAID_MINOR)]


class OrderShipped(_OrderEvent):
    """A parcel left the shop; by itself it is no sale (S1)."""

    type: Literal["order_shipped"]
    parcel_id: Id | None = None
    line_ids: LineIds | None = None
    carrier: Id | None = None
    tracking_no: Id | None = None


class ReceiptConfirmed(_OrderEvent):
    """Goods arrived: the lines named, or all of them when `line_ids` is absent."""

    type: Literal["receipt_confirmed"]
    line_ids: LineIds | None = None
    parcel_id: Id | None = None
    by: ReceivedBy


class OrderCancelled(_OrderEvent):
    """The order was called off (S4)."""

    type: Literal["order_cancelled"]
    reason: CancelReason


class DeliveryRefused(_OrderEvent):
    """The buyer took no delivery at the door; takes no receipt away (S4, S10)."""

    type: Literal["delivery_refused"]
    line_ids: LineIds | None = None
    reason: ComplaintReason


class RefundRequested(_OrderEvent):
    """A refund was asked for; changes nothing yet (S5)."""

    type: Literal["refund_requested"]
    refund_id: Id
    reason: ComplaintReason
    lines: RefundLines | None = None


class RefundSucceeded(_OrderEvent):
    """A refund went through.

    Of the lines as asked, or of the whole order when `lines` is absent (S5, S8).
    """

    type: Literal["refund_succeeded"]
    refund_id: Id
    reason: ComplaintReason
    lines: RefundLines | None = None


class RefundFailed(_OrderEvent):
    """A refund came to nothing; changes nothing (S5)."""

    type: Literal["refund_failed"]
    refund_id: Id
    cause: RefundFailure


class RefundReversed(_OrderEvent):
    """The bank returned a refund that had succeeded: it counts as if it had never been (S5)."""

    type: Literal["refund_reversed"]
    refund_id: Id


class ReissueShipped(_OrderEvent):
    """Goods were sent once more; never a second sale (S10)."""

    type: Literal["reissue_shipped"]
    line_ids: LineIds | None = None
    reason: ComplaintReason
    parcel_id: Id | None = None


class ReviewPosted(_OrderEvent):
    """A buyer judged a product of an order, 1 (worst) to 5 (R5)."""

    type: Literal["review_posted"]
    product_id: Id
    rating: Annotated[int, Field(ge=1, le=5)]


class BuyerMessaged(_ChatEvent):
    """A buyer wrote to a shop: opens an inquiry unless one is open (R1)."""

    type: Literal["buyer_messaged"]


class SellerReplied(_ChatEvent):
    """A shop wrote to a buyer, be it a person or a robot.

    Answers the open inquiry (R1), or is the first to write (R4).
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
"""The class of each event type, by the type's name."""

CHAT_TYPES: Final = frozenset(
    name for name, model in MODELS.items() if issubclass(model, _ChatEvent)
)
"""The types of events in the topic of chats."""

ORDER_TYPES: Final = frozenset(MODELS) - CHAT_TYPES
"""The types of events in the topic of orders."""


def topic_of(name: str) -> Literal["orders", "chats"]:
    """The topic, without the setting's prefix, in which events of a type stand."""
    return "chats" if name in CHAT_TYPES else "orders"


def common_of(name: str) -> tuple[str, ...]:
    """Names, as written, of the fields that every event in the topic of this type has, beside what its subject is."""
    return (
        ("type", "id", "source", "occurred_at")
        if name in CHAT_TYPES
        else ("type", "id", "source", "occurred_at", "order_id")
    )
