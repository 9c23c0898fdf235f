"""The journal: what netsold writes for pipelines to read. Tables are its sums.

JSON objects, told apart by `type`.

The topic `sales` (key product_id) has an entry for every change, and service rows of products. The
topic `shop-activity` (key shop_id) has what a chunk changed of each shop: the same entries summed,
service rows, replies summed, contacts and messages. Marks have no key.
"""

from typing import Final

import msgspec

RULES: Final = 5
"""Version of the rules (S1-S13, C1-C4, R1-R6) and forms by which entries and rows are made;
another version is a rebuild."""


class Entry(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="entry"):
    """How one line's part in one cycle changed because of one event.

    Signed differences of units, and of money in minor units.

    A row is wide, so that a table is at any time the sum of its columns: `_gross` what was sold,
    `_reversed` what was taken off this cycle's sales whenever it happened (basis sale), `_booked`
    what was taken off in this cycle, of whatever sale (basis refund) (S6).
    """

    id: str
    """Where it comes from: topic-partition@offset of the event, # index within the event; never
    given twice."""
    product_id: str
    shop_id: str
    buyer_id: str
    order_id: str
    line_id: str
    currency: str
    cycle: str
    """The cycle's start, ISO 8601."""
    units_gross: int
    units_reversed: int
    units_booked: int
    amount_gross: int
    amount_reversed: int
    amount_booked: int
    orders: int
    """How many more (or fewer) orders with a sale the buyer has here (R6); an order stands in
    one line of one cycle."""
    restates: bool
    """Whether the cycle had already ended by the event time of the event's partition (S13)."""
    event_type: str
    event_id: str
    event_source: str
    occurred_at: str
    """When the event happened, ISO 8601 with milliseconds."""
    rules: int = RULES


class Mark(msgspec.Struct, frozen=True, tag_field="type", tag="mark"):
    """How far a source partition has been applied: everything up to `offset`.

    `watermark_ms` is the latest event time seen in it, `confirmed_ms` the latest that doesn't rest
    on one order's or conversation's dates alone.
    """

    topic: str
    partition: int
    offset: int
    watermark_ms: int | None
    confirmed_ms: int | None = None


class Delta(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="entry"):
    """What the product tables need of an Entry; the same fields under the same names."""

    product_id: str
    currency: str
    cycle: str
    units_gross: int
    units_reversed: int
    units_booked: int
    amount_gross: int
    amount_reversed: int
    amount_booked: int
    restates: bool


class Sold(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The columns of some entries of one shop, cycle and currency, summed.

    `restates` is how many of them restate.
    """

    cycle: str
    currency: str
    units_gross: int
    units_reversed: int
    units_booked: int
    amount_gross: int
    amount_reversed: int
    amount_booked: int
    restates: int


class Bought(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How many more (or fewer) orders with a sale a buyer has in one cycle of a shop, by some entries (R6)."""

    buyer_id: str
    cycle: str
    orders: int


class Service(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="service"):
    """How a product's part in its shop's service changed in one cycle (R3, R5).

    Signed differences of the columns of tables/service.py.
    """

    id: str
    shop_id: str
    product_id: str
    cycle: str
    columns: dict[str, int]
    restates: bool
    event_type: str
    event_id: str
    event_source: str
    occurred_at: str
    rules: int = RULES


class ServiceDelta(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="service"):
    """What the tables need of a Service row; the same fields under the same names."""

    product_id: str
    cycle: str
    columns: dict[str, int]
    restates: bool


class Served(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How a shop's service changed in one cycle because of one event of an order (R3, R5), as `Service` says it of products."""

    id: str
    cycle: str
    columns: dict[str, int]
    restates: bool
    event_type: str
    event_id: str
    event_source: str
    occurred_at: str


class Replied(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How a shop's replies in one cycle changed by some messages, and as event time came on (R1, R2): differences of columns, summed.

    `restates` is how many changes of an inquiry restate.
    """

    cycle: str
    columns: dict[str, int]
    restates: int


class Contact(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Since when, in epoch milliseconds, a shop has reason to write to a buyer about an order (R4); None if it has none after all.

    The last one about an order holds.
    """

    buyer_id: str
    order_id: str
    at_ms: int | None


Wrote = tuple[int, int, str]
"""When somebody wrote, in epoch milliseconds; who, 0 the buyer or 1 the shop; and about which
order, empty for none (R4)."""


class Messages(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a shop and a buyer wrote to each other (R4), each message once, and what is taken back as another message holds (S11)."""

    buyer_id: str
    wrote: list[Wrote]
    retracted: list[Wrote]


class ShopActivity(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="shop_activity"
):
    """What changed of one shop, as far as it came together."""

    shop_id: str
    rules: int
    sold: list[Sold] = []
    bought: list[Bought] = []
    served: list[Served] = []
    replied: list[Replied] = []
    contacts: list[Contact] = []
    messages: list[Messages] = []


_encoder: Final = msgspec.json.Encoder()
encode = _encoder.encode
"""Any of these → bytes."""

decode = msgspec.json.Decoder(Entry | Service | ShopActivity | Mark).decode
"""Bytes → what was encoded; raises msgspec's errors."""

decode_product = msgspec.json.Decoder(Delta | ServiceDelta | Mark).decode
"""Bytes of `sales` → what its tables need; raises msgspec's errors."""

decode_activity = msgspec.json.Decoder(ShopActivity | Mark).decode
"""Bytes of `shop-activity` → what its tables need; raises msgspec's errors."""
