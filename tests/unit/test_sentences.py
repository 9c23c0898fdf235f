"""The texts of errors in events and requests.

Plain words with the given value, for everything that pydantic and its parser can find.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import from_json

from schemas import events, limits, sentences
from schemas.envelope import read, read_without_key
from schemas.refusals import Refusal
from tests.flow import Record
from tests.properties.test_recount_accepts import VALID

_RAISED: dict[str, dict[str, str]] = {
    "str": {"": "string_type", "min_length": "string_too_short", "max_length": "string_too_long"},
    "int": {"": "int_type", "ge": "greater_than_equal", "le": "less_than_equal"},
    "tuple": {"": "tuple_type", "min_length": "too_short"},
    "literal": {"": "literal_error"},
    "model": {"": "model_type"},
    "model-field": {"": "missing"},
    "function-after": {"": "value_error"},
    "function-before": {"": "value_error"},
    "model-fields": {},
    "nullable": {},
    "default": {},
    "definitions": {},
    "definition-ref": {},
}
"""The type of the error by kind of a core schema and its constraint ("" = the kind itself)."""

_RAISES_NOTHING = {
    "type", "ref", "metadata", "function", "serialization", "schema", "cls", "config",
    "custom_init", "root_model", "expected", "default",
    "computed_fields", "fields", "model_name", "serialization_alias", "validation_alias",
    "items_schema", "strict", "variadic_item_index",
    "definitions", "schema_ref",
}  # fmt: skip
"""Members of a core schema that raise no error of their own."""


def _error_types(schema: Any, found: set[str]) -> set[str]:  # noqa: ANN401 - a core schema, or a part of one
    """The types of error that a core schema can raise.

    KeyError for a kind or constraint that isn't known here.
    """
    if isinstance(schema, dict):
        kind = schema.get("type")
        if isinstance(kind, str) and kind not in {"no-info", "function-plain"}:
            raised = _RAISED[kind]
            found |= {
                raised[name]
                for name in ("", *(schema.keys() - _RAISES_NOTHING))
                if name in raised or name
            }
        for name, part in schema.items():
            if name != "serialization":
                _error_types(part, found)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _error_types(part, found)
    return found


def test_every_error_of_the_models_has_a_text() -> None:
    """The test walks through pydantic's core schemas.

    No text is for an error that can't occur.
    """
    found = set[str]()
    for model in events.MODELS.values():
        _error_types(model.__pydantic_core_schema__, found)
    assert found == sentences.FAULTS.keys()


_UNUSUAL: list[Any] = [
    None, True, 0, -1, 1.5, 10**19, "", "x" * 300, "a\x00b", "\u202e", [], [None], ["x"], {},
    {"x": 1}, b"\xff", float("inf"), "cny",
    "2026-07-01", [{}], [5], ["x" * 300],
]  # fmt: skip
_WORDS = re.compile(
    r"[Ii]nput|Value error|Field|validation|Tuple|instance|pydantic|NoneType"
    r"|\bdict\b|\bstr\b|\bint\b|\b(list|tuple)\[|surrogate in hex|EOF"
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - any JSON value
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [
        place for name, each in inner for place in ((*path, name), *_places(each, (*path, name)))
    ]


@pytest.mark.parametrize("event", VALID, ids=range(len(VALID)))
def test_no_text_of_pydantic_is_seen(event: dict[str, Any]) -> None:
    """Every error has its own text, one printable line within the bound.

    This holds for any value in any field, or none.
    """
    model = events.MODELS[event["type"]]
    for *path, last in _places(event):
        for value in (*_UNUSUAL, ...):
            changed = copy.deepcopy(event)
            target: Any = changed
            for name in path:
                target = target[name]
            if value is ... and isinstance(target, dict):
                del target[last]
            else:
                target[last] = "…" if value is ... else value
            try:
                model.model_validate(changed)
            except ValidationError as error:
                for fault in error.errors():
                    assert fault["type"] in sentences.FAULTS or not fault["loc"]
                    sentence = sentences.fault(event["type"], fault)
                    assert sentence.isprintable()
                    assert len(sentence) <= limits.DETAIL_CHARS
                    assert not _WORDS.search(sentence), sentence


PLACED: dict[str, Any] = next(event for event in VALID if event["type"] == "order_placed")
LINE: dict[str, Any] = PLACED["lines"][0]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"currency": "cny"}, 'currency: "cny" is not a currency of ISO 4217 in capitals, as CNY'),
        ({"currency": "RMB"}, 'currency: "RMB" is not a currency of ISO 4217 in capitals, as CNY'),
        ({"currency": 156}, "currency: 156 is not a currency of ISO 4217 in capitals, as CNY"),
        ({"order_id": 17}, 'order_id: 17 is a number; ids are texts: "17"'),
        ({"order_id": None}, "order_id: null, which is as absent; ids are texts"),
        ({"order_id": ["x"]}, "order_id: a list; ids are texts"),
        ({"order_id": ""}, "order_id: an empty text"),
        ({"source": "x" * 257}, f'source: 257 characters, at most 256: "{"x" * 60}..."'),
        (
            {"shop_id": "a\x1b[31m\x7f\u202e"},
            'shop_id: "a\\u001b[31m\\u007f\\u202e" has a control character',
        ),
        ({"shop_id": "店\x00"}, 'shop_id: "店\\u0000" has a control character'),
        ({"lines": []}, "lines: empty: an order has at least one line"),
        ({"lines": {"1": {}}}, "lines: an object; a list is wanted"),
        ({"lines": "[]"}, 'lines: "[]" is a text; a list is wanted'),
        ({"lines": [5]}, "lines.0: 5 is a number; an object is wanted"),
        ({"lines": [LINE, LINE]}, "lines: two of them have one line_id"),
        ({"lines": [LINE | {"quantity": 0}]}, "lines.0.quantity: 0 is less than 1"),
        (
            {"lines": [LINE | {"quantity": 1_000_001}]},
            "lines.0.quantity: 1000001 is more than 1000000",
        ),
        (
            {"lines": [LINE | {"quantity": "2"}]},
            'lines.0.quantity: "2" is a text; an integer is wanted',
        ),
        (
            {"lines": [LINE | {"quantity": 2.0}]},
            "lines.0.quantity: 2.0 is a number; an integer is wanted",
        ),
        (
            {"lines": [LINE | {"quantity": True}]},
            "lines.0.quantity: true is a truth value; an integer is wanted",
        ),
        (
            {"lines": [LINE | {"unit_price": 12.99}]},
            (
                "lines.0.unit_price: 12.99 is a number; money is an integer of minor units,"
                " such as cents"
            ),
        ),
        (
            {"lines": [LINE, LINE | {"line_id": "2", "discount": 2001}]},
            "lines.1: discount is 2001, more than quantity times unit_price, 2000",
        ),
        (
            {"lines": [LINE | {"quantity": 10**6, "unit_price": 10**10}]},
            "lines.0: quantity times unit_price is 10000000000000000, more than 1000000000000000",
        ),
        (
            {"occurred_at": 1782892800},
            "occurred_at: 1782892800 is not a text, such as 2026-07-01T08:00:00Z",
        ),
        (
            {"occurred_at": "2026-07-01 08:00"},
            (
                'occurred_at: "2026-07-01 08:00" has no zone: write it as 2026-07-01T08:00:00Z'
                " or 2026-07-01T16:00:00+08:00"
            ),
        ),
        (
            {"occurred_at": "2026-07-01T08:00:00.123"},
            (
                'occurred_at: "2026-07-01T08:00:00.123" has no zone: write it as'
                " 2026-07-01T08:00:00Z or 2026-07-01T16:00:00+08:00"
            ),
        ),
        (
            {"occurred_at": "2026-07-01"},
            (
                'occurred_at: "2026-07-01" has no time of day and no zone: write it as'
                " 2026-07-01T08:00:00Z"
            ),
        ),
        (
            {"occurred_at": "2026-07-01T08:00Z"},
            'occurred_at: "2026-07-01T08:00Z" has no seconds: write it as 2026-07-01T08:00:00Z',
        ),
        (
            {"occurred_at": "2026-07-01T08:00:00+0800"},
            'occurred_at: "2026-07-01T08:00:00+0800" has a zone without colon: write it as +08:00',
        ),
        (
            {"occurred_at": "2026-02-30T08:00:00Z"},
            'occurred_at: "2026-02-30T08:00:00Z" names a day or a time of day that there is not',
        ),
        (
            {"occurred_at": "2026-02-20T23:59:60Z"},
            (
                'occurred_at: "2026-02-20T23:59:60Z" has a leap second elsewhere than at'
                " 23:59:60 UTC on a month's last day"
            ),
        ),
        (
            {"occurred_at": "0026-07-01T08:00:00Z"},
            'occurred_at: "0026-07-01T08:00:00Z" is outside the years 1900 to 2199',
        ),
        (
            {"occurred_at": "yesterday"},
            (
                'occurred_at: "yesterday" is not an RFC 3339 time with zone, such as'
                " 2026-07-01T08:00:00Z"
            ),
        ),
        ({"type": 5}, "type: 5 is a number; a text is wanted"),
        (
            {"type": "order_sung\n"},
            'type: "order_sung\\u000a" is not a type that this netsold knows',
        ),
        (
            {"type": "receipt_confirmed", "by": "robot"},
            'by: "robot" is none of logistics, buyer or timeout',
        ),
        (
            {"type": "receipt_confirmed", "by": "buyer", "line_ids": []},
            "line_ids: empty: name at least one, or leave the field out",
        ),
        ({"type": "receipt_confirmed"}, "by: absent"),
        (
            {"type": None, "schema": {}, "payload": "{}"},
            (
                "type: absent; this is Kafka Connect's envelope of schema and payload: set"
                " value.converter.schemas.enable=false"
            ),
        ),
        (
            {"type": None, "op": "c", "after": {}},
            (
                "type: absent; this is Debezium's record of a row's change: send the event"
                " itself, by its outbox"
            ),
        ),
    ],
)
def test_a_mistake_is_named_with_what_was_given(fields: dict[str, Any], sentence: str) -> None:
    """One plain sentence names the field and the value."""
    event = PLACED | {"lines": [LINE | {"discount": None}]} | fields
    found = read_without_key(json.dumps(event).encode())
    assert isinstance(found, Refusal)
    assert found.detail == sentence


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (None, 'no key; the content names "o-1"'),
        (b"", 'no key; the content names "o-1"'),
        (b"o-2", 'the key is "o-2"; the content names "o-1"'),
        (b"\xffo", 'the key is "\\\\xffo"; the content names "o-1"'),
        (
            b'"o-1"',
            (
                'the key is "\\"o-1\\""; the content names "o-1"; a key in JSON, as of Kafka'
                " Connect's JsonConverter:"
                " set key.converter to StringConverter"
            ),
        ),
    ],
)
def test_a_wrong_key_is_named_with_the_right_one(key: bytes | None, sentence: str) -> None:
    """The sentence has the remedy for Kafka Connect."""
    found = read(Record("orders", 0, 0, 0, key, json.dumps(PLACED).encode(), []))
    assert isinstance(found, Refusal)
    assert found.detail == sentence


NO_JSON = {
    b"": "it ends where a value should stand, at byte 0",
    b"{": 'it is cut off inside an object, at byte 1: "{"',
    b"[": 'it is cut off inside a list, at byte 1: "["',
    b'{"a': 'it is cut off inside a text, at byte 3: "a"',
    b'{"a" 1}': 'a colon is missing after a name, at byte 6: "1}"',
    b'{"a":1 "b"}': 'a comma or a closing } is missing, at byte 8: "\\"b\\"}"',
    b"[1 2]": 'a comma or a closing ] is missing, at byte 4: "2]"',
    b'{"a":nope}': 'a word that JSON doesn\'t have, at byte 7: "ope}"',
    b"NaN": 'no JSON value begins there, at byte 1: "NaN"',
    b"{1:2}": 'a name isn\'t in double quotes, at byte 2: "1:2}"',
    b'{"a":"\x01"}': 'a control character that isn\'t escaped in a text, at byte 7: "\\u0001\\"}"',
    b'{"a":"\\q"}': 'a backslash before what JSON doesn\'t escape, at byte 8: "q\\"}"',
    b'{"a":01}': 'a number that isn\'t written as JSON wants it, at byte 7: "1}"',
    b'{"a":' + b"9" * 4310 + b"}": 'a number with too many digits, at byte 4307: "999999999}"',
    b'{"a":"\\ud800"}': 'half of a surrogate pair, at byte 13: "\\"}"',
    b'{"a":"\\udc00"}': 'half of a surrogate pair, at byte 12: "0\\"}"',
    b'{"a":"\xff"}': 'bytes that aren\'t UTF-8, at byte 7: "�\\"}"',
    b'{"a":1,}': 'a comma before the end, at byte 8: "}"',
    b"{} {}": 'something follows after its end, at byte 4: "{}"',
    b"[" * 300: 'it is nested too deeply, at byte 202: "[[[[[[[[[[[[[[[["',
    b'{\n"a": x}': 'no JSON value begins there, at line 2, byte 6: "x}"',
}


@pytest.mark.parametrize(("value", "sentence"), NO_JSON.items(), ids=range(len(NO_JSON)))
def test_what_is_no_json_is_named_with_its_place(value: bytes, sentence: str) -> None:
    """The sentence has byte, line, and the bytes there."""
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the parser's own
        from_json(value, allow_inf_nan=False)
    assert sentences.no_json(error.value, value) == sentence


def test_every_fault_in_the_table_of_the_parser_occurs() -> None:
    """The table has no unused text."""
    assert {sentence.partition(", at ")[0] for sentence in NO_JSON.values()} == set(
        sentences._JSON_FAULTS.values()
    )


@settings(max_examples=400)
@given(
    st.text('{}[]",:\\ untrfalse01.eE+-\n\x00é\ufeff', max_size=12).map(str.encode)
    | st.binary(max_size=8)
)
def test_every_fault_of_the_parser_has_a_text(value: bytes) -> None:
    """For any bytes, the sentence is one of the table's, with a place."""
    try:
        from_json(value, allow_inf_nan=False)
    except ValueError as raised:
        error = raised
    else:
        return
    sentence = sentences.no_json(error, value)
    assert sentence.partition(", at ")[0] in sentences._JSON_FAULTS.values(), str(error)
    assert sentence.isprintable()


def test_a_fault_without_a_place_has_a_text() -> None:
    """A parser may fail without a place, or with an unknown text."""
    assert sentences.no_json(MemoryError(), b"x") == "it can't be read as JSON"
    assert (
        sentences.no_json(ValueError("a novelty at line 1 column 2"), b"xyz")
        == 'it can\'t be read as JSON, at byte 2: "yz"'
    )
