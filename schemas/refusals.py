"""Why a record can't be read: one reason each, in a fixed order of precedence.

A Refusal is a value; nothing raises it.
"""

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """The reasons, first to last: a record with several faults has the first one.

    The values are the codes in dead letters.
    """

    EMPTY_VALUE = "empty_value"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    MISSING_KEY = "missing_key"
    KEY_MISMATCH = "key_mismatch"
    IN_THE_FUTURE = "in_the_future"
    WRONG_PARTITION = "wrong_partition"
    ORDER_FULL = "order_full"
    CONVERSATION_FULL = "conversation_full"

    @property
    def sentence(self) -> str:
        """What is wrong, in one sentence."""
        return _EXPLAINED[self][0]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _EXPLAINED[self][1]


READABLE = frozenset({Reason.WRONG_PARTITION, Reason.IN_THE_FUTURE})
"""Reasons that leave no doubt in the reading: such records neither pause their partition, be
they ever so many, nor end a row of others."""

_PUT_BACK = "correct it at its source, let the source send it again, then discard this one"
_EXPLAINED: dict[Reason, tuple[str, str]] = {
    Reason.EMPTY_VALUE: (
        "The record has no value.",
        "the log of events is never compacted or deleted by key: find out who writes tombstones",
    ),
    Reason.TOO_LARGE: (
        "The value has more bytes than an event may have.",
        f"split the order or leave out what isn't a field; {_PUT_BACK}",
    ),
    Reason.NOT_JSON: ("The value can't be read as JSON in UTF-8.", _PUT_BACK),
    Reason.NOT_AN_OBJECT: (
        "The value is JSON, but not one object.",
        f"send one event a record, no arrays or batches; {_PUT_BACK}",
    ),
    Reason.UNKNOWN_TYPE: (
        "The event's type isn't known.",
        "if a newer netsold knows it, upgrade and put it back; else it is in the wrong topic",
    ),
    Reason.MISSING_FIELD: ("A field that the type requires is absent.", _PUT_BACK),
    Reason.INVALID_FIELD: ("A field's value is of the wrong kind or out of bounds.", _PUT_BACK),
    Reason.MISSING_KEY: (
        "The record has no key.",
        "give the order_id as key, so that an order stays in one partition; put it back with one",
    ),
    Reason.WRONG_PARTITION: (
        "The record lies in another partition than its key's, where its order or conversation is.",
        "let all producers use one partitioner (librdkafka's clients: partitioner=murmur2_random), then put it back by its key",
    ),
    Reason.IN_THE_FUTURE: (
        "The event claims to have happened long after it was written.",
        "mend the clock or the date at its source, and let the source send it again with another id and its right time",
    ),
    Reason.ORDER_FULL: (
        "The order already holds as much as one may: with this event it would outgrow a record.",
        "find out who sends endless events for one order; nothing of the order is lost, only what came last",
    ),
    Reason.CONVERSATION_FULL: (
        "The conversation already holds as much as one may: with this message it would outgrow a record.",
        "find out who sends endless messages; nothing of the conversation is lost, only what came last",
    ),
    Reason.KEY_MISMATCH: (
        "The record's key isn't the id that its content names.",
        "give that id, in UTF-8, as key; put it back with it",
    ),
}


class Refusal(msgspec.Struct, frozen=True):
    """A record that can't be applied: the reason, and where exactly (a field's path and fault.

    At most 300 characters).
    """

    reason: Reason
    detail: str
