"""Parking of records that can't be read.

As they came, with reason and position, in the chunk's own transaction.

Headers are those of Kafka Streams (`__streams.errors.…`, which tools know) and ours (`x-dlq-…`);
the original key, value and headers stay untouched, so that a record can be put back as it was.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.envelope import Record
    from schemas.positions import Position
    from schemas.refusals import Refusal


def parked_headers(
    record: Record, position: Position, refusal: Refusal, app: str
) -> list[tuple[str, bytes]]:
    r"""The headers of a parked record.

    The original ones, then where it stood and why it was refused.

    Bytes of a name that aren't UTF-8 (`batches.ESCAPED`) are written out, as in `caf\udce9`:
    Kafka's names are texts.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    said = {
        "__streams.errors.exception": "schemas.refusals.Refusal",
        "__streams.errors.message": f"{refusal.reason.sentence} {refusal.detail}".strip(),
        "__streams.errors.stacktrace": "",
        "__streams.errors.topic": position.topic,
        "__streams.errors.partition": str(position.partition),
        "__streams.errors.offset": str(position.offset),
        "x-dlq-id": str(position),
        "x-dlq-reason": refusal.reason.value,
        "x-dlq-app": app,
        "x-dlq-first-failed-at": now,
    }
    own = [
        (name.encode(errors="backslashreplace").decode(), value) for name, value in record.headers
    ]
    return [*own, *((name, text.encode()) for name, text in said.items())]
