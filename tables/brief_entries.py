"""Journal entries in brief, as a reader keeps them by product and by shop.

A brief entry has what sums at an earlier moment and explanations need: when, by which event, of
which order, and how much. Entries that change no sum of a table are left out.
"""

from collections.abc import Callable
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, Final

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


class SaleEntry(Delta, frozen=True, gc=False, tag_field="type", tag="entry"):
    """The part of a journal entry that readers add up."""

    id: str
    product_id: str
    shop_id: str
    order_id: str
    sold_at: str
    refunded_at: str | None = None


Fields = tuple[Any, ...]
"""The fields of a BriefEntry, in order. They are encoded as it is, and made in half the time."""


class _Service(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="service"):
    pass


_columns: Final = attrgetter(*SALE_COLUMNS)
_summed: Final = itemgetter(*[SALE_COLUMNS.index(name) for name in SUMMED])
_decode_record: Final = msgspec.json.Decoder(SaleEntry | _Service).decode

encode_entries: Final[Callable[[list[Fields]], bytes]] = msgspec.msgpack.Encoder().encode
"""The fields of brief entries of one id and cycle → bytes."""
decode_entries: Final[Callable[[bytes], list[BriefEntry]]] = msgspec.msgpack.Decoder(
    list[BriefEntry]
).decode
"""Bytes → brief entries; raises msgspec's errors."""


@cache
def _partition_of(place: str) -> int:
    """The partition of an event's place in the log, such as `orders-3`: there are few."""
    return int(place.rpartition("-")[2])


def in_brief(value: bytes) -> tuple[SaleEntry, int, int | None, Fields] | None:
    """A record of the sales journal in brief; it runs for each.

    (entry, `at_ms`, `sold_ms`, the fields of its brief entries before `other_id`), as in
    BriefEntry. None of a row of service, or of an entry that changes no sum. Raises msgspec's
    errors.
    """
    entry = _decode_record(value)
    if isinstance(entry, _Service):
        return None
    columns = _columns(entry)
    if not any(_summed(columns)):
        return None
    place, _, rest = entry.id.rpartition("@")
    sold_ms, at_ms = None, times.parse_ms(entry.sold_at)
    if entry.refunded_at is not None:
        sold_ms, at_ms = at_ms, times.parse_ms(entry.refunded_at)
    offset = int(rest.partition("#")[0])
    more = _partition_of(place), offset, at_ms, entry.restates, entry.currency, entry.order_id
    return entry, at_ms, sold_ms, columns + more
