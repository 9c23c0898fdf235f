"""The rows of the table `overdue`: an inquiry without a reply, as bytes.

The chat stage writes them; readers and reports decode them.
"""

from typing import Final, Literal

import msgspec

from tables.formats import reader

VERSION: Final = 1
"""Version of the form; the first element of the bytes."""


class OverdueRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An overdue inquiry (R2): when it opened and was due, and the message that opened it."""

    version: Literal[1]
    opened_ms: int
    due_ms: int
    message_id: str
    order_id: str | None


def encode(opened_ms: int, due_ms: int, message_id: str, order_id: str | None) -> bytes:
    """The row of an overdue inquiry; equal inquiries give equal bytes."""
    return msgspec.json.encode(OverdueRow(VERSION, opened_ms, due_ms, message_id, order_id))


decode: Final = reader("overdue", VERSION, msgspec.json.Decoder(OverdueRow).decode)
"""Bytes → OverdueRow; raises as `formats.reader`."""
