"""The forms of journal records: the rows that netsold writes, whose sums the tables are.

Each record is a JSON object; `type` names its form. The journals, their keys and what they hold are
in the catalogue (tables/catalogue.py: `PUBLIC_TOPICS`). Marks have no key.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from schemas.columns import SaleColumns


class Delta(SaleColumns, frozen=True, gc=False, array_like=False):
    """The part of an `Entry` that a table of sums adds up; `decoder_by` adds the id of its key."""

    currency: str
    cycle: str
    """The cycle's start, ISO 8601."""
    restates: bool
    """Whether the cycle had ended by the event time of the event's partition (S13)."""


class Entry(
    SaleColumns,
    frozen=True,
    gc=False,
    array_like=False,
    omit_defaults=True,
    tag_field="type",
    tag="entry",
):
    """The change of one journal row by one event: signed differences of its columns.

    A row belongs to one line of one cycle, to one sale of it (`sold_at`), and either to the sale
    itself (gross, `orders`) or to one refund of it (`refund_id`: reversed in the sale's cycle,
    booked in the refund's). So the columns also add up by day: gross and reversed by the day of
    `sold_at`, booked by the day of `refunded_at`.
    """

    product_id: str
    currency: str
    cycle: str
    """The cycle's start, ISO 8601."""
    restates: bool
    """Whether the cycle had ended by the event time of the event's partition (S13)."""
    id: str
    """topic-partition@offset of the event, then # and the entry's index within it; unique."""
    shop_id: str
    buyer_id: str
    order_id: str
    line_id: str
    sold_at: str
    """The receipt by which the line is a sale (S2), ISO 8601 with milliseconds."""
    event_type: str
    event_id: str
    event_source: str
    occurred_at: str
    """When the event happened, ISO 8601 with milliseconds."""
    rules: int
    terms: str = ""
    """The name of the terms by which it counts (tables/terms.py); empty in rows before rules 8."""
    refund_id: str | None = None
    refunded_at: str | None = None
    """When that refund succeeded, ISO 8601 with milliseconds."""


class Sold(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The sum of some entries of one shop, cycle and currency."""

    cycle: str
    currency: str
    restates: int
    """How many of the entries restate."""
    columns: SaleColumns


class Bought(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The change of one buyer's orders with a sale in one cycle of a shop (R6)."""

    buyer_id: str
    cycle: str
    orders: int


class ServiceChange(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Signed changes of service columns (tables/service.py) in one cycle."""

    cycle: str
    columns: dict[str, int]
    restates: bool


class ServiceRow(ServiceChange, frozen=True, gc=False):
    """A change of service by one event."""

    id: str
    """topic-partition@offset of the event, then #s and the row's index within it; unique."""
    event_type: str
    event_id: str
    event_source: str
    occurred_at: str


class Service(ServiceRow, frozen=True, gc=False, tag_field="type", tag="service"):
    """A change of one product's service columns by one event of an order (R3, R5)."""

    shop_id: str
    product_id: str
    rules: int
    terms: str = ""
    """As in an `Entry`."""


class Served(ServiceRow, frozen=True, gc=False, array_like=True):
    """A change of a shop's own service columns by one event of an order (R3, R5)."""


class Replied(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Signed changes of a shop's reply columns in one cycle, by messages or timers (R1, R2)."""

    cycle: str
    columns: dict[str, int]
    restates: int
    """How many of the inquiries' changes restate."""


class ProgressMark(msgspec.Struct, frozen=True, tag_field="type", tag="mark"):
    """A source partition is applied up to and including `offset`.

    `watermark_ms` is the latest event time in it. `confirmed_ms` is the latest event time that two
    orders or conversations, or a tick, have reached. `build` wrote it, and in the same transaction
    the records of this source partition before it (`streams/build.py`); empty in marks that do not
    name it.
    """

    topic: str
    partition: int
    offset: int
    watermark_ms: int | None
    confirmed_ms: int | None = None
    build: str = ""


class Contact(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """When a shop first had reason to write to a buyer about an order (R4), epoch milliseconds.

    None withdraws the reason. The latest record about an order is valid.
    """

    buyer_id: str
    order_id: str
    at_ms: int | None


Wrote = tuple[int, int, str]
"""One message: its instant in epoch milliseconds, the side (0 buyer, 1 shop), and the order that
it is about, empty for none (R4)."""


class Messages(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Messages between a shop and a buyer (R4), each once, and those that are withdrawn (S11)."""

    buyer_id: str
    wrote: list[Wrote]
    retracted: list[Wrote]


class Late(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An entry among those in `sold` that restates (S13), and the event that it comes from."""

    cycle: str
    id: str
    event_type: str
    event_id: str
    event_source: str
    occurred_at: str
    order_id: str


class ShopActivity(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="shop_activity"
):
    """The changes of one shop by one chunk, or by a part of it."""

    shop_id: str
    rules: int
    terms: str = ""
    """As in an `Entry`."""
    sold: list[Sold] = []
    bought: list[Bought] = []
    served: list[Served] = []
    replied: list[Replied] = []
    contacts: list[Contact] = []
    messages: list[Messages] = []
    late: list[Late] = []


_encoder: Final = msgspec.json.Encoder()
encode = _encoder.encode
"""A record → bytes."""

decode = msgspec.json.Decoder(Entry | Service | ShopActivity | ProgressMark).decode
"""Bytes → the record; raises msgspec's errors."""

decode_activity = msgspec.json.Decoder(ShopActivity | ProgressMark).decode
"""Bytes of `shop-activity` → what its stage adds up; raises msgspec's errors."""


def decoder_by(id_name: str) -> Callable[[bytes], Delta | ServiceChange | ProgressMark]:
    """For a journal with this key: bytes → what a table of sums adds up, with the id as `subject`.

    Other fields are not decoded. The decoder raises msgspec's errors. TypeError if an entry doesn't
    have the id.
    """
    if id_name not in Entry.__struct_fields__:
        raise TypeError(f"an entry has no {id_name}: no journal can have it as its key")

    class Sale(
        Delta, frozen=True, gc=False, tag_field="type", tag="entry", rename={"subject": id_name}
    ):
        subject: str

    class OwnService(
        ServiceChange,
        frozen=True,
        gc=False,
        tag_field="type",
        tag="service",
        rename={"subject": id_name},
    ):
        subject: str

    return msgspec.json.Decoder(Sale | OwnService | ProgressMark).decode
