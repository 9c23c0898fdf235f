"""A dead letter: what a parked record's headers state about it, and the record as it was refused.

`streams/dead_letters.py` writes the headers. Those of Kafka Streams and ours are no headers of the
record itself.
"""

import re
from typing import Final, Protocol

import msgspec

from schemas import cloudevents, limits
from schemas.envelope import Record
from schemas.positions import Position, position_of
from schemas.refusals import Refusal

REQUEUED_FROM: Final = "x-dlq-requeued-from"
"""Header of a record that was put back: the position of its dead letter."""

ATTEMPT: Final = "x-dlq-attempt"
"""Header: how often the record was put back before."""

FIRST_FAILED_AT: Final = "x-dlq-first-failed-at"
"""Header: when the record was refused for the first time."""

REQUEUE_HEADERS: Final = (REQUEUED_FROM, ATTEMPT, FIRST_FAILED_AT)
"""The headers that putting back adds to a record. Parking it again writes them anew."""

ADDED_HEADERS: Final = {
    "__streams.errors.exception": "a name for the kind of error",
    "__streams.errors.message": "why the record was refused, as a sentence",
    "__streams.errors.stacktrace": "empty",
    "__streams.errors.topic": "the topic of the refused record",
    "__streams.errors.partition": "its partition",
    "__streams.errors.offset": "its offset",
    "x-dlq-id": "its position, such as `orders-3@1841`",
    "x-dlq-reason": "why it was refused, one of the stable reasons",
    "x-dlq-app": "the application that refused it",
    FIRST_FAILED_AT: "when it was refused for the first time, RFC 3339",
    ATTEMPT: "how often it was put back before",
    REQUEUED_FROM: "the position of the dead letter that it was put back from; absent if it wasn't",
}
"""By header that parking adds: its meaning."""

UNNAMED: Final = "unknown"
"""The reason, the topic or the producer of a record that doesn't name it."""

_ADDED: Final = ("x-dlq-", "__streams.errors.")
_NUMBER: Final = re.compile(rb"\d{1,9}")


class LetterRecord(Record, Protocol):
    """The parts of a record of `dead-letters` that are read; aiokafka's ConsumerRecord fits.

    `timestamp` is when it was parked, in epoch milliseconds.
    """

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102


class Letter(msgspec.Struct, frozen=True):
    """A dead letter.

    `position` is its own, in `dead-letters`; `source` that of the refused record, None if another
    program wrote the letter. `key`, `value` and `headers` are the refused record's. `detail` is the
    exact fault, `attempt` how often the record was put back before, and `requeued_from` the
    position of the letter that it was put back from, empty if it never was.
    """

    position: Position
    source: Position | None
    topic: str
    reason: str
    detail: str
    parked_at_ms: int
    first_failed_at: str
    attempt: int
    requeued_from: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def letter_of(record: LetterRecord) -> Letter:
    """The dead letter in a record of the topic of dead letters; it never raises."""
    headers = dict(record.headers)

    def text(name: str, absent: str = "") -> str:
        return label_of(headers.get(name)) or absent

    try:
        source = position_of(text("x-dlq-id"))
    except ValueError:
        source = None
    return Letter(
        Position(record.topic, record.partition, record.offset),
        source,
        text("__streams.errors.topic", UNNAMED),
        text("x-dlq-reason", UNNAMED),
        text("__streams.errors.message"),
        record.timestamp,
        text(FIRST_FAILED_AT),
        attempt_of(headers.get(ATTEMPT)),
        text(REQUEUED_FROM),
        record.key,
        record.value,
        tuple(
            # a name that isn't UTF-8 is written out, as `parked_headers` does
            (name.encode(errors="backslashreplace").decode(), value)
            for name, value in record.headers
            if not name.startswith(_ADDED)
        ),
    )


def label_of(raw: bytes | None) -> str:
    """A text of a header as it is shown and counted: one short line, whatever any program wrote.

    Bytes that are no UTF-8 and control characters are replaced, so that a terminal shows them.
    Longer than `limits.LABEL_CHARS` it is cut. Empty if the header is absent or has no value.
    """
    # a character has at most four bytes in UTF-8
    text = (raw or b"")[: 4 * limits.LABEL_CHARS].decode(errors="replace")
    return one_line(text)[: limits.LABEL_CHARS]


def one_line(text: str) -> str:
    """A text in which control characters are replaced: a terminal obeys none, and shows a line."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def attempt_of(raw: bytes | None) -> int:
    """How often a record was put back, by the value of its header; 0 for what is no number."""
    return int(raw) if raw is not None and _NUMBER.fullmatch(raw) else 0


def producer_of(letter: Letter) -> str:
    """The CloudEvents source of the event in a letter, as far as it can be read."""
    source: object = dict(letter.headers).get("ce_source")
    if source is None:
        found = cloudevents.read_object(letter.value)
        if not isinstance(found, Refusal):
            headers = cloudevents.headers_by_name(letter.headers)
            found = cloudevents.fields_of(found, headers, cloudevents.CHAT_ATTRIBUTES)
        source = None if isinstance(found, Refusal) else found.get("source")
    if isinstance(source, bytes):
        source = source.decode(errors="replace")
    if not isinstance(source, str) or not source:
        return UNNAMED
    return one_line(source[: limits.SOURCE_CHARS])
