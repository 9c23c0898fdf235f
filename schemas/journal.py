"""The sales journal: what netsold writes for pipelines to read. Tables are its sums. JSON objects, told apart by `type`.

In the topic `sales` (key product_id) and, the same bytes, in `shop-activity` (key shop_id); marks have no key.
"""

from typing import Final

import msgspec

RULES: Final = 1
"""Version of the rules (S1-S13, C1-C4) by which entries are made; another version is a rebuild."""


class Entry(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="entry"):
    """How one line's part in one cycle changed because of one event: signed differences of units, and of money in minor units.

    A row is wide, so that a table is at any time the sum of its columns: `_gross` what was sold, `_reversed` what was taken off
    this cycle's sales whenever it happened (basis sale), `_booked` what was taken off in this cycle, of whatever sale (basis
    refund) (S6).
    """

    id: str
    """Where it comes from: topic-partition@offset of the event, # index within the event; never given twice."""
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
    restates: bool
    """Whether the cycle had already ended by the event time of the event's partition (S13)."""
    event_type: str
    event_id: str
    event_source: str
    occurred_at: str
    """When the event happened, ISO 8601 with milliseconds."""
    rules: int = RULES


class Mark(msgspec.Struct, frozen=True, tag_field="type", tag="mark"):
    """How far a source partition has been applied: everything up to `offset`; `watermark_ms` is the latest event time seen in it."""

    topic: str
    partition: int
    offset: int
    watermark_ms: int | None


class Delta(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="entry"):
    """What the tables need of an Entry; the same fields under the same names."""

    product_id: str
    shop_id: str
    currency: str
    cycle: str
    units_gross: int
    units_reversed: int
    units_booked: int
    amount_gross: int
    amount_reversed: int
    amount_booked: int
    restates: bool


_encoder: Final = msgspec.json.Encoder()
encode = _encoder.encode
"""Entry or Mark → bytes."""

decode = msgspec.json.Decoder(Entry | Mark).decode
"""Bytes → Entry or Mark; raises msgspec's errors."""

decode_delta = msgspec.json.Decoder(Delta | Mark).decode
"""Bytes → Delta or Mark; raises msgspec's errors."""
