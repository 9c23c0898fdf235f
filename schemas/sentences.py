"""The sentences that say what is wrong with a record or a line, with the value that was given.

Refusals, dead letters and commands use them. Foreign texts are cut, and their control and format
characters are escaped.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas import limits


def cut(sentence: str) -> str:
    """A sentence, cut to the bound of a refusal's detail."""
    return (
        sentence
        if len(sentence) <= limits.DETAIL_CHARS
        else f"{sentence[: limits.DETAIL_CHARS - 3]}..."
    )


def value_text(value: object) -> str:
    """A JSON value as a sentence shows it.

    Texts and numbers are shown as JSON, cut at `limits.SHOWN_CHARS`; other values by their kind.
    """
    if isinstance(value, str):
        return f'"{_cut_text(value)}"'
    if value is None or isinstance(value, bool):
        return msgspec.json.encode(value).decode()
    kind = _kind(value)
    if kind != _NUMBER:
        return kind
    number = repr(value)
    if number.endswith("inf"):  # the parser's numbers can't represent it
        return "a number out of range"
    return number if len(number) <= limits.SHOWN_CHARS else f"{number[: limits.SHOWN_CHARS]}..."


def _cut_text(text: str) -> str:
    """A text as JSON writes it between quotes, cut to the bound."""
    cut_text = ""
    for character in text:
        escaped = (
            msgspec.json.encode(character).decode()[1:-1]
            if character.isprintable()
            else f"\\u{ord(character):04x}"
        )
        if len(cut_text) + len(escaped) > limits.SHOWN_CHARS:
            return f"{cut_text}..."
        cut_text += escaped
    return cut_text


_NUMBER: Final = "a number"
_KINDS: Final[dict[type, str]] = {
    str: "a text",
    bool: "a truth value",
    int: _NUMBER,
    list: "a list",
    tuple: "a list",
    dict: "an object",
    bytes: "not UTF-8",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), _NUMBER)


def _is_of_kind(value: object) -> str:
    """A value and its kind, such as `17 is a number`; for lists and objects the kind alone."""
    if value is None:
        return "null, which is as absent"
    kind, text = _kind(value), value_text(value)
    return text if text == kind else f"{text} is {kind}"


# --- the value as a whole


def too_large(size_bytes: int) -> str:
    """The fault of a value with too many bytes."""
    return f"{size_bytes} bytes, at most {limits.VALUE_BYTES}"


def no_object(found: object) -> str:
    """The fault of a JSON value that isn't an object."""
    if isinstance(found, str):
        return (
            f"{_is_of_kind(found)}; an object is wanted"
            " (a text that holds JSON has to be expanded by who writes it)"
        )
    return f"{_is_of_kind(found)}; an object is wanted"


_JSON_FAULTS: Final = {
    "EOF while parsing a value": "it ends where a value should stand",
    "EOF while parsing an object": "it is cut off inside an object",
    "EOF while parsing a list": "it is cut off inside a list",
    "EOF while parsing a string": "it is cut off inside a text",
    "expected `:`": "a colon is missing after a name",
    "expected `,` or `}`": "a comma or a closing } is missing",
    "expected `,` or `]`": "a comma or a closing ] is missing",
    "expected ident": "a word that JSON doesn't have",
    "expected value": "no JSON value begins there",
    "key must be a string": "a name isn't in double quotes",
    "control character (\\u0000-\\u001F) found while parsing a string": (
        "a control character that isn't escaped in a text"
    ),
    "invalid escape": "a backslash before what JSON doesn't escape",
    "invalid number": "a number that isn't written as JSON wants it",
    "number out of range": "a number with too many digits",
    "unexpected end of hex escape": "half of a surrogate pair",
    "lone leading surrogate in hex escape": "half of a surrogate pair",
    "invalid unicode code point": "bytes that aren't UTF-8",
    "trailing comma": "a comma before the end",
    "trailing characters": "something follows after its end",
    "recursion limit exceeded": "it is nested too deeply",
}
"""By the parser's message: the same in plain words."""

_AT: Final = re.compile(r"(.*) at line (\d+) column (\d+)", re.DOTALL)


def no_json(error: Exception, value: bytes) -> str:
    """Why a value isn't JSON, by the parser's error: the fault, its place, and the bytes there."""
    found = _AT.fullmatch(str(error))
    if found is None:
        return "it can't be read as JSON"
    fault, line, column = (
        _JSON_FAULTS.get(found[1], "it can't be read as JSON"),
        int(found[2]),
        int(found[3]),
    )
    row = value.split(b"\n", line)[line - 1] if value else b""
    near = row[max(0, column - 1) :][: limits.NEARBY_BYTES]
    place = f"byte {column}" if line == 1 else f"line {line}, byte {column}"
    return f"{fault}, at {place}" + (
        f": {value_text(near.decode('utf-8', 'replace'))}" if near else ""
    )


# --- fields


def absent(field: str, fields: Mapping[str, Any]) -> str:
    """The fault of an absent field. Without a type, the value may be another tool's envelope."""
    if field == "type" and {"schema", "payload"} <= fields.keys():
        return (
            "type: absent; this is Kafka Connect's envelope of schema and payload:"
            " set value.converter.schemas.enable=false"
        )
    if field == "type" and "op" in fields and {"before", "after"} & fields.keys():
        return (
            "type: absent; this is Debezium's record of a row's change:"
            " send the event itself, by its outbox"
        )
    return f"{field}: absent"


def unknown_type(name: object) -> str:
    """The fault of a type that no event has."""
    if not isinstance(name, str):
        return f"type: {_is_of_kind(name)}; a text is wanted"
    return f"type: {value_text(name)} is not a type that this netsold knows"


def unknown_version(event_type: str, dataschema: object, known: Sequence[str]) -> str:
    """The fault of a schema of ours that is none of an event type; `known` are the ids of those."""
    return cut(
        f"dataschema: {value_text(dataschema)} is no schema of {event_type} that this netsold"
        f" knows; it knows {' and '.join(known)}"
    )


def no_key(wanted: str) -> str:
    """The fault of a record without a key; `wanted` is the key that its content names."""
    return cut(f"no key; the content names {value_text(wanted)}")


def other_key(key: object, wanted: str) -> str:
    """The fault of a key that isn't the one that the record's content names."""
    text = key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else str(key)
    hint = (
        "; a key in JSON, as of Kafka Connect's JsonConverter: set key.converter to StringConverter"
        if text[:1] in {'"', "{"}
        else ""
    )
    return cut(f"the key is {value_text(text)}; the content names {value_text(wanted)}{hint}")


_MONEY: Final = ("unit_price", "discount", "amount")


def _text_wanted(place: str, given: Any, _: Mapping[str, Any]) -> str:  # noqa: ANN401 - any JSON value
    wanted = "ids are texts" if place.endswith("id") else "a text is wanted"
    quoted = (
        f': "{given}"'
        if type(given) is int and len(value_text(given)) <= limits.ID_CHARS and abs(given) < 10**18
        else ""
    )
    return f"{_is_of_kind(given)}; {wanted}{quoted}"


def _integer_wanted(place: str, given: Any, _: Mapping[str, Any]) -> str:  # noqa: ANN401 - any JSON value
    if place.endswith(_MONEY):
        return f"{_is_of_kind(given)}; money is an integer of minor units, such as cents"
    return f"{_is_of_kind(given)}; an integer is wanted"


def _empty_list(place: str, _: Any, __: Mapping[str, Any]) -> str:  # noqa: ANN401 - any JSON value
    return (
        "empty: an order has at least one line"
        if place == "order_placed.lines"
        else "empty: name at least one, or leave the field out"
    )


def _none_of(place: str, given: Any, context: Mapping[str, Any]) -> str:  # noqa: ANN401 - any JSON value
    if place.endswith("currency"):
        return f"{value_text(given)} is not a currency of ISO 4217 in capitals, as CNY"
    return f"{value_text(given)} is none of {context['expected'].replace(chr(39), '')}"


FAULTS: Final[dict[str, Callable[[str, Any, Mapping[str, Any]], str]]] = {
    "missing": lambda _, __, ___: "absent",
    "string_type": _text_wanted,
    "string_too_short": lambda _, __, ___: "an empty text",
    "string_too_long": lambda _, given, context: (
        f"{len(given)} characters, at most {context['max_length']}: {value_text(given)}"
    ),
    "int_type": _integer_wanted,
    "greater_than_equal": lambda _, given, context: (
        f"{value_text(given)} is less than {context['ge']}"
    ),
    "less_than_equal": lambda _, given, context: (
        f"{value_text(given)} is more than {context['le']}"
    ),
    "tuple_type": lambda _, given, __: f"{_is_of_kind(given)}; a list is wanted",
    "too_short": _empty_list,
    "model_type": lambda _, given, __: f"{_is_of_kind(given)}; an object is wanted",
    "literal_error": _none_of,
    "value_error": lambda _, given, context: f"{value_text(given)} {context['error']}",
}
"""By pydantic's error type: (place, given value, pydantic's context) → the fault.

Every error type that our models raise is here.
"""


def fault(event_type: str, error: Mapping[str, Any]) -> str:
    """The sentence for one of pydantic's `ValidationError.errors()` in an event of a type."""
    place = ".".join(map(str, error["loc"]))
    if not place:  # a fault between fields: the check's sentence names them
        return cut(str(error["ctx"]["error"]))
    of_type = FAULTS.get(error["type"])
    if of_type is None:
        return cut(f"{place}: not as it has to be")
    given, context = error.get("input"), error.get("ctx", {})
    return cut(f"{place}: {of_type(f'{event_type}.{place}', given, context)}")
