"""From an event's fields to its pydantic model, or to the first reason why the event is refused.

This is the definition of a readable event; the fast path of `envelope` is tested against it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from schemas import event_versions, events, sentences
from schemas.refusals import Reason, Refusal


def model_of(fields: Mapping[str, Any], topic: str) -> Any | Refusal:  # noqa: ANN401 - a model of `events`
    """The model of an event's fields, if its type belongs in a topic (named without prefix).

    It is that of the newest version of its type: an older event is upcast after it was checked.
    """
    event_type = fields.get("type")
    if event_type is None:
        return Refusal(Reason.MISSING_FIELD, sentences.absent("type", fields))
    if not isinstance(event_type, str):
        return Refusal(Reason.INVALID_FIELD, sentences.unknown_type(event_type))
    if event_type not in events.MODELS:
        return Refusal(Reason.UNKNOWN_TYPE, sentences.unknown_type(event_type))
    own_topic = events.topic_of(event_type)
    if own_topic != topic:
        return Refusal(Reason.UNKNOWN_TYPE, f"type: {event_type} belongs in the topic {own_topic}")
    return _checked(event_type, fields)


def _checked(event_type: str, fields: Mapping[str, Any]) -> Any | Refusal:  # noqa: ANN401 - as above
    """The model of an event of a known type, by the version that its fields name."""
    dataschema = fields.get("dataschema")
    version = event_versions.version_of(event_type, dataschema)
    if version is None:
        known = event_versions.schema_ids(event_type)
        detail = sentences.unknown_version(event_type, dataschema, known)
        return Refusal(Reason.UNKNOWN_VERSION, detail)
    try:
        found = event_versions.class_of(event_type, version).model_validate(fields)
        newest = event_versions.newest_class(event_type)
        if type(found) is newest:
            return found
        return newest.model_validate(event_versions.upcast(event_type, version, fields))
    except ValidationError as error:
        return _refusal_of(event_type, error)


def _refusal_of(event_type: str, error: ValidationError) -> Refusal:
    """One refusal for all of pydantic's errors: an absent field first, then in field order."""
    faults = error.errors(include_url=False)
    absent = [fault for fault in faults if fault["type"] == "missing"]
    reason = Reason.MISSING_FIELD if absent else Reason.INVALID_FIELD
    return Refusal(reason, sentences.fault(event_type, (absent or faults)[0]))


def key_refusal(key: bytes | None, expected: bytes) -> Refusal | None:
    """The refusal of a record's key, if it is not the key that the record's content names."""
    if not key:
        return Refusal(Reason.MISSING_KEY, sentences.no_key(expected.decode()))
    if key != expected:
        return Refusal(Reason.KEY_MISMATCH, sentences.other_key(key, expected.decode()))
    return None


def is_chat(fields: Mapping[str, Any]) -> bool:
    """Whether the `type` of an event's fields is one of a chat message."""
    event_type = fields.get("type")
    return isinstance(event_type, str) and event_type in events.CHAT_TYPES
