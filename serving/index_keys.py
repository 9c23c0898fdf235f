"""The keys of the event index: every layout by name. The rules of `serving/keys.py` hold here, too.

An event of an order is at the order, its partition and its offset. Orders are at what names them:
a refund, or the shop, a product or nothing, with the instant at which the order was placed.
"""

from __future__ import annotations

from typing import Final

from serving import keys

EVENTS: Final = b"e"
REFUNDS: Final = b"r"
BY_SHOP: Final = b"s"
BY_PRODUCT: Final = b"p"
BY_TIME: Final = b"t"
DEAD_LETTERS: Final = b"d"

_PARTITION_WIDTH: Final = 4
_OFFSET_WIDTH: Final = 8
_EVERY_ORDER: Final = b""
"""In place of an id where orders are by time alone."""


def events_of(order_id: bytes) -> bytes:
    """The prefix of all events of an order."""
    return keys.subject(EVENTS, order_id)


def event(order_id: bytes, partition: int, offset: int) -> bytes:
    """The key of a record that names an order."""
    place = partition.to_bytes(_PARTITION_WIDTH, "big") + offset.to_bytes(_OFFSET_WIDTH, "big")
    return events_of(order_id) + place


def in_partition(order_id: bytes, partition: int) -> bytes:
    """The prefix of an order's events in one partition."""
    return event(order_id, partition, 0)[:-_OFFSET_WIDTH]


def offset_of(key: bytes) -> int:
    """The offset in a key of an event."""
    return int.from_bytes(key[-_OFFSET_WIDTH:], "big")


def of_refund(refund_id: bytes, order_id: bytes = b"") -> bytes:
    """The key of an order that a refund is of; without the order, the prefix of all."""
    return keys.subject(REFUNDS, refund_id) + order_id


def placed(space: bytes, id_: bytes, at_ms: int, order_id: bytes) -> bytes:
    """The key of an order that was placed at an instant, in a space of shops or products."""
    return keys.row(space, id_, at_ms) + order_id


def by_time(at_ms: int, order_id: bytes) -> bytes:
    """The same among all orders."""
    return placed(BY_TIME, _EVERY_ORDER, at_ms, order_id)


def before(prefix: bytes, at_ms: int) -> bytes:
    """The place behind the prefix that is in front of all orders placed at an instant or later.

    No key is there: a key has an order.
    """
    space, id_ = prefix[:1], prefix[1:-1]
    return keys.row(space, id_, at_ms)


def split_placed(prefix: bytes, key: bytes) -> tuple[int, bytes]:
    """(instant, order) in a key that `placed` made, behind its prefix."""
    end = len(prefix) + keys.NUMBER_WIDTH
    return keys.split_row(key[:end])[1], key[end:]


def dead_letter(position: bytes) -> bytes:
    """The key of the dead letter of a record; the position is as text, such as `orders-3@1841`."""
    return DEAD_LETTERS + position
