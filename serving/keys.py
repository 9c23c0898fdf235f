"""The keys of a reader's store.

One space a letter, ordered so that every list of the API is one forward walk.

Ids hold no control characters, so a zero byte ends an id and no id is taken for the beginning of
another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streams.log import At

IDENTITY: Final = b"\x00identity"
COMPLETE: Final = b"\x00complete"
"""There while the tables hold all that was in the log at some moment; without it nothing may be
answered."""

WRITTEN: Final = b"\x00written"
"""When the store was last written, in epoch milliseconds."""

POSITION: Final = b"\x01"
REACHED: Final = b"\x02"
ORDER: Final = b"o"
PRODUCT: Final = b"c"
SHOP: Final = b"s"
NAMED_PRODUCT: Final = b"np"
"""Of each product that an order names, whether or not it ever sold."""

NAMED_SHOP: Final = b"ns"
PRODUCT_SERVICE: Final = b"C"
SHOP_SERVICE: Final = b"S"
SHOP_SERVICE_EVER: Final = b"E"
CONVERSATION: Final = b"v"
"""Of each conversation with an overdue inquiry: the row, and so where its places in the lists
are."""

OVERDUE: Final = b"d"
SHOP_OVERDUE: Final = b"D"
TOP_SHOPS: Final = {"sales": b"us", "response-rate": b"ur", "good-reviews": b"ug"}
TOP: Final = b"t"
JOURNAL: Final = b"j"

_OFFSET: Final = 2**63
"""Added to signed 64-bit numbers, so that they order as unsigned bytes."""

_UNITS: Final = 2**63 - 1


def of_partition(space: bytes, at: At) -> bytes:
    """The key of something about a followed partition."""
    return b"%b%b-%d" % (space, at[0].encode(), at[1])


def subject(space: bytes, id_: bytes) -> bytes:
    """What all keys of an id begin with: its cycles, or its journal."""
    return space + id_ + b"\x00"


def row(space: bytes, id_: bytes, number: int) -> bytes:
    """The key of an id's cycle (by its start in epoch milliseconds) or journal entry (by its offset); they order by number."""
    return subject(space, id_) + (number + _OFFSET).to_bytes(8, "big")


def split_row(key: bytes) -> tuple[bytes, int]:
    """(id, number) of a key that `row` made."""
    return key[1:-9], int.from_bytes(key[-8:], "big") - _OFFSET


def top_of(start_ms: int) -> bytes:
    """What all keys of a cycle's best sellers begin with."""
    return TOP + (start_ms + _OFFSET).to_bytes(8, "big")


def top(start_ms: int, net: int, id_: bytes) -> bytes:
    """The key of a product among a cycle's best sellers: most net units first, then by id."""
    return top_of(start_ms) + (_UNITS - net).to_bytes(8, "big") + id_


def top_shops_of(by: str, start_ms: int) -> bytes:
    """What all keys of a cycle's best shops begin with."""
    return TOP_SHOPS[by] + (start_ms + _OFFSET).to_bytes(8, "big")


def top_shop(by: str, start_ms: int, numbers: tuple[int, int], id_: bytes) -> bytes:
    """The key of a shop among a cycle's best: the larger numbers first, then by id."""
    return (
        top_shops_of(by, start_ms)
        + b"".join([(_UNITS - number).to_bytes(8, "big") for number in numbers])
        + id_
    )


def split_top_shop(key: bytes) -> tuple[int, bytes]:
    """(cycle's start, shop's id) of a key that `top_shop` made."""
    return int.from_bytes(key[2:10], "big") - _OFFSET, key[26:]


def overdue(due_ms: int, shop_id: str, buyer_id: str) -> tuple[bytes, bytes]:
    """The keys of an overdue inquiry in the list of all and in that of its shop.

    By when it was due, then by shop and buyer.
    """
    due = (due_ms + _OFFSET).to_bytes(8, "big")
    shop, buyer = shop_id.encode(), buyer_id.encode()
    return b"%b%b%b\x00%b" % (OVERDUE, due, shop, buyer), b"%b%b%b" % (
        subject(SHOP_OVERDUE, shop),
        due,
        buyer,
    )


def split_top(key: bytes) -> tuple[int, int, bytes]:
    """(cycle's start, net units, product's id) of a key that `top` made."""
    return (
        int.from_bytes(key[1:9], "big") - _OFFSET,
        _UNITS - int.from_bytes(key[9:17], "big"),
        key[17:],
    )
