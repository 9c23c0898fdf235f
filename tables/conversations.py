"""A conversation: the set of messages known between one shop and one buyer.

`add_message` adds one (S11, S12). As with orders, the messages are all that is kept. What counts
is derived from them (`replies`), so the order of arrival doesn't matter.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from schemas.envelope import Written
from tables.formats import reader

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""


class Alerted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An inquiry for which an overdue alert was sent; named by one of its messages.

    `late` is true once its late answer was alerted, too.
    """

    source: str
    id: str
    late: bool


class Conversation(msgspec.Struct, array_like=True, gc=False):
    """The state of a conversation.

    `written` are the messages in order. `overdue`: the last inquiry counts as overdue. `alerted`
    are the inquiries for which an alert was sent.
    """

    version: Literal[1] = VERSION
    written: list[Written] = msgspec.field(default_factory=list)
    overdue: bool = False
    alerted: tuple[Alerted, ...] = ()


_encoder: Final = msgspec.json.Encoder()
encode: Final[Callable[[Conversation], bytes]] = _encoder.encode
"""Conversation → bytes."""
decode: Final[Callable[[bytes], Conversation]] = reader(
    "chats", VERSION, msgspec.json.Decoder(Conversation).decode
)
"""Bytes → conversation; raises as `formats.reader`."""


def add_message(written: list[Written], ids: set[str], new: Written) -> Sequence[Written] | None:
    """Add a message in its place (S12), and return the ones it replaced, at most one.

    None, with nothing changed, if a message with its identity has precedence (S11). `ids` are the
    ids of all messages; they save a search for the identity.
    """
    replaced = (
        [message for message in written if message.id == new.id and message.source == new.source]
        if new.id in ids
        else []
    )
    for message in replaced:
        if message_precedence(message) <= message_precedence(new):
            return None
        written.remove(message)
    ids.add(new.id)
    written.insert(bisect_left(written, place(new), key=place), new)
    return replaced


def place(message: Written) -> tuple[int, int, str, str]:
    """The sort key of a message among the others of a conversation."""
    return message.at_ms, message.side, message.id, message.source


def message_precedence(message: Written) -> tuple[int, bytes]:
    """The smaller of two messages with one identity is kept (S11).

    (`at_ms`, canonical JSON of the content).
    """
    content = {
        "type": "seller_replied" if message.by else "buyer_messaged",
        "message_id": message.message_id,
        "order_id": message.order_id,
        "by": message.by,
    }
    return message.at_ms, msgspec.json.encode(
        {name: value for name, value in content.items() if value is not None}, order="sorted"
    )
