"""The forms of records on the topics of tables (`product-sales`, `shop-sales`) and on `cycles`.

They are for readers without netsold: each is a JSON object, and `type` names its form. Sums have
the names of the API (schemas/answers.py). `rules` is the version of the rules that made a record.
"""

from typing import Final, Literal

import msgspec

Subject = Literal["product", "shop", "marketplace"]

COMPLETE_KEY: Final = b"complete_through"
"""The key of a `CompleteThrough`: a compacted topic has no record without a key, and keeps one of
these in each partition. No row's key is equal to it, as those contain `@`."""

COMPLETE_HEADER: Final = "complete_through"
"""The header of such a record, by which Kafka Connect can leave it out."""

ALL_TIME: Final = b"all"
"""In the place of the cycle, in the key of a row of all time."""


class PublishedCycle(msgspec.Struct, frozen=True, gc=False):
    """A cycle: `[start, end)`."""

    start: str
    end: str


class Sums(msgspec.Struct, frozen=True, gc=False):
    """Sums of units, or of money in minor units of one currency; net = gross - reversed (S6).

    `reversed` is what refunds took off these sales at any time. `reversals_booked` is what refunds
    in this cycle took off any sale.
    """

    gross: int
    reversed: int
    net: int
    reversals_booked: int


class SoldSums(msgspec.Struct, frozen=True):
    """What was sold: units, and by currency units and money.

    A currency without any is left out there.
    """

    units: Sums
    units_by_currency: dict[str, Sums]
    revenue: dict[str, Sums]


class ProductSales(msgspec.Struct, frozen=True, tag_field="type", tag="product_sales"):
    """A product's sales in one cycle, or of all time (C4): the row as the table has it now.

    Of a cycle, `units.net` is the API's `sold_monthly` by basis `sale`; of all time, it is
    `successfully_traded`.
    """

    product_id: str
    cycle: PublishedCycle | None
    units: Sums
    units_by_currency: dict[str, Sums]
    revenue: dict[str, Sums]
    restatements: int
    rules: int


class ShopSales(msgspec.Struct, frozen=True, tag_field="type", tag="shop_sales"):
    """A shop's sales in one cycle, or of all time (C4): the row as the table has it now.

    Of a cycle, `units.net` is the API's `sold_monthly` by basis `sale`; of all time, it is
    `successfully_traded`.
    """

    shop_id: str
    cycle: PublishedCycle | None
    units: Sums
    units_by_currency: dict[str, Sums]
    revenue: dict[str, Sums]
    restatements: int
    rules: int


class CompleteThrough(msgspec.Struct, frozen=True, tag_field="type", tag="complete_through"):
    """How far this partition is complete.

    In a topic of rows, they include every event until `as_of` that arrived in time, and each source
    partition up to its offset in `applied`. In `cycles`, every cycle of the products, or shops, of
    this partition that ends until `as_of` has ended: their records are before this one.
    """

    subject: Literal["product", "shop"]
    as_of: str | None
    applied: dict[str, int]
    rules: int


class CycleEnded(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    kw_only=True,
    tag_field="type",
    tag="cycle_ended",
):
    """The sales of a cycle when event time was past its end in all source partitions (C2).

    There is one for each product and shop that sold something in the cycle or had a refund booked
    in it, and for the marketplace one from each partition with such products: its share.
    """

    subject: Subject
    product_id: str | None = None
    shop_id: str | None = None
    share: int | None = None
    cycle: PublishedCycle
    revision: str
    as_of: str
    sales: SoldSums
    rules: int


class RestatingEntry(msgspec.Struct, frozen=True, gc=False):
    """A journal entry that restates (S13), and the event that it comes from."""

    id: str
    event_type: str
    event_id: str
    event_source: str
    occurred_at: str
    order_id: str


class Restated(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    kw_only=True,
    tag_field="type",
    tag="restated",
):
    """A later change of a cycle that had ended (C3).

    It has one cause for each entry: a product and a share of the marketplace have one, a shop may
    have several at once.
    """

    subject: Subject
    product_id: str | None = None
    shop_id: str | None = None
    share: int | None = None
    cycle: PublishedCycle
    revision: str
    before: SoldSums
    after: SoldSums
    causes: list[RestatingEntry]
    rules: int


encode: Final = msgspec.json.Encoder().encode
"""A record → bytes."""

decode_restating: Final = msgspec.json.Decoder(RestatingEntry).decode
"""Bytes of an entry → the cause that it is; raises msgspec's errors."""
