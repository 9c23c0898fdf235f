"""Journal entries in brief, as a reader keeps them by product and by shop.

A brief entry has what sums at an earlier moment and explanations need: when, by which event, of
which order, and how much. Entries that change no sum of a table are left out.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from schemas import times
from schemas.columns import SALE_COLUMNS, SUMMED, SaleColumns
from schemas.journal import Delta


class BriefEntry(SaleColumns, frozen=True, gc=False, array_like=True):
    """One journal entry of a product or a shop, in one cycle.

    `at_ms` is when it happened: the refund's instant in a refund's row, else the sale's (S2, S6).
    `other_id` is the shop in a product's entry, the product in a shop's. Amounts are in minor units
    of `currency`.
    """

    partition: int
    """The source partition of the event that caused it."""

    offset: int
    """That event's offset."""

    at_ms: int
    restates: bool
    currency: str
    order_id: str
    other_id: str
    sold_ms: int | None = None
    """The instant of the sale in a refund's row; None in the sale's own."""


class Owned(NamedTuple):
    """A brief entry with the cycle and the id whose entry it is: `keyed_by` names the id."""

    keyed_by: str
    id: str
    cycle: str
    entry: BriefEntry


class _Entry(Delta, frozen=True, gc=False, tag_field="type", tag="entry"):
    id: str
    product_id: str
    shop_id: str
    order_id: str
    sold_at: str
    refunded_at: str | None = None


class _Service(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="service"):
    pass


_columns: Final = attrgetter(*SALE_COLUMNS)
_summed: Final = attrgetter(*SUMMED)
_decode_record: Final = msgspec.json.Decoder(_Entry | _Service).decode

encode_entries: Final[Callable[[list[BriefEntry]], bytes]] = msgspec.msgpack.Encoder().encode
"""Brief entries of one id and cycle → bytes."""
decode_entries: Final[Callable[[bytes], list[BriefEntry]]] = msgspec.msgpack.Decoder(
    list[BriefEntry]
).decode
"""Bytes → brief entries; raises msgspec's errors."""


def owned(value: bytes) -> tuple[Owned, ...]:
    """A record of the sales journal as brief entries: the product's and the shop's.

    None of a row of service, or of an entry that changes no sum. Raises msgspec's errors.
    """
    row = _decode_record(value)
    if isinstance(row, _Service) or not any(_summed(row)):
        return ()
    place, _, rest = row.id.rpartition("@")
    common = (
        *_columns(row),
        int(place.rpartition("-")[2]),
        int(rest.partition("#")[0]),
        times.parse_ms(row.refunded_at or row.sold_at),
        row.restates,
        row.currency,
        row.order_id,
    )
    sold_ms = None if row.refunded_at is None else times.parse_ms(row.sold_at)
    product_id, shop_id = row.product_id, row.shop_id
    of_product = BriefEntry(*common, shop_id, sold_ms)  # type: ignore[call-arg]  # see tables/entries
    of_shop = BriefEntry(*common, product_id, sold_ms)  # type: ignore[call-arg]  # as above
    return (
        Owned("product_id", product_id, row.cycle, of_product),
        Owned("shop_id", shop_id, row.cycle, of_shop),
    )
