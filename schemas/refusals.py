"""Why a record is refused: one reason each, in a fixed order of precedence.

A refusal is a value that functions return. It is no exception.
"""

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """The reasons, in order of precedence: a record with several faults has the first one.

    The values are the codes in dead letters.
    """

    EMPTY_VALUE = "empty_value"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_VERSION = "unknown_version"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    MISSING_KEY = "missing_key"
    KEY_MISMATCH = "key_mismatch"
    IN_THE_FUTURE = "in_the_future"
    WRONG_PARTITION = "wrong_partition"
    ORDER_FULL = "order_full"
    CONVERSATION_FULL = "conversation_full"
    NOT_MAPPED = "not_mapped"

    @property
    def sentence(self) -> str:
        """What is wrong, in one sentence."""
        return _EXPLAINED[self][0]

    @property
    def remedy(self) -> str:
        """What to do about it, as a clause without a full stop."""
        return _EXPLAINED[self][1]


READABLE = frozenset({Reason.WRONG_PARTITION, Reason.IN_THE_FUTURE})
"""Reasons of records that were decoded. They do not count towards the refusals in a row that pause
a partition, and do not end such a row."""

_PUT_BACK = "correct it at its source, let the source send it again, then discard this one"
_EXPLAINED: dict[Reason, tuple[str, str]] = {
    Reason.EMPTY_VALUE: (
        "The record has no value.",
        "a topic of events is never compacted: find out which producer writes tombstones",
    ),
    Reason.TOO_LARGE: (
        "The value has more bytes than an event may have.",
        f"split the order, or leave out what is no field of the event; {_PUT_BACK}",
    ),
    Reason.NOT_JSON: ("The value can't be read as JSON in UTF-8.", _PUT_BACK),
    Reason.NOT_AN_OBJECT: (
        "The value is JSON, but not one object.",
        f"send one event per record, no arrays or batches; {_PUT_BACK}",
    ),
    Reason.UNKNOWN_TYPE: (
        "The event's type isn't known.",
        "if a newer netsold knows it, upgrade and put it back; else it is in the wrong topic",
    ),
    Reason.UNKNOWN_VERSION: (
        "The event names a version of its schema that isn't known.",
        "if a newer netsold knows it, upgrade and put it back; else its source names a wrong one",
    ),
    Reason.MISSING_FIELD: ("A field that the type requires is absent.", _PUT_BACK),
    Reason.INVALID_FIELD: ("A field's value is of the wrong kind or out of bounds.", _PUT_BACK),
    Reason.MISSING_KEY: (
        "The record has no key.",
        "write the order_id as key, so that an order stays in one partition; put it back with one",
    ),
    Reason.WRONG_PARTITION: (
        "The record is in another partition than the one of its key.",
        (
            "let all producers use one partitioner (librdkafka's clients:"
            " partitioner=murmur2_random), then put it back by its key"
        ),
    ),
    Reason.IN_THE_FUTURE: (
        "The event claims to have happened long after its record was written.",
        (
            "correct the clock or the date at its source, and let the source send it again with"
            " another id and the right time"
        ),
    ),
    Reason.ORDER_FULL: (
        "With this event the order would be larger than its bound.",
        "find out who sends endless events for one order; earlier events of the order are kept",
    ),
    Reason.CONVERSATION_FULL: (
        "With this message the conversation would be larger than its bound.",
        "find out who sends endless messages; earlier messages of the conversation are kept",
    ),
    Reason.NOT_MAPPED: (
        "The mapping of an import makes no event of it.",
        "correct the mapping, or what is wrong at its source, and import it again",
    ),
    Reason.KEY_MISMATCH: (
        "The record's key isn't the id that its content names.",
        "write that id, in UTF-8, as the key; put it back with it",
    ),
}


class Refusal(msgspec.Struct, frozen=True):
    """Why a record is refused: the reason, and the exact fault, such as a field's path and value.

    `detail` has at most `limits.DETAIL_CHARS` characters.
    """

    reason: Reason
    detail: str
