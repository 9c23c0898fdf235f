"""From a Kafka record to an event, and back: the only decoder, for live work, replay and import.

A record is a CloudEvent 1.0 in binary mode (`ce_` headers, the other fields in the value) or in
structured mode, or a bare JSON object with the same fields (`cloudevents`).

`read` reads records of the topic `orders`, `read_chat` records of `chats`. Both try a fast path
(`fast_path`, `decoders`) and fall back to their plain twins `read_plainly` and `read_chat_plainly`,
which are the definition (`validation`). `read_without_key` is the definition for a line of a file,
which has no key yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from schemas import cloudevents, decoders, events, limits, sentences, times, validation
from schemas.cloudevents import CHAT_ATTRIBUTES, CONTENT_TYPE, JSON, ORDER_ATTRIBUTES
from schemas.event_versions import in_headers, is_ours
from schemas.fast_path import FALLBACK_ERRORS, attributes_of, form_of, forms_of, source_of
from schemas.refusals import Reason, Refusal

TICK: Final = "time_tick"
"""`ce_type` of a time tick: netsold writes it into an idle partition to advance event time."""

HANDOVER: Final = "handover"
"""`ce_type` of a handover: netsold writes it into `chats` when another version is promoted."""


class Record(Protocol):
    """The parts of a Kafka record that netsold reads; `timestamp` is in epoch milliseconds.

    aiokafka's ConsumerRecord fits, and so do the records in its batches.
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
    """An event of an order, read and valid.

    `body` has the fields that only its type has, named as in `schemas.events`.
    """

    type: str
    id: str
    source: str
    occurred_at_ms: int
    order_id: str
    body: Any

    @property
    def about(self) -> str:
        """The order, for errors and logs."""
        return f"order {self.order_id}"


BUYER: Final = 0
SHOP: Final = 1
"""The sides of a conversation. At the same millisecond the buyer's message is first (R1, R4)."""


class Written(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A chat message in the form that a conversation's state keeps.

    `(source, id)` identifies it (S11). `side` is BUYER or SHOP. `by` is `person` or `robot` for a
    message of the shop, None for one of the buyer.
    """

    at_ms: int
    side: int
    id: str
    source: str
    message_id: str
    order_id: str | None
    by: str | None


class ChatMessage(msgspec.Struct, frozen=True, gc=False):
    """A message between a shop and a buyer, read and valid."""

    shop_id: str
    buyer_id: str
    message: Written

    @property
    def type(self) -> str:
        """The event's type."""
        return events.TYPE_BY_SIDE[self.message.side]

    @property
    def occurred_at_ms(self) -> int:
        """When the message was written, in epoch milliseconds."""
        return self.message.at_ms

    @property
    def about(self) -> str:
        """The conversation, for errors and logs."""
        return f"the conversation of {self.shop_id} and {self.buyer_id}"


class Tick(msgspec.Struct, frozen=True, gc=False):
    """A time tick: event time has reached this instant without an event."""

    occurred_at_ms: int


class Handover(msgspec.Struct, frozen=True, gc=False):
    """A handover: from here on `speaker` sends the alerts, an application of the log's family.

    Up to `at_ms` the former one does: event time advances to it, as by a tick. None in handovers of
    builds that named no time.
    """

    speaker: str
    at_ms: int | None = None


def read(record: Record) -> Received | Tick | Refusal:
    """The event or tick in a record of the topic `orders`, or the first reason to refuse it.

    It never raises, whatever the record holds.
    """
    try:
        received = _read_fast(record)
    except FALLBACK_ERRORS:
        received = None
    return read_plainly(record) if received is None else received


def read_chat(record: Record) -> ChatMessage | Tick | Handover | Refusal:
    """What a record of the topic `chats` is, or the first reason to refuse it."""
    try:
        message = _read_chat_fast(record)
    except FALLBACK_ERRORS:
        message = None
    return read_chat_plainly(record) if message is None else message


# --- the fast path

_ORDERS: Final = forms_of(events.ORDER_TYPES)
_CHATS: Final = forms_of(events.CHAT_TYPES)


def _read_fast(record: Record) -> Received | None:
    """The event in a record of a usual form; None, or one of `FALLBACK_ERRORS`, for any other."""
    value, key = record.value, record.key
    if value is None or key is None:
        return None
    attributes = attributes_of(record.headers, value)
    if attributes is not None:
        event_type, raw_id, raw_source, subject, raw_time, schema = attributes
        event_id, source, occurred_at = raw_id.decode(), source_of(raw_source), raw_time.decode()
    else:
        common = decoders.DECODE_ORDER_COMMON(value)
        event_type, subject = common.type.encode(), common.order_id.encode()
        schema = None if common.dataschema is None else common.dataschema.encode()
        event_id, occurred_at = common.id, common.occurred_at
        source = source_of(common.source.encode())
    own_type, name, decode, check = _ORDERS.get(schema) or form_of(_ORDERS, event_type, schema)
    order_id = key.decode()
    body = decode(value)
    if (
        subject != key
        or event_type != own_type
        or not (event_id.isprintable() and order_id.isprintable())
        or not (0 < len(event_id) <= limits.ID_CHARS and 0 < len(order_id) <= limits.ID_CHARS)
        or (check is not None and check(body) is not None)
    ):
        return None
    return Received(name, event_id, source, times.parse_ms(occurred_at), order_id, body)


def _read_chat_fast(record: Record) -> ChatMessage | None:
    """The message in a record of a usual form; else as `_read_fast`."""
    value = record.value
    if value is None:
        return None
    attributes = attributes_of(record.headers, value)
    if attributes is not None:
        event_type, raw_id, raw_source, _, raw_time, schema = attributes
        event_id, source, occurred_at = raw_id.decode(), source_of(raw_source), raw_time.decode()
    else:
        common = decoders.DECODE_CHAT_COMMON(value)
        event_type = common.type.encode()
        schema = None if common.dataschema is None else common.dataschema.encode()
        event_id, occurred_at = common.id, common.occurred_at
        source = source_of(common.source.encode())
    own_type, name, decode, _ = _CHATS.get(schema) or form_of(_CHATS, event_type, schema)
    body = decode(value)
    if (
        event_type != own_type
        or not event_id.isprintable()
        or not 0 < len(event_id) <= limits.ID_CHARS
        or record.key != chat_key(body.shop_id, body.buyer_id)
    ):
        return None
    return _message(
        event_id,
        source,
        times.parse_ms(occurred_at),
        body,
        replied=name == events.TYPE_BY_SIDE[SHOP],
    )


def _message(event_id: str, source: str, at_ms: int, body: Any, *, replied: bool) -> ChatMessage:  # noqa: ANN401 - a model or its struct
    side, by = (SHOP, body.by) if replied else (BUYER, None)
    return ChatMessage(
        body.shop_id,
        body.buyer_id,
        Written(at_ms, side, event_id, source, body.message_id, body.order_id, by),
    )


def chat_key(shop_id: str, buyer_id: str) -> bytes:
    """The key of a message in the topic `chats`."""
    return f"{shop_id}/{buyer_id}".encode()


# --- the plain twins


def read_plainly(record: Record) -> Received | Tick | Refusal:
    """The same as `read` for every record, by the pydantic models alone."""
    event = read_content(record)
    if isinstance(event, Received):
        return validation.key_refusal(record.key, event.order_id.encode()) or event
    return event


def read_content(record: Record) -> Received | Tick | Refusal:
    """The event or tick in a record of the topic `orders`, whatever its key."""
    event = _model_of(record, "orders")
    if isinstance(event, (Tick, Refusal)):
        return event
    name = event.type
    own = event.model_dump(exclude={"type", "id", "source", "occurred_at_ms", "order_id"})
    body = msgspec.convert(own, decoders.BODIES[name])
    return Received(name, event.id, event.source, event.occurred_at_ms, event.order_id, body)


def read_chat_plainly(record: Record) -> ChatMessage | Tick | Handover | Refusal:
    """The same as `read_chat` for every record, by the pydantic models alone."""
    headers = cloudevents.headers_by_name(record.headers)
    if headers.get("ce_type") == HANDOVER.encode():
        return _read_handover(headers)
    event = _model_of(record, "chats")
    if isinstance(event, (Tick, Refusal)):
        return event
    refusal = validation.key_refusal(record.key, chat_key(event.shop_id, event.buyer_id))
    if refusal is not None:
        return refusal
    return _message(
        event.id,
        event.source,
        event.occurred_at_ms,
        event,
        replied=event.type == events.TYPE_BY_SIDE[SHOP],
    )


class Unkeyed(msgspec.Struct, frozen=True, gc=False):
    """An event from a file: the topic (without prefix) and the key to write it under.

    `fields` is the whole JSON object as read.
    """

    topic: str
    key: bytes
    occurred_at_ms: int
    is_structured: bool
    fields: dict[str, Any]


def read_without_key(value: bytes) -> Unkeyed | Refusal:
    """The event in bytes that have neither key nor headers, such as a line of a file.

    It is refused exactly if a record with this value under the right key is.
    """
    found = cloudevents.read_object(value)
    if isinstance(found, Refusal):
        return found
    fields = cloudevents.fields_of(found, {}, ORDER_ATTRIBUTES)
    if not isinstance(fields, Refusal) and validation.is_chat(fields):
        # the subject of a message is no order
        fields = cloudevents.fields_of(found, {}, CHAT_ATTRIBUTES)
    if isinstance(fields, Refusal):
        return fields
    topic = "chats" if validation.is_chat(fields) else "orders"
    event = validation.model_of(fields, topic)
    if isinstance(event, Refusal):
        return event
    key = chat_key(event.shop_id, event.buyer_id) if topic == "chats" else event.order_id.encode()
    return Unkeyed(topic, key, event.occurred_at_ms, cloudevents.is_structured(found, {}), found)


def _model_of(record: Record, topic: str) -> Any | Tick | Refusal:  # noqa: ANN401 - a model of `events`
    """The model of the event in a record of a topic (named without prefix), whatever its key."""
    headers = cloudevents.headers_by_name(record.headers)
    if headers.get("ce_type") == TICK.encode():
        return _read_tick(headers)
    found = cloudevents.read_object(record.value)
    if isinstance(found, Refusal):
        return found
    attributes = CHAT_ATTRIBUTES if topic == "chats" else ORDER_ATTRIBUTES
    fields = cloudevents.fields_of(found, headers, attributes)
    return fields if isinstance(fields, Refusal) else validation.model_of(fields, topic)


def _read_tick(headers: Mapping[str, bytes]) -> Tick | Refusal:
    raw = headers.get("ce_time")
    if raw is None:
        return Refusal(Reason.MISSING_FIELD, sentences.absent("occurred_at", {}))
    at_ms = _instant(raw)
    return at_ms if isinstance(at_ms, Refusal) else Tick(at_ms)


def _instant(raw: bytes) -> int | Refusal:
    """The instant of `ce_time` in epoch milliseconds."""
    text = raw.decode("utf-8", "backslashreplace")
    try:
        return times.parse_ms(text)
    except ValueError as error:
        return Refusal(
            Reason.INVALID_FIELD,
            sentences.cut(f"occurred_at: {sentences.value_text(text)} {error}"),
        )


def _read_handover(headers: Mapping[str, bytes]) -> Handover | Refusal:
    raw = headers.get("ce_subject", b"")
    text = raw.decode("utf-8", "backslashreplace")
    if text.encode() != raw or not text.isprintable() or not 0 < len(text) <= limits.ID_CHARS:
        return Refusal(
            Reason.INVALID_FIELD,
            sentences.cut(f"ce_subject: {sentences.value_text(text)} is no application"),
        )
    at_ms = _instant(headers["ce_time"]) if "ce_time" in headers else None
    return at_ms if isinstance(at_ms, Refusal) else Handover(text, at_ms)


# --- writing


def encode(event: Mapping[str, Any]) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """(key, value, headers) of an event, given by its fields, as a CloudEvent in binary mode.

    KeyError if a field of every event is absent.
    """
    event_type = str(event["type"])
    key = (
        chat_key(event["shop_id"], event["buyer_id"])
        if event_type in events.CHAT_TYPES
        else str(event["order_id"]).encode()
    )
    others = in_headers(event)
    fields = {field: value for field, value in event.items() if field not in others}
    return key, msgspec.json.encode(fields), headers_of(event, key)


def headers_of(event: Mapping[str, Any], key: bytes) -> list[tuple[str, bytes]]:
    """The headers of an event, given by its fields, as a CloudEvent in binary mode."""
    event_type, given = str(event["type"]), event.get("dataschema")
    schema = str(given) if is_ours(given) else events.schema_id(event_type)
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event["id"]).encode()),
        ("ce_source", str(event["source"]).encode()),
        ("ce_type", event_type.encode()),
        ("ce_subject", key),
        ("ce_time", str(event["occurred_at"]).encode()),
        ("ce_dataschema", schema.encode()),
        (CONTENT_TYPE, JSON),
    ]


def tick(at_ms: int) -> tuple[bytes, list[tuple[str, bytes]]]:
    """(value, headers) of a time tick: a record that advances its partition's event time.

    `at_ms` is in epoch milliseconds. The record's key doesn't matter.
    """
    return b"{}", [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"tick-{at_ms}".encode()),
        ("ce_source", b"/netsold"),
        ("ce_type", TICK.encode()),
        ("ce_time", times.format_ms(at_ms).encode()),
        (CONTENT_TYPE, JSON),
    ]
