"""A row of the table `overdue`: an inquiry that is overdue and waits for its answer (R2)."""

from typing import Final

import msgspec

from tables.replies import Inquiry

OVERDUE_VERSION: Final = 1
"""Version of the row's form.

[version, opened_ms, due_ms, message_id, order_id or null].
"""

_encode: Final = msgspec.json.encode


def overdue_row(inquiry: Inquiry) -> bytes:
    """The row's bytes; the ids are those of the inquiry's first message."""
    first = inquiry.questions[0]
    return _encode(
        (OVERDUE_VERSION, inquiry.opened_ms, inquiry.due_ms, first.message_id, first.order_id)
    )


def due_of(row: bytes) -> int:
    """When the inquiry of a row was due, in epoch milliseconds."""
    due_ms: int = msgspec.json.decode(row)[2]
    return due_ms
