"""A conversation is the set of messages known between one shop and one buyer.

`absorb` adds one (S11, S12).

As with orders, the set is all that is kept: what counts is derived from it anew (`replies`), so the
order of arrival can't matter.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from schemas.envelope import Written

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""


class Alerted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An inquiry whose being overdue was told, by the identity of a message of it.

    `late` once its late answer was told, too.
    """

    source: str
    id: str
    late: bool


class Conversation(msgspec.Struct, array_like=True, gc=False):
    """All that is known: the messages in order, whether the last inquiry was counted as overdue, and what was alerted."""

    version: int = VERSION
    written: list[Written] = msgspec.field(default_factory=list)
    overdue: bool = False
    alerted: tuple[Alerted, ...] = ()


_encoder: Final = msgspec.json.Encoder()
encode: Final[Callable[[Conversation], bytes]] = _encoder.encode
"""Conversation → bytes."""
decode: Final[Callable[[bytes], Conversation]] = msgspec.json.Decoder(Conversation).decode
"""Bytes → conversation; raises msgspec's errors."""


def absorb(written: list[Written], ids: set[str], new: Written) -> Sequence[Written] | None:
    """Add a message to those of a conversation.

    Those that it replaced, at most one, or None if it tells nothing new (S11).

    Its order of arrival doesn't matter (S12). `ids` are those of the messages: without them, each
    would be looked at for its like.
    """
    gone = (
        [one for one in written if one.id == new.id and one.source == new.source]
        if new.id in ids
        else []
    )
    for one in gone:
        if precedence(one) <= precedence(new):
            return None
        written.remove(one)
    ids.add(new.id)
    written.insert(bisect_left(written, place(new), key=place), new)
    return gone


def place(one: Written) -> tuple[int, int, str, str]:
    """Where a message stands among the others."""
    return one.at_ms, one.side, one.id, one.source


def precedence(one: Written) -> tuple[int, bytes]:
    """What decides which of two messages with one identity holds, the smaller.

    (`at_ms`, canonical JSON of the content) (S11).
    """
    said = {
        "type": "seller_replied" if one.by else "buyer_messaged",
        "message_id": one.message_id,
        "order_id": one.order_id,
        "by": one.by,
    }
    return one.at_ms, msgspec.json.encode(
        {name: value for name, value in said.items() if value is not None}, order="sorted"
    )
