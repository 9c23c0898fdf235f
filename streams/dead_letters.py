"""Dead letters: refused records, parked unchanged in the chunk's own transaction.

Headers say why and where from: those of Kafka Streams (`__streams.errors.…`, which tools know) and
ours (`x-dlq-…`). Key, value and headers of the record itself don't change, so that it can be put
back.
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
    r"""The headers of a parked record: its own, then its position and why it was refused.

    Bytes of a name that aren't UTF-8 (`batches.ESCAPED`) are written out, as in `caf\udce9`:
    Kafka's names are texts.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    added = {
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
    return [*own, *((name, text.encode()) for name, text in added.items())]
