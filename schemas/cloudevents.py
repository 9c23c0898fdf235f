"""From a record's value and headers to the fields of its event; no field is validated here.

The record is a CloudEvent 1.0 in binary or structured mode, or bare JSON. A header has precedence
over the value, and an attribute over the data. Of headers with one name the last one counts, as
of names in a JSON object.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from pydantic_core import from_json

from schemas import limits, sentences
from schemas.refusals import Reason, Refusal

CONTENT_TYPE: Final = "content-type"
JSON: Final = b"application/json"
STRUCTURED: Final = b"application/cloudevents+json"
CHAT_ATTRIBUTES: Final = {
    "ce_type": "type",
    "ce_id": "id",
    "ce_source": "source",
    "ce_time": "occurred_at",
    "ce_dataschema": "dataschema",
}
"""By header (in structured mode, by attribute without `ce_`): the field of a message.

`dataschema` is no field of any event: it names the version (`schemas.event_versions`).
"""

ORDER_ATTRIBUTES: Final = CHAT_ATTRIBUTES | {"ce_subject": "order_id"}
"""The same for an event of an order."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""Some programs write it before UTF-8. It is skipped (RFC 8259, 8.1)."""


def headers_by_name(headers: object) -> dict[str, bytes]:
    """The last header of each name. What is no pair of a name and bytes is ignored."""
    pairs = headers if isinstance(headers, Sequence) else ()
    return {
        pair[0]: bytes(pair[1])
        for pair in pairs
        if isinstance(pair, tuple)
        and len(pair) == 2  # noqa: PLR2004 - name and bytes
        and isinstance(pair[0], str)
        and isinstance(pair[1], bytes)
    }


def read_object(value: bytes | None) -> dict[str, Any] | Refusal:
    """The JSON object in a record's value, with or without a byte order mark."""
    if not value:
        return Refusal(Reason.EMPTY_VALUE, "no bytes")
    if len(value) > limits.VALUE_BYTES:
        return Refusal(Reason.TOO_LARGE, sentences.too_large(len(value)))
    value = value.removeprefix(BYTE_ORDER_MARK)
    try:
        found = from_json(value, allow_inf_nan=False)
    except (ValueError, RecursionError, MemoryError) as error:
        return Refusal(Reason.NOT_JSON, sentences.no_json(error, value))
    return (
        found
        if isinstance(found, dict)
        else Refusal(Reason.NOT_AN_OBJECT, sentences.no_object(found))
    )


def is_structured(found: Mapping[str, Any], headers: Mapping[str, bytes]) -> bool:
    """Whether an object is a CloudEvent in structured mode.

    Either the content type says so, or the object has `specversion` and no header has `ce_`.
    """
    if headers.get(CONTENT_TYPE, b"").startswith(STRUCTURED):
        return True
    return "specversion" in found and not any(name.startswith("ce_") for name in headers)


def fields_of(
    found: Mapping[str, Any], headers: Mapping[str, bytes], attributes: Mapping[str, str]
) -> dict[str, Any] | Refusal:
    """An event's fields from its value and headers.

    A header that isn't UTF-8 stays bytes, which no field accepts.
    """
    given = {
        field: _text(headers[header]) for header, field in attributes.items() if header in headers
    }
    if not is_structured(found, headers):
        return {**found, **given}
    data = _data_of(found)
    if isinstance(data, Refusal):
        return data
    inside = {
        field: found[header[3:]]
        for header, field in attributes.items()
        if found.get(header[3:]) is not None
    }
    return {**data, **inside, **given}


def _data_of(found: Mapping[str, Any]) -> dict[str, Any] | Refusal:
    """The data of a CloudEvent in structured mode: the object in `data` or in `data_base64`.

    Its content type doesn't matter. Null counts as absent.
    """
    data, packed = found.get("data"), found.get("data_base64")
    if packed is None:
        if data is None or isinstance(data, dict):
            return data or {}
        return Refusal(Reason.NOT_AN_OBJECT, f"data: {sentences.no_object(data)}")
    if data is not None:
        return Refusal(
            Reason.NOT_AN_OBJECT, "data_base64: given beside data; a CloudEvent has one of them"
        )
    try:
        raw = msgspec.convert(packed, bytes)
    except msgspec.ValidationError:
        return Refusal(
            Reason.NOT_JSON, f"data_base64: {sentences.value_text(packed)} is not base64"
        )
    inner = read_object(raw)
    if not isinstance(inner, Refusal):
        return inner
    reason = Reason.NOT_JSON if inner.reason is Reason.EMPTY_VALUE else inner.reason
    return Refusal(reason, sentences.cut(f"data_base64: {inner.detail}"))


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
