"""The CloudEvents attributes of a record in a usual form, read without the pydantic models.

This is the fast path of `envelope`. It never decides that a record is unreadable: for a record in
an unusual form it raises one of `FALLBACK_ERRORS`, and `envelope` reads the record by the models.
`python -m bench.stages` measures what it saves (column `read`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from schemas import decoders, event_versions, events
from schemas.cloudevents import CONTENT_TYPE, JSON
from schemas.limits import FAST_VALUE_BRACKETS, FAST_VALUE_BYTES, SOURCE_CHARS

FALLBACK_ERRORS: Final = (
    msgspec.MsgspecError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    MemoryError,
)
"""What the fast path may raise for a record in an unusual form."""

Attributes = tuple[bytes, bytes, bytes, bytes | None, bytes, bytes | None]
"""Type, id, source, subject, time, dataschema; a plain tuple, as a named one is slower to make."""

_UNCOUNTED_BYTES: Final = 2 * FAST_VALUE_BRACKETS
"""JSON of this size or less has no more opening brackets than the bound: each one is closed."""

_BACKSLASH: Final = 0x5C
_DELETE: Final = 0x7F
_ENCODED_HEADERS: Final = 8
"""How many headers `envelope.encode` writes."""


def attributes_of(headers: Sequence[tuple[str, bytes]], value: bytes) -> Attributes | None:
    """The attributes of a record in binary mode, or None for bare JSON, whose value has them."""
    if _is_unusual(value):
        raise ValueError
    if not value.isascii():
        value.decode()  # raises for bytes that aren't UTF-8, also in fields that no decoder reads
    if len(headers) == _ENCODED_HEADERS:  # comparing names by position is faster than a dict
        (
            _,
            (id_name, event_id),
            (source_name, source),
            (type_name, event_type),
            (subject_name, subject),
            (time_name, time),
            (schema_name, schema),
            (content_name, content),
        ) = headers
        if (
            id_name == "ce_id"
            and source_name == "ce_source"
            and type_name == "ce_type"
            and subject_name == "ce_subject"
            and time_name == "ce_time"
            and schema_name == "ce_dataschema"
            and content_name == CONTENT_TYPE
            and content == JSON
            and schema is not None
        ):
            return event_type, event_id, source, subject, time, schema
    named = dict(headers)
    if named.get(CONTENT_TYPE, JSON) != JSON:
        raise ValueError
    if "ce_type" in named:
        schema_of = named.get("ce_dataschema")
        if schema_of is None and b'"dataschema"' in value:
            raise ValueError
        return (
            named["ce_type"],
            named["ce_id"],
            named["ce_source"],
            named.get("ce_subject"),
            named["ce_time"],
            schema_of,
        )
    if any(name.startswith("ce_") for name in named) or b'"specversion"' in value:
        raise ValueError
    return None


EventForm = tuple[bytes, str, Callable[[bytes], Any], Callable[[Any], str | None] | None]
"""The type as `ce_type` has it, the type, and how a value is decoded and its body checked."""

_OURS: Final = events.SCHEMAS.encode()


def forms_of(types: Iterable[str]) -> dict[bytes | None, EventForm]:
    """The forms of all versions of event types, by `dataschema`; by type those of version 1."""
    found: dict[bytes | None, EventForm] = {}
    for name in types:
        for version in event_versions.VERSIONS[name]:
            decode, check = decoders.DECODE_BODY[name, version], decoders.CHECKS.get(name)
            form = found[events.schema_id(name, version).encode()] = (
                name.encode(), name, decode, check,
            )  # fmt: skip
            found.setdefault(name.encode(), form)
    return found


def form_of(
    forms: Mapping[bytes | None, EventForm], event_type: bytes, schema: bytes | None
) -> EventForm:
    """The form of an event that names no known schema of ours; LookupError if it names one."""
    if schema is not None and schema.startswith(_OURS):
        raise LookupError
    return forms[event_type]


def _is_unusual(value: bytes) -> bool:
    """Whether a value may exceed a parser's depth or digits, or hide a control character."""
    return (
        # a number is found faster in bytes than another bytes object is
        _BACKSLASH in value
        or _DELETE in value
        or (
            len(value) > _UNCOUNTED_BYTES
            and (
                len(value) > FAST_VALUE_BYTES
                or value.count(b"[") + value.count(b"{") > FAST_VALUE_BRACKETS
            )
        )
    )


@lru_cache(maxsize=4096)
def source_of(raw: bytes) -> str:
    """An event's source as text; ValueError if it can't be one. A log has few sources."""
    source = raw.decode()
    if not 0 < len(source) <= SOURCE_CHARS or not events.is_printable(source):
        raise ValueError
    return source
