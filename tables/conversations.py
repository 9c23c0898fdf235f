"""A conversation is the set of messages known between one shop and one buyer; `absorb` adds one (S11, S12).

As with orders, the set is all that is kept: what counts is derived from it anew (`replies`), so the order of arrival can't matter.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from schemas.envelope import Said

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""

BUYER: Final = 0
SHOP: Final = 1
"""The sides; at one millisecond the buyer was first (R1)."""


class Written(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. `(source, id)` is its identity (S11); `by` is who or what wrote for the shop, None if the buyer did."""

    at_ms: int
    side: int
    id: str
    source: str
    message_id: str
    order_id: str | None
    by: str | None


class Alerted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An inquiry whose being overdue was told, by the identity of a message of it; `late` once its late answer was told, too."""

    source: str
    id: str
    late: bool


class Conversation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is known: the messages in order, whether the last inquiry was counted as overdue, and what was alerted."""

    version: int = VERSION
    written: tuple[Written, ...] = ()
    overdue: bool = False
    alerted: tuple[Alerted, ...] = ()


class Heard(NamedTuple):
    """A conversation after a message, the message that is new in it, where it stands, and the one that it replaced, if any."""

    conversation: Conversation
    new: Written
    at: int
    gone: Written | None


EMPTY: Final = Conversation()

_encoder: Final = msgspec.json.Encoder()
encode: Final[Callable[[Conversation], bytes]] = _encoder.encode
"""Conversation → bytes."""
decode: Final[Callable[[bytes], Conversation]] = msgspec.json.Decoder(Conversation).decode
"""Bytes → conversation; raises msgspec's errors."""


def absorb(conversation: Conversation, said: Said) -> Heard | None:
    """The conversation with one more message, or None if that tells nothing new (S11). Its order of arrival doesn't matter (S12)."""
    new = Written(
        said.occurred_at_ms, SHOP if said.by else BUYER, said.id, said.source, said.message_id, said.order_id, said.by
    )  # fmt: skip
    gone = None
    for one in conversation.written:
        if one.id == said.id and one.source == said.source:
            gone = one
    if gone is not None and _precedence(gone) <= _precedence(new):
        return None
    written = conversation.written if gone is None else tuple([one for one in conversation.written if one is not gone])
    at = len(written)
    if at and place(written[-1]) > place(new):
        at = bisect_left(written, place(new), key=place)
    changed = Conversation(VERSION, (*written[:at], new, *written[at:]), conversation.overdue, conversation.alerted)
    return Heard(changed, new, at, gone)


def place(one: Written) -> tuple[int, int, str, str]:
    """Where a message stands among the others."""
    return one.at_ms, one.side, one.id, one.source


def _precedence(one: Written) -> tuple[int, bytes]:
    """What decides which of two messages with one identity holds, the smaller: (`at_ms`, canonical JSON of the content) (S11)."""
    said = {"type": "seller_replied" if one.by else "buyer_messaged", "message_id": one.message_id, "order_id": one.order_id, "by": one.by}
    return one.at_ms, msgspec.json.encode({name: value for name, value in said.items() if value is not None}, order="sorted")
