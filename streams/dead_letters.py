"""Dead letters: refused records, parked unchanged in the chunk's own transaction.

Headers say why and where from: those of Kafka Streams (`__streams.errors.…`, which tools know) and
ours (`x-dlq-…`). Key, value and headers of the record itself don't change, so that it can be put
back. One that was put back and is refused again keeps the count of its attempts, and the time when
it was refused first.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from schemas.letters import ATTEMPT, FIRST_FAILED_AT, REQUEUE_HEADERS, REQUEUED_FROM, attempt_of

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
    was_requeued = any(name == REQUEUED_FROM for name, _ in record.headers)
    former = (
        {name: value for name, value in record.headers if name in REQUEUE_HEADERS}
        if was_requeued
        else {}
    )
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
        FIRST_FAILED_AT: now,
        ATTEMPT: str(attempt_of(former.get(ATTEMPT))),
    }
    own = [
        (name.encode(errors="backslashreplace").decode(), value)
        for name, value in record.headers
        if name not in former
    ]
    # the attempt is written as a number of ours, whatever the record has there
    kept = {name: value for name, value in former.items() if name != ATTEMPT and value}
    return [*own, *({name: text.encode() for name, text in added.items()} | kept).items()]
