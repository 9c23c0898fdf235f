"""The three readings of an event (topic, import, recount) agree in every form of the event."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.oracle.events import Invalid, accept, parse
from operations.writing.event_lines import event_of
from schemas import envelope
from schemas.refusals import Refusal
from tests.flow import Record
from tests.properties.strategies import any_version, messages

_ATTRIBUTES = {
    "type": "type",
    "id": "id",
    "source": "source",
    "occurred_at": "time",
    "order_id": "subject",
    "dataschema": "dataschema",
}
PAID: dict[str, Any] = {
    "type": "order_paid", "id": "e-1", "source": "/s", "occurred_at": "2026-07-01T08:00:00Z",
    "order_id": "o-1", "amount": 5,
}  # fmt: skip
SHIPPED = {name: value for name, value in PAID.items() if name != "amount"} | {
    "type": "order_shipped",
    "carrier": "c",
}


def _bare(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def _wrapped(event: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The attributes of a CloudEvent in structured mode, and its data."""
    is_message = "message_id" in event
    attributes = {
        wire: event[name]
        for name, wire in _ATTRIBUTES.items()
        if name in event and not (is_message and name == "order_id")
    }
    data = {
        name: value
        for name, value in event.items()
        if name not in _ATTRIBUTES or (is_message and name == "order_id")
    }
    return {"specversion": "1.0"} | attributes, json.dumps(data).encode()


def _structured(event: dict[str, Any]) -> bytes:
    attributes, data = _wrapped(event)
    return json.dumps(attributes).encode()[:-1] + b', "data": ' + data + b"}"


def _packed(event: dict[str, Any]) -> bytes:
    attributes, data = _wrapped(event)
    more = {
        "datacontenttype": "application/octet-stream",
        "data_base64": base64.b64encode(data).decode(),
    }
    return json.dumps(attributes | more).encode()


def _marked(event: dict[str, Any]) -> bytes:
    return b"\xef\xbb\xbf" + _bare(event)


def _marked_within(event: dict[str, Any]) -> bytes:
    attributes, data = _wrapped(event)
    return (
        b"\xef\xbb\xbf"
        + json.dumps(
            attributes | {"data_base64": base64.b64encode(b"\xef\xbb\xbf" + data).decode()}
        ).encode()
    )


def _pretty(event: dict[str, Any]) -> bytes:
    return json.dumps(event, indent=2).encode()


FORMS = {
    form.__name__: form for form in (_bare, _structured, _packed, _marked, _marked_within, _pretty)
}


def _content(read: object) -> dict[str, Any] | Refusal:
    """An event's fields, with the names that the recount uses."""
    match read:
        case envelope.Received():
            found = msgspec.to_builtins(read.body) | {
                name: getattr(read, name) for name in ("type", "id", "source", "order_id")
            }
            return _given(found | {"occurred_at": read.occurred_at_ms})
        case envelope.ChatMessage(message=message):
            name = "seller_replied" if message.side == envelope.SHOP else "buyer_messaged"
            found = msgspec.structs.asdict(message) | {
                "shop_id": read.shop_id,
                "buyer_id": read.buyer_id,
                "type": name,
            }
            del found["side"]
            return _given(found | {"occurred_at": found.pop("at_ms")})
    assert isinstance(read, Refusal)
    return read


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _without_null(each) for name, each in fields.items() if each is not None}


def _without_null(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return _given(value)
    return [_without_null(each) for each in value] if isinstance(value, list | tuple) else value


def _by_recount(line: bytes) -> dict[str, Any] | None:
    try:
        return accept(parse(line))
    except Invalid:
        return None


def agreed(line: bytes) -> dict[str, Any] | None:
    """The result of all three readings of a line, asserted to be the same.

    None if they refuse it; both readings of a log then have the same reason.
    """
    out = event_of(line)
    counted = _by_recount(line)
    if isinstance(out, Refusal):
        assert counted is None, out
        refusals = [
            read(Record("orders", 0, 0, 0, b"o-1", line, []))
            for read in (envelope.read, envelope.read_chat)
        ]
        assert all(isinstance(one, Refusal) for one in refusals)
        assert out in refusals
        return None
    read = envelope.read if out.topic == "orders" else envelope.read_chat
    kept = read(Record(out.topic, 0, 0, 0, out.key, out.value, out.headers))
    straight = read(Record(out.topic, 0, 0, 0, out.key, line, []))
    assert kept == straight
    assert _content(kept) == counted
    assert counted is not None
    assert counted["occurred_at"] == out.occurred_at_ms
    return counted


@settings(max_examples=100, deadline=None)
@given(st.one_of(any_version(), messages()))
def test_every_form_of_an_event_has_the_same_content(event: dict[str, Any]) -> None:
    """All three readings accept every form with the same content.

    Bare or structured, in base64, with a byte order mark, over many lines.
    """
    found = [agreed(form(event)) for form in FORMS.values()]
    assert found[0] is not None
    assert all(one == found[0] for one in found)


UNUSUAL = {
    "out of range": (b"1e400", True),
    "out of range below": (b"-1e400", True),
    "out of range, nested": (b'{"a": [1, {"b": 1e999}]}', True),
    "more than 64 bits": (b"36893488147419103232", True),
    "4,300 digits": (b"9" * 4300, True),
    "5,000 digits": (b"9" * 5000, False),
    "exact decimals": (b"0.1234567890123456789012345678901234567890", True),
    "nested": (b'{"type": "order_placed", "id": {"id": []}}', True),
    "names twice": (b'{"a": 1, "a": "b"}', True),
    "deep": (b"[" * 190 + b"]" * 190, True),
    "too deep": (b"[" * 300 + b"]" * 300, False),
    "half a pair": (b'"\\ud800"', False),
    "half a pair, nested": (b'{"a": ["\\udc00x"]}', False),
    "a pair": (b'"\\ud83d\\ude00"', True),
    "NaN": (b"NaN", False),
    "infinity": (b"-Infinity", False),
    "leading zero": (b"01", False),
    "not UTF-8": (b'"\xff"', False),
    "control character": (b'"a\x01"', False),
    "escaped control character": (b'"a\\u0001"', True),
    "nothing": (b"", False),
}
"""Values, and whether an event may have them in an unknown field."""


@pytest.mark.parametrize(("junk", "passes"), UNUSUAL.values(), ids=UNUSUAL.keys())
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_all_readings_agree_on_unusual_values(form: Any, junk: bytes, passes: bool) -> None:  # noqa: ANN401, FBT001
    """They stand in an unknown field or in the place of a known one.

    The field is first, last or beside the data, or it is named a second time.
    """

    def with_junk(event: dict[str, Any]) -> bytes:
        line: bytes = form(event)
        if b"data_base64" not in line:
            return line.replace(b'"JUNK"', junk)
        packed = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
        inner = base64.b64decode(packed["data_base64"]).replace(b'"JUNK"', junk)
        return json.dumps(packed | {"data_base64": base64.b64encode(inner).decode()}).encode()

    for event in (
        {"extra": "JUNK"} | PAID,
        PAID | {"extra": "JUNK"},
        SHIPPED | {"extra": {"inner": "JUNK"}},
    ):
        found = agreed(with_junk(event))
        assert (found is not None) is passes
    assert agreed(with_junk(PAID | {"amount": "JUNK"})) is None
    agreed(with_junk(SHIPPED | {"carrier": "JUNK"}))


@pytest.mark.parametrize(
    ("line", "amount"),
    [
        (_bare(PAID)[:-1] + b', "amount": 7}', 7),
        (_bare(PAID)[:-1] + b', "amoun\\u0074": 7}', 7),
        (_bare(PAID)[:-1] + b', "amount": "x"}', None),
        (b'{"amount": "x", ' + _bare(PAID)[1:], 5),
        (_bare(PAID)[:-1] + b', "id": 3, "id": "e-1"}', 5),
        (_structured(PAID)[:-1] + b', "data": {"amount": 8}}', 8),
        (_structured(PAID)[:-1] + b', "data": null}', None),
        (_structured(PAID)[:-1] + b', "data_base64": null}', 5),
        (_structured(PAID)[:-1] + b', "data_base64": "eyJhbW91bnQiOjl9"}', None),
        (_packed(PAID)[:-1] + b', "data": null}', 5),
        (_packed(PAID)[:-1] + b', "data_base64": "eyJhbW91bnQiOjl9"}', 9),
        (_packed(PAID)[:-1] + b', "data_base64": ""}', None),
        (_packed(PAID)[:-1] + b', "data_base64": "eyJhbW91bnQiOjl9!"}', None),
        (_packed(PAID)[:-1] + b', "data_base64": "W10="}', None),
        (_packed(PAID)[:-1] + b', "data_base64": 5}', None),
        (_packed(PAID)[:-1] + b', "data_base64": ["e30="]}', None),
        (_packed(PAID)[:-1] + b', "data_base64": "\xc3\xa9"}', None),
        (_structured(PAID).replace(b'"1.0"', b"null"), 5),
        (_bare(PAID)[:-1] + b', "specversion": null}', None),
        (b"\xef\xbb\xbf\xef\xbb\xbf" + _bare(PAID), None),
        (b"\xef\xbb\xbf", None),
        (b" \t" + _bare(PAID) + b"\r", 5),
    ],
    ids=range(22),
)
def test_repeated_names_and_incomplete_forms(line: bytes, amount: int | None) -> None:
    """The last value of a repeated name counts, and null is absent.

    Data are given exactly once.
    """
    found = agreed(line)
    assert (found and found["amount"]) == amount


@given(
    st.text("ABab01+/=-_ \n\\é", max_size=9)
    | st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode())
)
@settings(max_examples=300, deadline=None)
def test_all_readings_accept_the_same_base64(packed: str) -> None:
    """They refuse other alphabets, spaces and missing padding."""
    agreed(json.dumps(json.loads(_packed(SHIPPED)) | {"data_base64": packed}).encode())


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_all_readings_agree_on_damaged_lines(data: st.DataObject) -> None:
    """They agree whichever bytes of whichever form are changed."""
    line = bytearray(
        data.draw(st.sampled_from([*FORMS.values()]))(data.draw(st.sampled_from([PAID, SHIPPED])))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(line)))
        line[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b'"', b"{", b"}", b"[", b",", b"\\", b"0", b"\xff", b"e9"])
        )
    agreed(bytes(line))


def test_unknown_fields_are_kept_unchanged() -> None:
    """An imported event's unknown fields keep their bytes."""
    line = (
        _bare(PAID)[:-1]
        + b', "a": 1e400, "b": 0.10, "c": 36893488147419103232, "d": {"x": 1, "x": 2}}'
    )
    out = event_of(line)
    assert not isinstance(out, Refusal)
    assert (
        out.value
        == b'{"amount":5,"a":1e400,"b":0.10,"c":36893488147419103232,"d":{"x": 1, "x": 2}}'
    )


def test_a_deep_stack_changes_nothing_that_is_read() -> None:
    """If a parser fails on a deep stack, the line is imported unchanged and read alike."""
    line = _bare(PAID)[:-1] + b', "extra": ' + b"[" * 190 + b"]" * 190 + b"}"

    def deep(frames: int) -> dict[str, Any] | None:
        return agreed(line) if frames == 0 else deep(frames - 1)

    assert deep(700) == agreed(line)
