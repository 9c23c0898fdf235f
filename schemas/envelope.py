"""From a Kafka record to an event, and back: the only decoder, for live work, replay and import.

Read are CloudEvents 1.0 in binary mode (`ce_` headers; the value has the rest), in structured mode,
and bare JSON objects with the same fields (`cloudevents`).

Orders and chats have a topic each, and a reading each. `read_plainly` and `read_chat_plainly` are
the definition; `read` and `read_chat` first try a short cut for the usual forms, which hands over
whatever it has doubts about. `read_without_key` is the definition for what has no key yet: a line
of a file.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol

import msgspec
from pydantic import ValidationError

from schemas import cloudevents, decoders, events, limits, sentences, times
from schemas.cloudevents import CHAT_ATTRIBUTES, CONTENT_TYPE, ORDER_ATTRIBUTES
from schemas.refusals import Reason, Refusal

TICK: Final = "time_tick"
"""`ce_type` of a record that only moves event time on; netsold writes it into an idle partition."""


class Record(Protocol):
    """What is read of a Kafka record.

    Aiokafka's ConsumerRecord fits, and so do the records of its batches. `timestamp` is in epoch
    ms.
    """

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102


class Received(msgspec.Struct, frozen=True, gc=False):
    """An event that can be applied.

    `body` has the attributes that only its type has, named as in `schemas.events`.
    """

    type: str
    id: str
    source: str
    occurred_at_ms: int
    order_id: str
    body: Any


BUYER: Final = 0
SHOP: Final = 1
"""The sides of a conversation; at one millisecond the buyer was first (R1, R4)."""


class Written(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message, in the form in which conversations keep it.

    `(source, id)` is its identity (S11); `side` is who wrote it.

    `by` is who or what wrote for the shop, None if the buyer did.
    """

    at_ms: int
    side: int
    id: str
    source: str
    message_id: str
    order_id: str | None
    by: str | None


class ChatMessage(msgspec.Struct, frozen=True, gc=False):
    """A message between a shop and a buyer that can be applied."""

    shop_id: str
    buyer_id: str
    message: Written

    @property
    def occurred_at_ms(self) -> int:
        """When it was written."""
        return self.message.at_ms


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Event time has come this far, though nothing happened."""

    occurred_at_ms: int


def read(record: Record) -> Received | Tick | Refusal:
    """What a record of the topic of orders says, or the first reason why it can't be read.

    Never raises, whatever the record holds.
    """
    try:
        received = _read_shortly(record)
    except _DOUBTS:
        received = None
    return read_plainly(record) if received is None else received


def read_chat(record: Record) -> ChatMessage | Tick | Refusal:
    """As `read`, of the topic of chats."""
    try:
        said = _read_chat_shortly(record)
    except _DOUBTS:
        said = None
    return read_chat_plainly(record) if said is None else said


# --- the short cut
# -------------------------------------------------------------------------------------------------------------

_DOUBTS: Final = (
    msgspec.MsgspecError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    MemoryError,
)
# A value up to this size, with so few brackets, can't exceed any parser's depth or number of
# digits.
_SHORT_BYTES: Final = 4096
_SHORT_UNCOUNTED_BYTES: Final = 380
_SHORT_BRACKETS: Final = 190
_JSON: Final = b"application/json"
_BACKSLASH: Final = 0x5C
_DELETE: Final = 0x7F

_BY_HEADER: Final = {
    name.encode(): (name, decoders.DECODE_BODY[name], decoders.CHECKS.get(name))
    for name in events.ORDER_TYPES
}
_CHAT_BY_HEADER: Final = {
    name.encode(): (name == "seller_replied", decoders.DECODE_BODY[name])
    for name in events.CHAT_TYPES
}


@lru_cache(maxsize=4096)
def _source(raw: bytes) -> str:
    """An event's source as text; ValueError if it can't be one.

    There are few, so they are remembered.
    """
    source = raw.decode()
    if not 0 < len(source) <= limits.SOURCE_CHARS or not events.is_printable(source):
        raise ValueError
    return source


def _is_unusual(value: bytes) -> bool:
    """Whether a value may be more than a parser takes, or hide a control character."""
    return (
        _BACKSLASH
        in value  # an escape may hide one; looking for a number is ten times as quick as for bytes
        or _DELETE in value
        or (
            len(value) > _SHORT_UNCOUNTED_BYTES
            and (
                len(value) > _SHORT_BYTES or value.count(b"[") + value.count(b"{") > _SHORT_BRACKETS
            )
        )
    )


# as `encode` writes them; looking at their places is four times as quick as making a dict of them
_WRITTEN_HEADERS: Final = 8


def _attributes(
    record: Record, value: bytes
) -> tuple[bytes, bytes, bytes, bytes | None, bytes] | None:
    """(type, id, source, subject, time) of a record in binary mode without anything unusual, None of bare JSON; else any of `_DOUBTS`."""
    if _is_unusual(value):
        raise ValueError
    if not value.isascii():
        value.decode()  # fields that are skipped must be UTF-8 as well
    headers = record.headers
    if len(headers) == _WRITTEN_HEADERS:
        (
            _,
            (id_, event_id),
            (source_, source),
            (type_, name),
            (subject_, subject),
            (time_, time),
            (other, _),
            (content_, content),
        ) = headers
        if (
            id_ == "ce_id"
            and source_ == "ce_source"
            and type_ == "ce_type"
            and subject_ == "ce_subject"
            and time_ == "ce_time"
            and other == "ce_dataschema"
            and content_ == CONTENT_TYPE
            and content == _JSON
        ):
            return name, event_id, source, subject, time
    named = dict(headers)
    if named.get(CONTENT_TYPE, _JSON) != _JSON:
        raise ValueError
    if "ce_type" in named:
        return (
            named["ce_type"],
            named["ce_id"],
            named["ce_source"],
            named.get("ce_subject"),
            named["ce_time"],
        )
    if any(name.startswith("ce_") for name in named) or b'"specversion"' in value:
        raise ValueError
    return None


def _read_shortly(record: Record) -> Received | None:
    """The event of a record in binary mode or bare JSON without anything unusual.

    None or any of `_DOUBTS` otherwise.
    """
    value, key = record.value, record.key
    if value is None or key is None:
        return None
    told = _attributes(record, value)
    if told is not None:
        header, raw_id, raw_source, subject, raw_time = told
        name, decode, check = _BY_HEADER[header]
        event_id, source, occurred_at = raw_id.decode(), _source(raw_source), raw_time.decode()
    else:
        common = decoders.DECODE_ORDER_COMMON(value)
        name, decode, check = _BY_HEADER[common.type.encode()]
        subject = common.order_id.encode()
        event_id, source, occurred_at = (
            common.id,
            _source(common.source.encode()),
            common.occurred_at,
        )
    order_id = key.decode()
    body = decode(value)
    if (
        subject != key
        or not (event_id.isprintable() and order_id.isprintable())
        or not (0 < len(event_id) <= limits.ID_CHARS and 0 < len(order_id) <= limits.ID_CHARS)
        or (check is not None and check(body) is not None)
    ):
        return None
    return Received(name, event_id, source, times.parse_ms(occurred_at), order_id, body)


def _read_chat_shortly(record: Record) -> ChatMessage | None:
    """The message of a record in binary mode or bare JSON without anything unusual.

    None or any of `_DOUBTS` otherwise.
    """
    value = record.value
    if value is None:
        return None
    told = _attributes(record, value)
    if told is not None:
        header, raw_id, raw_source, _, raw_time = told
        replied, decode = _CHAT_BY_HEADER[header]
        event_id, source, occurred_at = raw_id.decode(), _source(raw_source), raw_time.decode()
    else:
        common = decoders.DECODE_CHAT_COMMON(value)
        replied, decode = _CHAT_BY_HEADER[common.type.encode()]
        event_id, source, occurred_at = (
            common.id,
            _source(common.source.encode()),
            common.occurred_at,
        )
    body = decode(value)
    if (
        not event_id.isprintable()
        or not 0 < len(event_id) <= limits.ID_CHARS
        or record.key != conversation(body.shop_id, body.buyer_id)
    ):
        return None
    return _said(event_id, source, times.parse_ms(occurred_at), body, replied=replied)


def _said(event_id: str, source: str, at_ms: int, body: Any, *, replied: bool) -> ChatMessage:  # noqa: ANN401 - a model or its struct
    side, by = (SHOP, body.by) if replied else (BUYER, None)
    return ChatMessage(
        body.shop_id,
        body.buyer_id,
        Written(at_ms, side, event_id, source, body.message_id, body.order_id, by),
    )


def conversation(shop_id: str, buyer_id: str) -> bytes:
    """The key of a message in the topic of chats."""
    return f"{shop_id}/{buyer_id}".encode()


# --- the definition
# ------------------------------------------------------------------------------------------------------------


def read_plainly(record: Record) -> Received | Tick | Refusal:
    """The same as `read` for every record, by the pydantic models alone.

    The reasons are looked for in their order.
    """
    event = _event(record, "orders", ORDER_ATTRIBUTES)
    if isinstance(event, (Tick, Refusal)):
        return event
    refusal = _refusal_of_key(record.key, event.order_id.encode())
    if refusal is not None:
        return refusal
    name = event.type
    own = event.model_dump(exclude={"type", "id", "source", "occurred_at_ms", "order_id"})
    body = msgspec.convert(own, decoders.BODIES[name])
    return Received(name, event.id, event.source, event.occurred_at_ms, event.order_id, body)


def read_chat_plainly(record: Record) -> ChatMessage | Tick | Refusal:
    """The same as `read_chat` for every record, as `read_plainly`."""
    event = _event(record, "chats", CHAT_ATTRIBUTES)
    if isinstance(event, (Tick, Refusal)):
        return event
    refusal = _refusal_of_key(record.key, conversation(event.shop_id, event.buyer_id))
    if refusal is not None:
        return refusal
    return _said(
        event.id, event.source, event.occurred_at_ms, event, replied=event.type == "seller_replied"
    )


class Unkeyed(msgspec.Struct, frozen=True, gc=False):
    """An event that stands in no topic yet.

    The topic (without prefix) and the key that it belongs under.

    `fields` is the whole object as read.
    """

    topic: str
    key: bytes
    occurred_at_ms: int
    is_structured: bool
    fields: dict[str, Any]


def read_without_key(value: bytes) -> Unkeyed | Refusal:
    """What bytes without key and headers say.

    Refused exactly where a record of them under the right key would be.
    """
    found = cloudevents.read_object(value)
    if isinstance(found, Refusal):
        return found
    fields = cloudevents.fields_of(found, {}, ORDER_ATTRIBUTES)
    if not isinstance(fields, Refusal) and _is_of_chat(fields):
        fields = cloudevents.fields_of(
            found, {}, CHAT_ATTRIBUTES
        )  # of a message the subject isn't the order
    if isinstance(fields, Refusal):
        return fields
    topic = "chats" if _is_of_chat(fields) else "orders"
    event = _checked(fields, topic)
    if isinstance(event, Refusal):
        return event
    key = (
        conversation(event.shop_id, event.buyer_id) if topic == "chats" else event.order_id.encode()
    )
    return Unkeyed(topic, key, event.occurred_at_ms, cloudevents.is_structured(found, {}), found)


def key_of(record: Record, *, chat: bool) -> bytes | Refusal:
    """The key that a record's content asks for, whatever its own is, or why it can't be read.

    Of a tick none, as it needs none.
    """
    event = (
        _event(record, "chats", CHAT_ATTRIBUTES)
        if chat
        else _event(record, "orders", ORDER_ATTRIBUTES)
    )
    if isinstance(event, Refusal):
        return event
    if isinstance(event, Tick):
        return b""
    return conversation(event.shop_id, event.buyer_id) if chat else event.order_id.encode()


def _is_of_chat(fields: Mapping[str, Any]) -> bool:
    name = fields.get("type")
    return isinstance(name, str) and name in events.CHAT_TYPES


def _event(record: Record, topic: str, attributes: Mapping[str, str]) -> Any | Tick | Refusal:  # noqa: ANN401 - a model
    """The model of what a record of one of the topics says, whatever its key."""
    headers = cloudevents.headers_by_name(record.headers)
    if headers.get("ce_type") == TICK.encode():
        return _read_tick(headers)
    found = cloudevents.read_object(record.value)
    fields = (
        found if isinstance(found, Refusal) else cloudevents.fields_of(found, headers, attributes)
    )
    return fields if isinstance(fields, Refusal) else _checked(fields, topic)


def _checked(fields: Mapping[str, Any], topic: str) -> Any | Refusal:  # noqa: ANN401 - a model
    """The model of an event's fields, if its type belongs in a topic."""
    name = fields.get("type")
    if name is None:
        return Refusal(Reason.MISSING_FIELD, sentences.absent("type", fields))
    if not isinstance(name, str):
        return Refusal(Reason.INVALID_FIELD, sentences.unknown_type(name))
    if name not in events.MODELS:
        return Refusal(Reason.UNKNOWN_TYPE, sentences.unknown_type(name))
    if events.topic_of(name) != topic:
        return Refusal(
            Reason.UNKNOWN_TYPE, f"type: {name} belongs in the topic {events.topic_of(name)}"
        )
    try:
        return events.MODELS[name].model_validate(fields)
    except ValidationError as error:
        return _refusal_of(name, error)


def _refusal_of_key(key: bytes | None, wanted: bytes) -> Refusal | None:
    if not key:
        return Refusal(Reason.MISSING_KEY, sentences.no_key(wanted.decode()))
    if key != wanted:
        return Refusal(Reason.KEY_MISMATCH, sentences.other_key(key, wanted.decode()))
    return None


def _refusal_of(name: str, error: ValidationError) -> Refusal:
    """One refusal for all that pydantic found.

    Absent fields before wrong ones, then in the order of the fields.
    """
    faults = error.errors(include_url=False)
    absent = [fault for fault in faults if fault["type"] == "missing"]
    reason = Reason.MISSING_FIELD if absent else Reason.INVALID_FIELD
    return Refusal(reason, sentences.fault(name, (absent or faults)[0]))


def _read_tick(headers: Mapping[str, bytes]) -> Tick | Refusal:
    raw = headers.get("ce_time")
    if raw is None:
        return Refusal(Reason.MISSING_FIELD, sentences.absent("occurred_at", {}))
    text = raw.decode("utf-8", "backslashreplace")
    try:
        return Tick(times.parse_ms(text))
    except ValueError as error:
        return Refusal(
            Reason.INVALID_FIELD, sentences.cut(f"occurred_at: {sentences.shown(text)} {error}")
        )


# --- writing
# -------------------------------------------------------------------------------------------------------------------


def encode(event: Mapping[str, Any]) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """(key, value, headers) of an event, given by its fields, as CloudEvents in binary mode.

    KeyError if a common one is absent.
    """
    name = str(event["type"])
    chat = name in events.CHAT_TYPES
    key = (
        conversation(event["shop_id"], event["buyer_id"])
        if chat
        else str(event["order_id"]).encode()
    )
    common = events.common_of(name)
    value = msgspec.json.encode(
        {field: value for field, value in event.items() if field not in common}
    )
    return key, value, headers_of(event, key)


def headers_of(event: Mapping[str, Any], key: bytes) -> list[tuple[str, bytes]]:
    """The headers of an event, given by its fields, in binary mode."""
    name = str(event["type"])
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event["id"]).encode()),
        ("ce_source", str(event["source"]).encode()),
        ("ce_type", name.encode()),
        ("ce_subject", key),
        ("ce_time", str(event["occurred_at"]).encode()),
        ("ce_dataschema", f"urn:netsold:{name}:1".encode()),
        (CONTENT_TYPE, _JSON),
    ]


def tick(at_ms: int) -> tuple[bytes, list[tuple[str, bytes]]]:
    """(value, headers) of a record that moves its partition's event time on to `at_ms`.

    Its key doesn't matter.
    """
    return b"{}", [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"tick-{at_ms}".encode()),
        ("ce_source", b"/netsold"),
        ("ce_type", TICK.encode()),
        ("ce_time", times.format_ms(at_ms).encode()),
        (CONTENT_TYPE, _JSON),
    ]
