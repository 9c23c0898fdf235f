"""A value for other eyes: the structure and the names of JSON stay, its contents do not.

What identifies an event stays readable, so that it can be found at its producer.
"""

from typing import Any, Final

from pydantic_core import from_json

from schemas import limits
from schemas.letters import Letter

SHOWN: Final = frozenset(
    {
        "type",
        "id",
        "source",
        "subject",
        "occurred_at",
        "time",
        "order_id",
        "specversion",
        "datacontenttype",
        "dataschema",
    }
)
"""The fields whose texts stay readable. In binary mode `ce_` stands before the name."""


def masked_content(letter: Letter, most_bytes: int) -> dict[str, Any]:
    """The key, headers and value of a dead letter's record; the key is cut, the others masked.

    A longer value than `most_bytes` is a text with the number of its bytes.
    """
    key, value = letter.key, letter.value
    text = None if key is None else key.decode(errors="backslashreplace")
    if text is not None and len(text) > limits.ID_CHARS:
        text = f"{text[: limits.ID_CHARS]}…"
    is_long = value is not None and len(value) > most_bytes
    return {
        "key": text,
        "headers": [(name, masked_header(name, raw)) for name, raw in letter.headers],
        "value": f"<{len(value or b''):,} bytes>" if is_long else masked_value(value),
    }


def masked_value(value: bytes | None) -> Any:  # noqa: ANN401 - any JSON
    """The JSON of a value with its texts and numbers masked, or a text with the number of bytes.

    True, false and null stay: they show which fields are absent or empty.
    """
    if value is None:
        return None
    try:
        found = from_json(value, allow_inf_nan=True)
    except (ValueError, RecursionError, MemoryError):
        return f"<{len(value):,} bytes, no JSON>"
    return _masked(found, "")


def masked_header(name: str, value: bytes | None) -> str | None:
    """The value of a header, masked unless it is an attribute that identifies the event."""
    if value is None:  # Kafka has headers without a value
        return None
    if name.removeprefix("ce_") in SHOWN or name == "content-type":
        return value.decode(errors="backslashreplace")
    return f"<{len(value):,} bytes>"


def _masked(found: Any, name: str) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(found, dict):
        return {key: _masked(value, key) for key, value in found.items()}
    if isinstance(found, list):
        return [_masked(value, "") for value in found]
    if isinstance(found, str):
        return found if name in SHOWN else f"<{len(found):,} characters>"
    if isinstance(found, bool) or found is None:
        return found
    return "<integer>" if isinstance(found, int) else "<number>"
